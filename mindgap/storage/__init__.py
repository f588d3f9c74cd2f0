"""What is kept on disk between runs: the store, prepared files, the cache folder, and how files are written whole."""
