"""The name that a server serves a model by: it says which weights, in which numeric type, and which plugin.

A request names it, so a server of anything else cannot answer.
"""

from __future__ import annotations

from mindgap.core.errors import UnavailableError

DTYPES = ("float32", "bfloat16", "float16")
PLUGIN = "mindgap-vllm"


def served_name(weights: str, dtype: str, plugin: str) -> str:
    """The name of a model.

    Args:
        weights: Which weights: id with the hub's revision, or name with a hash.
        dtype: Numeric type that the server computes in.
        plugin: Version of the plugin.
    """
    return f"{weights}/{dtype}/{PLUGIN}-{plugin}"


def parts_of(name: str) -> tuple[str, str, str]:
    """Weights, numeric type and plugin's version of a name that `served_name` made.

    Raises:
        UnavailableError: It made no such name.
    """
    weights, _, rest = name.rpartition("/")
    weights, _, dtype = weights.rpartition("/")
    plugin = rest.removeprefix(f"{PLUGIN}-")
    if not weights or dtype not in DTYPES or plugin == rest:
        raise UnavailableError(
            f"the server serves {name!r}, which does not say which weights and which plugin: start it with "
            "python -m mindgap.serve"
        )
    return weights, dtype, plugin
