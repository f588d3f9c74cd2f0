"""Where results go: the files that are the record of truth, and trackers that receive a copy."""

from mindgap.tracking.base import NoTracker, Tracker
from mindgap.tracking.wandb import WandbTracker

__all__ = ["NoTracker", "Tracker", "WandbTracker"]
