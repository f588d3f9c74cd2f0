"""What can be said of a text without asking anyone: its words, repetition, and sentence embeddings."""
