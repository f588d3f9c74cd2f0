"""`python -m mindgap.replay`: import results that were recorded elsewhere."""
