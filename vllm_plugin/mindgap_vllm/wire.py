"""How a request says what is done inside the model: a *program*, read and checked here, whatever it was sent as.

A program is JSON, in `vllm_xargs={"mindgap": "…"}`:

    {"version": 1, "width": 576, "dtype": "float32", "vectors": "<base64, little endian, [n, width]>", "start": 41,
     "layers": {"12": {"add": [[0, null, 3]],
                       "read": [[1, -0.2, 0.0]],
                       "change": [{"kind": "feature", "from": 0, "to": null, "read": 0, "write": 2, …}]}}}

With residual stream x at the output of a block (the stream before anything is done to it there):

    add     [from, to, vector]           adds the vector at tokens from … to of the text, ends included; null = no end
    read    [vector, bias, threshold]    z = x . vector + bias, and 0 where z <= threshold; threshold null = z itself
    change  adds `amount` times vector `write` at tokens from … to, times exp(-fading * tokens since start):
        add            amount = share
        constant_norm  amount = share, and the whole is then as long as x was; reads the unit vector that it writes
        bound          amount = share * (clip(z, low, high) - z); null = no bound
        feature        amount = gain * z + offset, where `when` holds
        rotate         turns the part in the plane of `read` and `second_read` towards `angle` (radians), by `share` of
                       the way; writes `write` and `second_write`
    when    {"needed": n, "compare": [[read, bound, below, at, above], …]}: at least n of the comparisons hold, each of
            which says whether it holds for a z below, at and above its bound

This module needs numpy alone, so that mindgap's own tests can read what mindgap writes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mindgap_vllm.fields import END, Fields, ProgramError, index, number, span

NAME = "mindgap"
"""Of the program in `vllm_xargs`."""
WIRE = 1
"""Version of the form above."""
KINDS = ("none", "add", "constant_norm", "bound", "feature", "rotate", "rotate_second")
"""Kinds of change by their numbers; `rotate` takes two places, the second for what it writes across."""


@dataclass(frozen=True)
class Limits:
    """What a server has room for, a request.

    Attributes:
        width: Of the residual stream.
        layers: Number of blocks.
        sums: Distinct vectors that are added as they are, one for every stretch of tokens and block.
        vectors: Distinct vectors that are read or written by changes, all blocks together.
        reads: Reads at one block.
        changes: Changes at one block; a rotation counts twice.
        comparisons: Of one condition.
        change_layers: Blocks at which changes may act; None = all.
    """

    width: int
    layers: int
    sums: int = 16
    vectors: int = 16
    reads: int = 8
    changes: int = 8
    comparisons: int = 4
    change_layers: frozenset[int] | None = None

    def __post_init__(self) -> None:
        for name in ("width", "layers", "sums", "vectors", "reads", "changes", "comparisons"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")

    def allows_changes(self, layer: int) -> bool:
        """Whether changes may act at a block."""
        return self.change_layers is None or layer in self.change_layers


@dataclass(frozen=True)
class Read:
    """One projection of the stream, or one activation of a feature. Threshold -inf = the projection itself."""

    vector: int
    bias: float
    threshold: float


@dataclass(frozen=True)
class Change:
    """One place of a layer's changes; see the module. `compare` holds (read, bound, below, at, above)."""

    kind: int
    first: int
    last: int
    fading: float
    write: int
    read: int = 0
    second_read: int = 0
    share: float = 1.0
    low: float = -math.inf
    high: float = math.inf
    angle: float = 0.0
    gain: float = 0.0
    offset: float = 0.0
    needed: int = 0
    compare: tuple[tuple[int, float, bool, bool, bool], ...] = ()


@dataclass(frozen=True)
class LayerProgram:
    """What is done at one block.

    Attributes:
        starts: Tokens at which another sum begins to be added, ascending, the first 0.
        sums: What is added from each of them on: float32 `[d_model]`, None = nothing.
        reads: Likewise of the changes.
        changes: With a rotation as two.
    """

    starts: tuple[int, ...]
    sums: tuple[np.ndarray | None, ...]
    reads: tuple[Read, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Program:
    """What is done for one request.

    Attributes:
        start: Index of the last prompt token, from which fading counts.
        vectors: float32 `[n, d_model]`.
        layers: By index of the block.
    """

    start: int
    vectors: np.ndarray
    layers: Mapping[int, LayerProgram]


def text_of(extra_args: Mapping[str, Any] | None) -> str | None:
    """The program in a request's extra arguments, as it was sent; None where it has none."""
    text = (extra_args or {}).get(NAME)
    if text is not None and not isinstance(text, str):
        raise ProgramError(f"vllm_xargs.{NAME} must be text: JSON that mindgap's backend=vllm writes")
    return text


def salt_of(text: str) -> str:
    """What keeps the cached blocks of requests with this program apart from all others."""
    return f"mindgap:{hashlib.sha256(text.encode()).hexdigest()}"


def read_program(text: str, limits: Limits) -> Program:
    """The program in a request.

    Raises:
        ProgramError: It is none, or there is no room for it here.
    """
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProgramError(f"vllm_xargs.{NAME} is no JSON ({error})") from error
    fields = Fields(whole, "the program")
    if (version := fields.whole("version")) != WIRE:
        raise ProgramError(f"the program is written in version {version}; this plugin reads version {WIRE}")
    if (width := fields.whole("width")) != limits.width:
        raise ProgramError(f"the program's vectors have width {width}; the model's residual stream has {limits.width}")
    vectors = _vectors(fields, width)
    layers = {}
    for name, content in fields.mapping("layers").items():
        if not name.isdecimal() or int(name) >= limits.layers:
            raise ProgramError(f"the program names block {name[:20]!r}; the model has blocks 0 to {limits.layers - 1}")
        layers[int(name)] = _layer(Fields(content, f"block {name}"), int(name), vectors, limits)
    program = Program(fields.whole("start", 0), vectors, layers)
    _check_room(program, limits)
    return program


def _check_room(program: Program, limits: Limits) -> None:
    sums = sum(value is not None for layer in program.layers.values() for value in layer.sums)
    used = {read.vector for layer in program.layers.values() for read in layer.reads}
    used |= {change.write for layer in program.layers.values() for change in layer.changes}
    for name, count, most in (("sums", sums, limits.sums), ("vectors", len(used), limits.vectors)):
        if count > most:
            raise ProgramError(
                f"the program takes {count} {name}; this server has room for {most} a request: start it with more "
                f"({name}={count})"
            )


def _vectors(fields: Fields, width: int) -> np.ndarray:
    kind = fields.text("dtype")
    if kind not in ("float32", "bfloat16"):
        raise ProgramError(f"dtype {kind[:20]!r}: float32 or bfloat16")
    try:
        data = base64.b64decode(fields.text("vectors"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProgramError(f"the program's vectors are no base64 ({error})") from error
    size = 4 if kind == "float32" else 2
    if len(data) % (size * width):
        raise ProgramError(f"the program's vectors are {len(data)} bytes, no multiple of width {width}")
    if kind == "float32":
        flat = np.frombuffer(data, dtype="<f4")
    else:  # a bfloat16 is the upper half of a float32
        flat = (np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    if not np.isfinite(flat).all():
        raise ProgramError("the program's vectors hold a number that is not finite")
    return flat.astype(np.float32).reshape(-1, width)


def _layer(fields: Fields, layer: int, vectors: np.ndarray, limits: Limits) -> LayerProgram:
    starts, sums = _sums(fields, vectors)
    reads = tuple(_read(entry, fields.what, len(vectors)) for entry in fields.list("read"))
    changes: list[Change] = []
    for entry in fields.list("change"):
        changes += _changes(Fields(entry, f"a change at {fields.what}"), len(vectors), len(reads), limits)
    if changes and not limits.allows_changes(layer):
        raise ProgramError(
            f"block {layer} has changes (pins, ablations, conditions …); this server was started for those at blocks "
            f"{sorted(limits.change_layers or ())} only"
        )
    for name, count, most in (("reads", len(reads), limits.reads), ("changes", len(changes), limits.changes)):
        if count > most:
            raise ProgramError(f"{fields.what} has {count} {name}; this server has room for {most}: start it with more")
    return LayerProgram(starts, sums, reads, tuple(changes))


def _sums(fields: Fields, vectors: np.ndarray) -> tuple[tuple[int, ...], tuple[np.ndarray | None, ...]]:
    """What is added in each stretch of tokens, from those that each vector is added at."""
    added = []
    for entry in fields.list("add"):
        if not isinstance(entry, list) or len(entry) != 3:
            raise ProgramError(f"{fields.what}: an entry of add is [from, to, vector]")
        first, last = span(entry[0], entry[1], fields.what)
        added.append((first, last, index(entry[2], len(vectors), f"{fields.what}: a vector")))
    starts = sorted({0, *(first for first, _, _ in added), *(last + 1 for _, last, _ in added if last < END)})
    sums: list[np.ndarray | None] = []
    for start in starts:
        here = [vectors[vector] for first, last, vector in added if first <= start <= last]
        sums.append(np.stack(here).sum(axis=0, dtype=np.float32) if here else None)
    return tuple(starts), tuple(sums)


def _read(entry: Any, what: str, vectors: int) -> Read:
    if not isinstance(entry, list) or len(entry) != 3:
        raise ProgramError(f"{what}: an entry of read is [vector, bias, threshold]")
    threshold = -math.inf if entry[2] is None else number(entry[2], f"{what}: a threshold")
    return Read(index(entry[0], vectors, f"{what}: a vector"), number(entry[1], f"{what}: a bias"), threshold)


def _changes(fields: Fields, vectors: int, reads: int, limits: Limits) -> list[Change]:
    kind = fields.text("kind")
    if kind not in ("add", "constant_norm", "bound", "feature", "rotate"):
        raise ProgramError(f"{fields.what} is of kind {kind[:20]!r}, which this plugin does not know")
    first, last = span(fields.get("from"), fields.get("to"), fields.what)
    fading = fields.number("fading", 0.0)
    if fading < 0:
        raise ProgramError(f"{fields.what} fades by {fading}, which must be 0 or more")
    write = index(fields.get("write"), vectors, f"{fields.what}: write")
    change = Change(KINDS.index(kind), first, last, fading, write, share=fields.number("share", 1.0))
    if kind == "add":
        return [change]
    change = replace(change, read=index(fields.get("read"), reads, f"{fields.what}: read"))
    if kind == "constant_norm":
        return [change]
    if kind == "bound":
        low, high = fields.bound("low", -math.inf), fields.bound("high", math.inf)
        if low > high:
            raise ProgramError(f"{fields.what} is bounded by {low} and {high}, which leaves no room")
        return [replace(change, low=low, high=high)]
    if kind == "rotate":
        second = index(fields.get("second_read"), reads, f"{fields.what}: second_read")
        across = index(fields.get("second_write"), vectors, f"{fields.what}: second_write")
        change = replace(change, second_read=second, angle=fields.number("angle"))
        return [change, replace(change, kind=KINDS.index("rotate_second"), write=across)]
    needed, compare = _condition(fields, reads, limits)
    gain, offset = fields.number("gain"), fields.number("offset")
    return [replace(change, gain=gain, offset=offset, needed=needed, compare=compare)]


def _condition(
    fields: Fields, reads: int, limits: Limits
) -> tuple[int, tuple[tuple[int, float, bool, bool, bool], ...]]:
    when = fields.get("when")
    if when is None:
        return 0, ()
    condition = Fields(when, f"the condition of {fields.what}")
    compare = []
    for entry in condition.list("compare"):
        if not isinstance(entry, list) or len(entry) != 5:
            raise ProgramError(f"{condition.what}: a comparison is [read, bound, below, at, above]")
        read = index(entry[0], reads, f"{condition.what}: read")
        below, at, above = map(bool, entry[2:])
        compare.append((read, number(entry[1], f"{condition.what}: a bound"), below, at, above))
    if len(compare) > limits.comparisons:
        raise ProgramError(f"{condition.what} compares {len(compare)}; this server has room for {limits.comparisons}")
    needed = condition.whole("needed")
    if not 1 <= needed <= len(compare):
        raise ProgramError(f"{condition.what} needs {needed} of {len(compare)} comparisons")
    return needed, tuple(compare)
