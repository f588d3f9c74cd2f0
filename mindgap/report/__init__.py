"""Results for people: the terminal, and more to come from the same files."""
