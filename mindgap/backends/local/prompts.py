"""Reading prompts into the slots of a cache. What several of them begin with is read once, and copied.

Few-shot examples, the rubric of a judge and prompts that are answered several times begin alike. Rows share what they
begin with where the edits that act there are the same: rows that are steered in their replies alone share it with rows
that are not steered. Rows under different edits share the blocks up to the first that these edits act at: an edit
changes what a block puts out, and nothing before it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch

from mindgap.backends.local.cache import SlotCache
from mindgap.backends.local.engine import Engine
from mindgap.backends.local.part_way import Blocks, BlocksAbove, BlocksBelow
from mindgap.backends.local.steering import Steering
from mindgap.core.directions import NEVER, DirectionEdit, window
from mindgap.core.edits import Edit


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
    acting: tuple[tuple[int, str], ...] = ()


def acting(edits: Sequence[Edit], tokens: int) -> tuple[tuple[int, str], ...]:
    """The edits that change something at the tokens of a prompt but its last, `tokens` many: block and key of each.

    The lowest block comes first. An edit of the last few tokens acts at other places of a longer prompt, and counts as
    another edit there.
    """
    found = []
    for edit in (edit for edit in edits if edit.changes):
        if not isinstance(edit, DirectionEdit):
            if edit.positions == "all":
                found.append((edit.layer, edit.key))
            continue
        bounds = window(edit.positions)
        if bounds.begin >= 0:
            continue
        moves = bounds.begin > -NEVER or bounds.end < 0
        found.append((edit.layer, f"{edit.key}:{tokens}" if moves else edit.key))
    return tuple(sorted(found))


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


def families(prompts: Sequence[Prompt], least: int) -> list[list[int]]:
    """Indices of prompts that share at least half of each; most often a family has one member.

    least: Tokens that a family has to save, or its members are by themselves.
    """
    return [family.members for family in _families(prompts, least)]


def _families(prompts: Sequence[Prompt], least: int) -> list[_Family]:
    alike = defaultdict(list)
    for index, prompt in enumerate(prompts):
        alike[prompt.acting].append(index)
    found: list[_Family] = []
    for indices in alike.values():
        found += _divided(prompts, sorted(indices, key=lambda index: prompts[index].tokens), least)
    return found


def _divided(prompts: Sequence[Prompt], indices: Sequence[int], least: int) -> Iterator[_Family]:
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
            yield from _worth_it(prompts, family, least)
            family = _alone(prompts, index)
    yield from _worth_it(prompts, family, least)


def _worth_it(prompts: Sequence[Prompt], family: _Family, least: int) -> Iterator[_Family]:
    """The family, or its members each alone where too little would be saved."""
    if (len(family.members) - 1) * family.head >= least:
        yield family
    else:
        yield from (_alone(prompts, member) for member in family.members)


def common(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two prompts begin with alike."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(left), len(right)))


class _Order:
    """Which prompt goes into which slot: one of each family, then those that copy from it what they begin with.

    Attributes:
        prompts: The prompt in each slot.
        indices: Which one of those given it is.
        heads: Tokens that are read for all of the family, by slot.
        rests: Tokens that remain of the prompt, by slot.
        sources: The slot that they are copied from, by slot: of the first of a family its own.
        families: How many there are.
        alone: How many of them have one member; they come first.
    """

    def __init__(self, prompts: Sequence[Prompt], least: int) -> None:
        found = sorted(_families(prompts, least), key=lambda family: (len(family.members) > 1, -family.head))
        others = [(member, place) for place, family in enumerate(found) for member in family.members[1:]]
        # the longest remainder first
        others.sort(key=lambda pair: found[pair[1]].head - len(prompts[pair[0]].tokens))
        self.indices = [family.members[0] for family in found] + [member for member, _ in others]
        self.prompts = [prompts[index] for index in self.indices]
        self.sources = [*range(len(found)), *(place for _, place in others)]
        self.heads = [found[place].head for place in self.sources]
        self.rests = [len(prompt.tokens) - head for prompt, head in zip(self.prompts, self.heads, strict=True)]
        self.families = len(found)
        self.alone = sum(len(family.members) == 1 for family in found)

    @property
    def tokens(self) -> int:
        """How many are read, padding aside."""
        return sum(self.heads[: self.families]) + sum(self.rests)


def read(engine: Engine, cache: SlotCache, steering: Steering, prompts: Sequence[Prompt], first: int = 0) -> list[int]:
    """Read prompts into the slots from `first` on; the index of the prompt that is now in each of them.

    The cache has room for as many rows, and for a token more than the longest of the prompts.
    """
    order: list[int] = []
    for layer, members in _by_block(engine, prompts).items():
        some = [prompts[index] for index in members]
        texts = list({tuple(prompt.tokens): replace(prompt, acting=()) for prompt in some}.values())
        rows, once = _Order(some, engine.least_saved), _Order(texts, engine.least_saved)
        if (rows.tokens - once.tokens) * (layer + 1) < engine.least_saved * engine.layers:
            continue
        slot, longest = first + len(order), max(len(prompt.tokens) for prompt in texts)
        below = BlocksBelow(engine.blocks, layer, len(texts), longest)
        _Reader(engine, cache, steering, slot, below).read(once)
        place = {tuple(prompt.tokens): number for number, prompt in enumerate(once.prompts)}
        own = torch.tensor([place[tuple(prompt.tokens)] for prompt in rows.prompts], device=engine.device)
        cache.move(slot + own, slot + torch.arange(len(own), device=engine.device), longest, layer + 1)
        _Reader(engine, cache, steering, slot, BlocksAbove(below, own)).read(rows)
        order += [members[index] for index in rows.indices]
    if whole := sorted(set(range(len(prompts))) - set(order)):
        rows = _Order([prompts[index] for index in whole], engine.least_saved)
        _Reader(engine, cache, steering, first + len(order), Blocks()).read(rows)
        order += [whole[index] for index in rows.indices]
    return order


def _by_block(engine: Engine, prompts: Sequence[Prompt]) -> dict[int, list[int]]:
    """Indices of prompts by the first block that an edit acts at; of those where none does, with the highest of these.

    Nothing where no edit acts, or where blocks hand on more than their output.
    """
    blocks = [prompt.acting[0][0] for prompt in prompts if prompt.acting]
    found = defaultdict(list)
    if blocks and engine.way != "whole slots":
        for index, prompt in enumerate(prompts):
            found[prompt.acting[0][0] if prompt.acting else max(blocks)].append(index)
    return found


@dataclass(frozen=True)
class _Reader:
    """Has prompts go through some blocks, or all of them, in the slots from `first` on."""

    engine: Engine
    cache: SlotCache
    steering: Steering
    first: int
    blocks: Blocks

    def read(self, order: _Order) -> None:
        for start, stop in _passes(self.engine, order.heads[: order.families]):
            self._begin(order, slice(start, stop))
        if order.alone == len(order.prompts):
            return
        target = torch.arange(order.families, len(order.prompts), device=self.engine.device)
        source = torch.tensor(order.sources[order.families :], device=self.engine.device)
        head = max(order.heads[order.alone :])
        self.cache.move(self.first + source, self.first + target, head)
        self.blocks.move(source, target, head)
        for start, stop in _passes(self.engine, order.rests[order.alone :]):
            self._go_on(order, slice(order.alone + start, order.alone + stop))

    def _begin(self, order: _Order, rows: slice) -> None:
        """Read the heads of some prompts, in one pass."""
        heads, prompts = order.heads[rows], order.prompts[rows]
        if not any(heads):
            return
        self.cache.begin_prompts(self.first + rows.start)
        positions = torch.arange(max(heads), device=self.engine.device).expand(len(heads), -1)
        with self.blocks.passing(rows, positions):
            self.engine.pass_over_prompts(
                [prompt.tokens[:head] for prompt, head in zip(prompts, heads, strict=True)],
                [prompt.request for prompt in prompts],
                self.cache,
                self.steering,
                ends=[len(prompt.tokens) for prompt in prompts],
            )

    def _go_on(self, order: _Order, rows: slice) -> None:
        """Read what remains of some prompts, of which the slots hold the heads, in one pass."""
        engine, device = self.engine, self.engine.device
        heads, prompts = order.heads[rows], order.prompts[rows]
        if not any(order.rests[rows]):
            return
        tokens, real = engine.padded([prompt.tokens[head:] for prompt, head in zip(prompts, heads, strict=True)])
        positions = torch.tensor(heads, device=device)[:, None] + torch.arange(tokens.shape[1], device=device)
        positions.clamp_(max=self.cache.capacity - 1)  # padding: the row's reply overwrites it before it is looked at
        requests = torch.tensor([prompt.request for prompt in prompts], device=device)
        ends = torch.tensor([len(prompt.tokens) for prompt in prompts], device=device)
        self.steering.rows_are(requests, response=False, real=real, ends=ends)
        span, first = 1 + int(positions.max()), self.first + rows.start
        with self.blocks.passing(rows, positions):
            engine.pass_over_extension(
                tokens, positions, span, self.cache, self.steering, first=first, logits_to_keep=1
            )


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
