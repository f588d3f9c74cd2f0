"""Reading prompts into the slots of a cache. What several of them begin with is read once, and copied.

Few-shot examples, the rubric of a judge and prompts that are answered several times begin alike. Rows share what they
begin with where the edits that act there are the same: rows that are steered in their replies alone share it with rows
that are not steered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from mindgap.backends.local.cache import SlotCache
from mindgap.backends.local.engine import Engine
from mindgap.backends.local.steering import Steering
from mindgap.core.directions import NEVER, DirectionEdit, window
from mindgap.core.edits import Edit

LEAST_SAVED = 64
"""Tokens that a family of prompts has to save, or its prompts are read each by itself: a pass has a price too."""


@dataclass(frozen=True)
class Prompt:
    """A prompt to be read.

    Attributes:
        tokens: All of it but the last token, which is read with the reply.
        request: Whose edits it is read under: a number that the steering knows.
        acting: What these edits do at the prompt, see `acting`; equal where two prompts may share what they begin with.
    """

    tokens: list[int]
    request: int
    acting: tuple[str, ...]


def acting(edits: Sequence[Edit], tokens: int) -> tuple[str, ...]:
    """Keys of the edits that change something at the tokens of a prompt but its last, `tokens` many.

    An edit of the last few tokens acts at other places of a longer prompt, and counts as another edit there.
    """
    keys = []
    for edit in (edit for edit in edits if edit.changes):
        if not isinstance(edit, DirectionEdit):
            if edit.positions == "all":
                keys.append(edit.key)
            continue
        bounds = window(edit.positions)
        if bounds.begin >= 0:
            continue
        moves = bounds.begin > -NEVER or bounds.end < 0
        keys.append(f"{edit.key}:{tokens}" if moves else edit.key)
    return tuple(sorted(keys))


@dataclass
class _Family:
    """Prompts that share their first `head` tokens: all of them where there is one prompt alone.

    longest: Tokens of the longest.
    """

    members: list[int]
    head: int
    longest: int


def _alone(prompts: Sequence[Prompt], member: int) -> _Family:
    length = len(prompts[member].tokens)
    return _Family([member], length, length)


def families(prompts: Sequence[Prompt]) -> list[list[int]]:
    """Indices of prompts that share at least half of each; most often a family has one member."""
    return [family.members for family in _families(prompts)]


def _families(prompts: Sequence[Prompt]) -> list[_Family]:
    alike = defaultdict(list)
    for index, prompt in enumerate(prompts):
        alike[prompt.acting].append(index)
    found: list[_Family] = []
    for indices in alike.values():
        found += _divided(prompts, sorted(indices, key=lambda index: prompts[index].tokens))
    return found


def _divided(prompts: Sequence[Prompt], indices: Sequence[int]) -> Iterator[_Family]:
    """Families among prompts under edits that act alike, sorted by their tokens."""
    family = _alone(prompts, indices[0])
    for before, index in pairwise(indices):
        tokens = prompts[index].tokens
        head = min(family.head, common(prompts[before].tokens, tokens))
        longest = max(family.longest, len(tokens))
        if 2 * head >= longest:
            family.members.append(index)
            family.head, family.longest = head, longest
        else:
            yield from _worth_it(prompts, family)
            family = _alone(prompts, index)
    yield from _worth_it(prompts, family)


def _worth_it(prompts: Sequence[Prompt], family: _Family) -> Iterator[_Family]:
    """The family, or its members each alone where too little would be saved."""
    if (len(family.members) - 1) * family.head >= LEAST_SAVED:
        yield family
    else:
        yield from (_alone(prompts, member) for member in family.members)


def common(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two prompts begin with alike."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(left), len(right)))


def read(engine: Engine, cache: SlotCache, steering: Steering, prompts: Sequence[Prompt], first: int = 0) -> list[int]:
    """Read prompts into the slots from `first` on; the index of the prompt that is now in each of them.

    The cache has room for as many rows, and for a token more than the longest of the prompts.
    """
    found = sorted(_families(prompts), key=lambda family: (len(family.members) > 1, -family.head))
    kin = [family for family in found if len(family.members) > 1]
    others = [(member, place) for place, family in enumerate(found) for member in family.members[1:]]
    heads = {member: family.head for family in found for member in family.members}
    others.sort(key=lambda pair: heads[pair[0]] - len(prompts[pair[0]].tokens))  # the longest remainder first
    order = [family.members[0] for family in found] + [member for member, _ in others]

    for start, stop in _passes(engine, [heads[index] for index in order[: len(found)]]):
        group = order[start:stop]
        if any(heads[index] for index in group):
            cache.begin_prompts(first + start)
            engine.pass_over_prompts(
                [prompts[index].tokens[: heads[index]] for index in group],
                [prompts[index].request for index in group],
                cache,
                steering,
                ends=[len(prompts[index].tokens) for index in group],
            )
    if not kin:
        return order
    device = engine.device
    source = torch.tensor([first + place for _, place in others], device=device)
    target = first + len(found) + torch.arange(len(others), device=device)
    cache.move(source, target, max(family.head for family in kin))
    begin = len(found) - len(kin)
    remaining = [len(prompts[index].tokens) - heads[index] for index in order[begin:]]
    for start, stop in _passes(engine, remaining):
        if any(remaining[start:stop]):
            group = order[begin + start : begin + stop]
            some = [prompts[index] for index in group]
            _read_on(engine, cache, steering, some, [heads[index] for index in group], first + begin + start)
    return order


def _passes(engine: Engine, lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of rows that share a pass, padded to the longest."""
    start, width = 0, 0
    for place, length in enumerate(lengths):
        width = max(width, length)
        if place > start and width * (place + 1 - start) > engine.tokens_per_pass():
            yield start, place
            start, width = place, length
    if lengths:
        yield start, len(lengths)


def _read_on(
    engine: Engine,
    cache: SlotCache,
    steering: Steering,
    prompts: Sequence[Prompt],
    heads: Sequence[int],
    first: int,
) -> None:
    """Read what remains of prompts of which the slots from `first` on hold the heads."""
    device = engine.device
    tokens, real = engine.padded([prompt.tokens[head:] for prompt, head in zip(prompts, heads, strict=True)])
    positions = torch.tensor(heads, device=device)[:, None] + torch.arange(tokens.shape[1], device=device)
    positions.clamp_(max=cache.capacity - 1)  # padding: the row's reply overwrites it before it is looked at
    requests = torch.tensor([prompt.request for prompt in prompts], device=device)
    ends = torch.tensor([len(prompt.tokens) for prompt in prompts], device=device)
    steering.rows_are(requests, response=False, real=real, ends=ends)
    span = 1 + int(positions.max())
    engine.pass_over_extension(tokens, positions, span, cache, steering, first=first, logits_to_keep=1)
