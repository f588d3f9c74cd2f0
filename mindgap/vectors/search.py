"""The best block and dose for a behaviour, as settings to run a study with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mindgap.backends.base import Capability
from mindgap.core.errors import ConfigError
from mindgap.core.records import Query
from mindgap.steering.search import layer_setting, search
from mindgap.steering.vectors import block_at
from mindgap.vectors.bench import opened, settings_of

if TYPE_CHECKING:
    from rich.console import Group

DEPTHS = (0.2, 0.35, 0.5, 0.65, 0.8)
"""Blocks that are tried where nobody names any."""


def searched(query: str, config: Mapping[str, Any], seed: int, layers: str | None, limit: float) -> Group:
    """What was tried, and the command with the best of it.

    Raises:
        ConfigError: The method's block cannot be set, or the blocks cannot be read.
        UnavailableError: The model cannot be opened here.
    """
    from rich.console import Group
    from rich.table import Table

    settings = settings_of(config)
    if len(settings.method.interventions) != 1:
        raise ConfigError(f"search: method={settings.method.name} has several interventions; name a method of one")
    (intervention,) = settings.method.interventions
    layer_setting(intervention)  # refused before a model is opened
    needs: frozenset[Capability] = settings.method.needs | frozenset({"loglikelihood"})
    with opened(settings, needs, seed) as bench:
        tried = search(intervention, Query(query, ""), _blocks(layers, bench.layers), limit, bench)
    table = Table(box=None, title=f"{query}: tried on pairs held out, the best last", title_justify="left")
    for heading in ("block", "relative dose", "gain, nats per token", "damage, nats per token"):
        table.add_column(heading, justify="right")
    for one in tried:
        table.add_row(str(one.layer), f"{one.dose:.3g}", f"{one.gain:+.3f}", f"{one.damage:.2f}")
    best = tried[-1]
    setting = layer_setting(intervention)
    block = f"{(best.layer + 1) / bench.layers:.3f}" if setting == "depth" else f"[{best.layer}]"
    where = f"'method.interventions.0.{setting}={block}'"
    chosen = f"method={settings.method.name} {where} strength=dose strength.dose={best.dose:.3g}"
    return Group(table, "", chosen)


def _blocks(text: str | None, count: int) -> list[int]:
    if text is None:
        return sorted({block_at(depth, count) for depth in DEPTHS})
    found = set()
    for part in text.strip("[]").split(","):
        try:
            number = float(part)
        except ValueError:
            raise ConfigError(
                f"layers={text!r}: give depths such as 0.2,0.5 or numbers of blocks such as 5,12"
            ) from None
        found.add(int(part) if part.strip().isdecimal() else block_at(number, count))
    if not all(0 <= layer < count for layer in found):
        raise ConfigError(f"layers={text!r}: the model has blocks 0 to {count - 1}, depths are above 0 and at most 1")
    return sorted(found)
