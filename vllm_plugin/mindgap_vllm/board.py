"""Who is steered how in the running pass: programs of the requests in the batch, and what each token points at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from mindgap_vllm.bank import Bank
from mindgap_vllm.fields import END
from mindgap_vllm.point import FIELDS, Point, Tables, numbers_of, read_numbers_of
from mindgap_vllm.wire import Limits, Program, read_program


@dataclass(frozen=True)
class Batch:
    """The running pass.

    Attributes:
        requests: Ids, in the order of their tokens.
        programs: The text of each one's program, of those that have one.
        computed: Tokens of each request that were read before.
        scheduled: Tokens of each that are read now.
    """

    requests: Sequence[str]
    programs: Mapping[str, str]
    computed: np.ndarray
    scheduled: np.ndarray


@dataclass
class _Steered:
    """A request in the batch.

    Attributes:
        number: Of its program on the device.
        sum_rows: By block: rows of what is added in each stretch of tokens.
        settled: From this token on nothing changes any more; END where something fades.
    """

    program: Program
    number: int
    sum_rows: dict[int, np.ndarray] = field(default_factory=dict)
    direction_rows: list[int] = field(default_factory=list)
    settled: int = 0


class Board:
    """Keeps the tables that the blocks' points read.

    Args:
        limits: Room a request.
        sequences: Most requests in a pass.
        tokens: Most tokens in a pass.
        device: Where the tables lie.
        dtype: The model's.
        eager: Whether every pass runs its code anew, so that blocks without steering can be left out.
    """

    def __init__(
        self, limits: Limits, *, sequences: int, tokens: int, device: torch.device, dtype: torch.dtype, eager: bool
    ) -> None:
        self.limits, self.eager = limits, eager
        blocks, programs = limits.layers, sequences + 1
        self.sums = Bank(sequences * limits.sums, limits.width, device, dtype)
        self.directions = Bank(sequences * limits.vectors, limits.width, device, torch.float32)
        self._changing = [layer for layer in range(blocks) if limits.allows_changes(layer)]
        self._place = {layer: place for place, layer in enumerate(self._changing)}
        changing, changes, reads = len(self._changing), limits.changes, limits.reads
        width = len(FIELDS) + 5 * limits.comparisons
        self._sum_rows = np.zeros((blocks, tokens), np.int64)
        self._program = np.zeros(tokens, np.int64)
        self._weights = np.zeros((changing, tokens, changes), np.float32)
        # what every token of a request points at once it has settled, by the number of the program
        self._settled_rows = np.zeros((programs, blocks), np.int64)
        self._settled_weights = np.zeros((programs, changing, changes), np.float32)

        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
            return torch.zeros(*shape, device=device, dtype=dtype)

        self._on_device = {
            "sum_rows": zeros(blocks, tokens),
            "program": zeros(tokens),
            "weights": zeros(changing, tokens, changes, dtype=torch.float32),
            "numbers": zeros(changing, programs, changes, width, dtype=torch.float32),
            "read_rows": zeros(changing, programs, reads),
            "read_numbers": zeros(changing, programs, reads, 2, dtype=torch.float32),
            "write_rows": zeros(changing, programs, changes),
        }
        self._free = list(range(sequences, 0, -1))
        self._steered: dict[str, _Steered] = {}
        self._used: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())
        self._reach = 0  # tokens of the last pass, if it steered any: none behind them points at anything
        self.points = [self._point(layer) for layer in range(blocks)]

    def _point(self, layer: int) -> Point:
        place = self._place.get(layer)
        whole = self._on_device
        names = ("weights", "numbers", "read_rows", "read_numbers", "write_rows")
        own = {name: torch.empty(0) if place is None else whole[name][place] for name in names}
        tables = Tables(self.sums.table, whole["sum_rows"][layer], self.directions.table, whole["program"], **own)
        as_one = not self.eager and whole["program"].device.type == "cpu"
        return Point(tables, changes=place is not None, as_one=as_one)

    @property
    def steered(self) -> int:
        """Requests with a program in the last pass."""
        return len(self._steered)

    def clear(self) -> None:
        """State that the next pass steers nothing, and computes everything: one that a graph is made from."""
        for tensor in (self._on_device["sum_rows"], self._on_device["program"], self._on_device["weights"]):
            tensor.zero_()
        self._sum_rows[:], self._program[:], self._weights[:] = 0, 0, 0
        self._used, self._reach = (frozenset(), frozenset()), 0
        for point in self.points:
            point.adds, point.acts = True, point.changes

    def prepare(self, batch: Batch) -> None:
        """State what the next pass carries.

        Raises:
            BankFullError: Room for its vectors is lacking.
            ProgramError: A program cannot be run, which was not noticed on its way in.
        """
        self._admit(batch)
        tokens = int(batch.scheduled.sum())
        adds, acts = self._fill(batch, tokens)
        self._send(adds, acts, tokens)

    def _admit(self, batch: Batch) -> None:
        """Have the requests of the batch, and no others, hold rows and programs."""
        wanted = {request: batch.programs[request] for request in batch.requests if request in batch.programs}
        for request in [known for known in self._steered if known not in wanted]:
            self._release(self._steered.pop(request))
        for request, text in wanted.items():
            if request not in self._steered:
                self._steered[request] = self._take(read_program(text, self.limits))
        self.sums.write()
        self.directions.write()

    def _release(self, steered: _Steered) -> None:
        for row in [row for rows in steered.sum_rows.values() for row in rows.tolist() if row]:
            self.sums.give(row)
        for row in steered.direction_rows:
            self.directions.give(row)
        self._free.append(steered.number)

    def _take(self, program: Program) -> _Steered:
        steered = _Steered(program, self._free.pop())
        number = steered.number
        self._settled_rows[number], self._settled_weights[number] = 0, 0
        for layer, here in program.layers.items():
            rows = np.array([0 if vector is None else self.sums.take(vector) for vector in here.sums])
            steered.sum_rows[layer] = rows
            self._settled_rows[number, layer] = rows[-1]
            steered.settled = max(steered.settled, here.starts[-1])
            for change in here.changes:
                edges = [change.first, change.last + 1 if change.last < END else 0, END if change.fading else 0]
                steered.settled = max(steered.settled, *edges)
        self._write_changes(steered)
        return steered

    def _write_changes(self, steered: _Steered) -> None:
        number, program, limits = steered.number, steered.program, self.limits
        changed = {layer: here for layer, here in program.layers.items() if here.changes}
        used = {read.vector for here in changed.values() for read in here.reads}
        used |= {change.write for here in changed.values() for change in here.changes}
        rows = {vector: self.directions.take(program.vectors[vector]) for vector in sorted(used)}
        steered.direction_rows = list(rows.values())
        whole = self._on_device
        for layer, here in changed.items():
            place = self._place[layer]
            numbers = np.zeros(whole["numbers"].shape[2:], np.float32)
            writes, reads = np.zeros(limits.changes, np.int64), np.zeros(limits.reads, np.int64)
            read_numbers = np.zeros((limits.reads, 2), np.float32)
            for slot, change in enumerate(here.changes):
                numbers[slot], writes[slot] = numbers_of(change, limits), rows[change.write]
            for slot, read in enumerate(here.reads):
                reads[slot], read_numbers[slot] = rows[read.vector], read_numbers_of(read)
            parts = {"numbers": numbers, "write_rows": writes, "read_rows": reads, "read_numbers": read_numbers}
            for name, part in parts.items():
                whole[name][place, number].copy_(torch.from_numpy(part))
            after = np.array([max(steered.settled, 0)])
            if steered.settled < END:
                self._settled_weights[number, place] = self._weights_at(steered, layer, after)[0]
        # a block that this program leaves alone may hold another's numbers: its weights are 0 there

    def _weights_at(self, steered: _Steered, layer: int, positions: np.ndarray) -> np.ndarray:
        """How much of each change acts at tokens of a text: `[positions, changes]`."""
        weights = np.zeros((len(positions), self.limits.changes), np.float32)
        after = np.maximum(positions - steered.program.start, 0)
        for slot, change in enumerate(steered.program.layers[layer].changes):
            inside = (positions >= change.first) & (positions <= change.last)
            weights[:, slot] = inside * change.share * np.exp(-change.fading * after)
        return weights

    def _fill(self, batch: Batch, tokens: int) -> tuple[frozenset[int], frozenset[int]]:
        """What each token points at; returns the blocks where anything is added, and those where changes act."""
        reach = max(tokens, self._reach)
        self._sum_rows[:, :reach], self._program[:reach], self._weights[:, :reach] = 0, 0, 0
        adds: set[int] = set()
        acts: set[int] = set()
        ends = np.cumsum(batch.scheduled)
        settled_tokens, settled_numbers = [], []
        for request, computed, scheduled, end in zip(
            batch.requests, batch.computed.tolist(), batch.scheduled.tolist(), ends.tolist(), strict=True
        ):
            steered = self._steered.get(request)
            if steered is None:
                continue
            program = steered.program
            adds.update(program.layers)
            acts.update(layer for layer, here in program.layers.items() if here.changes)
            if computed >= steered.settled and scheduled == 1:
                settled_tokens.append(end - 1)
                settled_numbers.append(steered.number)
                continue
            here, positions = slice(end - scheduled, end), np.arange(computed, computed + scheduled)
            self._program[here] = steered.number
            for layer, parts in program.layers.items():
                stretch = np.searchsorted(parts.starts, positions, side="right") - 1
                self._sum_rows[layer, here] = steered.sum_rows[layer][stretch]
                if parts.changes:
                    self._weights[self._place[layer], here] = self._weights_at(steered, layer, positions)
        if settled_tokens:
            self._program[settled_tokens] = settled_numbers
            self._sum_rows[:, settled_tokens] = self._settled_rows[settled_numbers].T
            if acts:
                self._weights[:, settled_tokens] = self._settled_weights[settled_numbers].swapaxes(0, 1)
        return frozenset(adds), frozenset(acts)

    def _send(self, adds: frozenset[int], acts: frozenset[int], tokens: int) -> None:
        """Put what was filled on the device: the blocks in use now, and those of the last pass, now zero."""
        whole = self._on_device
        before_adds, before_acts = self._used
        # also behind the last token: a later, longer pass may steer nothing there, and a graph always looks
        reach = max(tokens, self._reach)
        if adds or before_adds or acts or before_acts:
            whole["program"][:reach].copy_(torch.from_numpy(self._program[:reach]))
        for layer in sorted(adds | before_adds):
            whole["sum_rows"][layer, :reach].copy_(torch.from_numpy(self._sum_rows[layer, :reach]))
        for layer in sorted(acts | before_acts):
            place = self._place[layer]
            whole["weights"][place, :reach].copy_(torch.from_numpy(self._weights[place, :reach]))
        self._used = adds, acts
        self._reach = tokens if adds or acts else 0
        for layer, point in enumerate(self.points):
            point.adds = not self.eager or layer in adds
            point.acts = point.changes and (not self.eager or layer in acts)
