"""What a sweep left on disk, read once: cells, judgements, ratings, imports."""
