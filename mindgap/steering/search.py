"""Which block, and how strong: tried on pairs of replies that the vector was not made of, within a limit on damage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from mindgap.backends.fetch import option_scores
from mindgap.core.edits import Declined, Edit
from mindgap.core.errors import ConfigError
from mindgap.core.records import OptionsRequest, Query
from mindgap.steering.bench import SteeringBench
from mindgap.steering.contrast_source import Contrast
from mindgap.steering.damage import at_damage, damages, dose_of
from mindgap.steering.methods import Intervention
from mindgap.steering.pairs import Contrasted, read_pairs, replies_to_the_same, used
from mindgap.steering.spread import Spread
from mindgap.steering.stimulus import CHOOSING, replies_apart
from mindgap.storage.named import named_file

SHARES = (0.25, 0.5, 1.0)
"""Doses that are tried, as shares of the largest within the limit."""
HELD_OUT = 0.25
"""Share of a file's pairs that vectors are tried on and not made of."""


@dataclass(frozen=True)
class Tried:
    """A setting and what it does.

    Attributes:
        layer: Index of the block.
        dose: Relative dose.
        gain: By how much more steering raises the log-likelihood of replies that show the behaviour than that of those
            that do not, nats per token, mean over pairs held out.
        damage: Nats per token that the model moves from itself on unrelated text.
    """

    layer: int
    dose: float
    gain: float
    damage: float


def search(
    intervention: Intervention, query: Query, layers: Sequence[int], limit: float, bench: SteeringBench
) -> list[Tried]:
    """Everything that was tried, the best last: the largest gain within the limit.

    The gain of the best is that on the pairs by which it was chosen, so it flatters: measure it in a study.

    Args:
        intervention: Whose block can be set: by `source.layers`, or by `depth`.
        query: The behaviour.
        layers: Blocks to try.
        limit: Most damage, nats per token.
        bench: The model.

    Raises:
        ConfigError: The method's block cannot be set, it declines the query, or there is nothing to try it on.
    """
    pairs = held_out(intervention, query, bench)
    rows: list[tuple[int, tuple[Edit, ...]]] = []
    for layer in layers:
        (edits,) = at_layer(intervention, layer, bench.layers).edits([query], bench)
        if isinstance(edits, Declined):
            raise ConfigError(edits.reason)
        rows.append((layer, edits))
    strongest = [tried[-1] for tried in at_damage([edits for _, edits in rows], limit, bench, 1.0)]
    doses: list[tuple[int, tuple[Edit, ...]]] = [
        (layer, tuple(edit.scaled(share) for edit in dosed.edits))
        for (layer, _), dosed in zip(rows, strongest, strict=True)
        for share in SHARES
    ]
    edits_tried = [edits for _, edits in doses]
    tried = [
        Tried(layer, dose_of(edits, bench) or 0.0, gain, lost)
        for (layer, edits), gain, lost in zip(
            doses, gains(edits_tried, pairs, bench), damages(edits_tried, bench), strict=True
        )
    ]
    return sorted(tried, key=lambda one: (one.damage <= limit * 1.1, one.gain))


def layer_setting(intervention: Intervention) -> str:
    """The setting that names the block: `source.layers`, `source.of.layers` or `depth`. Raises ConfigError for none."""
    source = getattr(intervention, "source", None)
    if isinstance(source, Spread) and _has(source.of, "layers"):
        return "source.of.layers"
    if not isinstance(source, Spread) and _has(source, "layers"):
        return "source.layers"
    if _has(intervention, "depth"):
        return "depth"
    raise ConfigError(f"search: {type(intervention).__name__} has no layers and no depth that could be searched")


def at_layer(intervention: Intervention, layer: int, count: int) -> Intervention:
    """The same at another block of a model of `count`. Raises ConfigError where its block cannot be set."""
    made: Any = intervention
    setting = layer_setting(intervention)
    if setting == "depth":
        return replace(made, depth=(layer + 1) / count)
    inner: Any = made.source.of if setting == "source.of.layers" else made.source
    held = {"held_out": HELD_OUT} if isinstance(inner, Contrast) and inner.pairs is not None else {}
    inner = replace(inner, layers=(layer,), **held)
    source = replace(made.source, of=inner) if setting == "source.of.layers" else inner
    return replace(made, source=source)


def _has(thing: Any, name: str) -> bool:
    return is_dataclass(thing) and name in {one.name for one in fields(thing)}


def held_out(intervention: Intervention, query: Query, bench: SteeringBench) -> list[Contrasted]:
    """Pairs of replies that the method's vector is not made of.

    Of a file whose pairs are replies to the same messages, its last quarter; else the model's replies to contrast
    prompts under the query and without. Raises ConfigError where there are none.
    """
    source = getattr(intervention, "source", None)
    source = source.of if isinstance(source, Spread) else source
    if isinstance(source, Contrast) and source.pairs is not None:
        pairs = read_pairs(named_file(source.pairs), source.strings)
        found = [
            same for pair in pairs[used(len(pairs), HELD_OUT) :] if (same := replies_to_the_same(pair)) is not None
        ]
        if found:
            return found
    most = getattr(source, "prompts", getattr(intervention, "prompts", 0))
    if most > CHOOSING.start:
        raise ConfigError(f"search tries vectors on contrast prompts from the {CHOOSING.start}th on: set prompts lower")
    return replies_apart(query, bench)


def gains(edits: Sequence[tuple[Edit, ...]], pairs: Sequence[Contrasted], bench: SteeringBench) -> list[float]:
    """See `Tried.gain`, of each set of edits."""
    rows: list[tuple[Edit, ...]] = [(), *edits]
    requests = [
        [OptionsRequest(bench.endpoint.identity, messages, (yes, no), row) for messages, yes, no in pairs]
        for row in rows
    ]
    scores = option_scores([request for row in requests for request in row], bench.endpoint, bench.store)
    means = []
    for row in requests:
        likely = np.array([scores[request.key].per_token() for request in row])
        means.append(float((likely[:, 0] - likely[:, 1]).mean()))
    return [mean - means[0] for mean in means[1:]]
