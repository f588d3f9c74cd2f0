"""A comparison as sections of tables and figures, for any medium."""
