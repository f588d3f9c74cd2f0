"""What an intervention is, no matter where it runs."""
