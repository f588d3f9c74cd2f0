"""`backend=replay`: where recorded results are not, and where they are read.

A request is its content: mindgap generates one reply to it and keeps that by key. A recording holds several replies to
one content (the unsteered model was asked the same under every query) and steering that cannot be told from the
messages. Serving them by request would have to guess, so recordings are imported sample by sample instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from mindgap.backends.base import Capability, Endpoint
from mindgap.core.errors import UnavailableError
from mindgap.core.model import ModelSpec


@dataclass(frozen=True)
class ReplayBackend:
    """Generates nothing; says which command imports a recording."""

    @property
    def name(self) -> str:
        """See `Backend.name`."""
        return "replay"

    def lacks(self, model: ModelSpec, needs: frozenset[Capability]) -> list[str]:
        """See `Backend.lacks`."""
        return [
            "a model, since recorded responses are imported and not generated: "
            "python -m mindgap.replay FILE outputs/NAME map=NAME (with judge=… to score them anew; --help says more)"
        ]

    def open(self, model: ModelSpec) -> Endpoint:
        """Refuse, in the words of `lacks`.

        Raises:
            UnavailableError: Always.
        """
        raise UnavailableError(f"backend=replay lacks {'; '.join(self.lacks(model, frozenset()))}")
