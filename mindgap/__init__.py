"""mindgap: what does a steered behaviour cost in coherence and capability?

From Python: `mindgap.run` runs a study, `mindgap.load` reads one, `mindgap.steer` steers a model in three lines.
Nothing heavy is imported until one of them is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindgap.api import Steered, Sweep, load, run, steer
    from mindgap.core.errors import ConfigError, MindgapError, UnavailableError

__version__ = "0.1.0"
__all__ = ["ConfigError", "MindgapError", "Steered", "Sweep", "UnavailableError", "load", "run", "steer"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mindgap' has no attribute {name!r}; there are {', '.join(__all__)}")
    import importlib

    home = "mindgap.core.errors" if name.endswith("Error") else "mindgap.api"
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
