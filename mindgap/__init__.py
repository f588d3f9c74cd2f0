"""mindgap: what does a steered behaviour cost in coherence and capability?

From Python: `mindgap.run` runs a study, `mindgap.load` reads one, `mindgap.steer` steers a model in three lines.
Nothing heavy is imported until one of them is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindgap.api import Steered, load, run, steer
    from mindgap.core.errors import ConfigError, MindgapError, UnavailableError
    from mindgap.core.measurement import Value
    from mindgap.core.records import Record
    from mindgap.notebook.sweep import Sweep

__version__ = "0.1.0"
__all__ = [
    "ConfigError",
    "MindgapError",
    "Record",
    "Steered",
    "Sweep",
    "UnavailableError",
    "Value",
    "load",
    "run",
    "steer",
]

_MODULES = {
    "ConfigError": "mindgap.core.errors",
    "MindgapError": "mindgap.core.errors",
    "Record": "mindgap.core.records",
    "Sweep": "mindgap.notebook.sweep",
    "UnavailableError": "mindgap.core.errors",
    "Value": "mindgap.core.measurement",
}
"""Where the names of `__all__` are defined; those that are not listed are in `mindgap.api`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mindgap' has no attribute {name!r}; there are {', '.join(__all__)}")
    import importlib

    return getattr(importlib.import_module(_MODULES.get(name, "mindgap.api")), name)


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
