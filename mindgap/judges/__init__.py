"""Judges: each turns a response into behaviour and coherence scores."""
