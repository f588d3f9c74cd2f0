"""Goodfire's API as a backend: its place, and what it lacks."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass

from mindgap.backends.base import Capability, Endpoint, ModelSpec
from mindgap.errors import UnavailableError


@dataclass(frozen=True)
class GoodfireBackend:
    """`backend=goodfire`. The hosted service is withdrawn and this version cannot drive any other server of its API."""

    @property
    def name(self) -> str:
        return "goodfire"

    def lacks(self, model: ModelSpec, needs: frozenset[Capability]) -> list[str]:
        """See `Backend.lacks`."""
        missing = []
        if model.goodfire_id is None:
            missing.append(f"a Goodfire name of {model.name} (model.goodfire_id)")
        if importlib.util.find_spec("goodfire") is None:
            missing.append("the extra: pip install 'mindgap[goodfire]'")
        if not os.environ.get("GOODFIRE_API_KEY"):
            missing.append("a key (GOODFIRE_API_KEY)")
        return [*missing, "a service: Goodfire's was withdrawn in late 2025, and this version speaks to no other"]

    def open(self, model: ModelSpec) -> Endpoint:
        """Raises UnavailableError."""
        raise UnavailableError("; ".join(self.lacks(model, frozenset())))
