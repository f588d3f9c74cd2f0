"""A live view of sweeps: their pages, while they run."""
