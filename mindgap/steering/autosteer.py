"""Auto Steer: from the words of a query to edits of SAE features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mindgap.backends.base import Capability
from mindgap.errors import UnavailableError
from mindgap.records import Query
from mindgap.steering.bench import SteeringBench
from mindgap.steering.edits import AddVector


@dataclass(frozen=True)
class AutoSteer:
    """Names what Auto Steer needs, so that a run that asks for it is refused before anything is spent.

    No backend of this version offers `features`; `edits` is reached by nobody and says so.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset({"generate", "features"})

    def edits(self, queries: Sequence[Query], bench: SteeringBench) -> list[tuple[AddVector, ...]]:
        """Raises UnavailableError."""
        raise UnavailableError("method=autosteer needs a backend with SAE features; this version has none")
