"""A backend that stops after its third reply until a file is there, and writes down what it was asked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mindgap.backends.base import Capability
from mindgap.core.model import ModelSpec
from mindgap.core.records import Completion, OptionScores, OptionsRequest, Request

CAN: frozenset[Capability] = frozenset({"generate"})
BEFORE = 3


@dataclass(frozen=True)
class HeldBackend:
    """Backend and endpoint in one.

    Attributes:
        folder: Where the keys of requests that were answered are written, to `asked`, and `go` is waited for.
    """

    folder: str
    name: str = "held"
    identity: str = "held"
    can: frozenset[Capability] = CAN

    def lacks(self, model: ModelSpec, needs: frozenset[Capability]) -> list[str]:
        return [str(need) for need in sorted(needs - CAN)]

    def open(self, model: ModelSpec) -> HeldBackend:
        return self

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        folder = Path(self.folder)
        for index, request in enumerate(requests):
            while index >= BEFORE and not (folder / "go").exists():
                time.sleep(0.05)
            with (folder / "asked").open("a") as file:
                file.write(f"{request.key}\n")
            yield index, Completion(f"{index % 5 + 1} of {request.messages[-1].content}", "stop")

    def loglikelihood(self, requests: Sequence[OptionsRequest]) -> Iterator[tuple[int, OptionScores]]:
        raise NotImplementedError("it says that it cannot")
