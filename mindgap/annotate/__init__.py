"""People as judges: a local page where they rate a sweep's responses, and estimates anchored in what they said."""
