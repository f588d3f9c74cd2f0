"""Statistics for clustered, paired samples."""
