"""Imports of results that were recorded elsewhere: reads a recording, says what is wrong with it, writes cells."""
