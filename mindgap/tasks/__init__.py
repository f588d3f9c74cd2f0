"""Tasks: items, the prompts that put them to a model, and how replies are read."""

from mindgap.tasks.base import Task

__all__ = ["Task"]
