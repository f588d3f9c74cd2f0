"""What is measured on a sample; one file a measure."""
