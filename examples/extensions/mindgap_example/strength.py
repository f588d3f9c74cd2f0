"""A strength: as the method makes it, but never more than so much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mindgap.core.edits import Edit
from mindgap.steering.strength import relative_dose


@dataclass(frozen=True)
class AtMost:
    """Edits as they are, scaled down to a relative dose of `dose` where they are stronger."""

    dose: float = 0.2

    def __post_init__(self) -> None:
        if self.dose <= 0:
            raise ValueError(f"dose must be above 0, not {self.dose}")

    @property
    def label(self) -> str:
        """For folders and tables."""
        return f"atmost{self.dose:g}"

    def apply(self, edits: tuple[Edit, ...], residual_norm: Callable[[int], float]) -> tuple[Edit, ...]:
        """The edits at this strength."""
        native = relative_dose(edits, residual_norm)
        if native is None or native <= self.dose:
            return edits
        return tuple(edit.scaled(self.dose / native) for edit in edits)
