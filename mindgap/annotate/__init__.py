"""`python -m mindgap.annotate`: a local page where people rate a sweep's responses."""
