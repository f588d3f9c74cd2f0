"""The features of the served model's SAE under the names that clients know them by."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any
from uuid import UUID, uuid5

import numpy as np

from mindgap.backends.base import FeatureEndpoint
from mindgap.ember.errors import RequestError

NAMESPACE = UUID("6f0d7c52-8c1b-5c0e-9d1e-2f6a3f1b7a54")


class Features:
    """endpoint: whose features they are. A feature's UUID depends on the SAE's identity and its index alone."""

    def __init__(self, endpoint: FeatureEndpoint) -> None:
        self._endpoint = endpoint
        self._searching = threading.Lock()

    @property
    def sae(self) -> str:
        return self._endpoint.sae_identity

    @property
    def layer(self) -> int:
        return self._endpoint.sae_layer

    @property
    def count(self) -> int:
        return self._endpoint.features

    @cached_property
    def scales(self) -> np.ndarray:
        return self._endpoint.scales

    def uuid(self, index: int) -> UUID:
        return uuid5(NAMESPACE, f"{self.sae}/{index}")

    @cached_property
    def _by_uuid(self) -> dict[UUID, int]:
        return {self.uuid(index): index for index in range(self.count)}

    def index_of(self, uuid: UUID) -> int:
        """Raises RequestError, 404, for a feature of another SAE."""
        if (index := self._by_uuid.get(uuid)) is None:
            raise RequestError(404, f"Feature {uuid} not found: it is none of {self.sae}.")
        return index

    def check(self, index: int, uuid: UUID | None = None) -> int:
        """The index. Raises RequestError, 404, if there is none such, or if `uuid` says it is another SAE's."""
        if not 0 <= index < self.count:
            raise RequestError(404, f"Feature {index} not found: {self.sae} has features 0 to {self.count - 1}.")
        if uuid is not None and uuid != self.uuid(index):
            raise RequestError(
                404,
                f"Feature {uuid} with index_in_sae {index} not found: it is of another SAE than {self.sae}. "
                "Search for it here.",
            )
        return index

    def described(self, index: int, **more: Any) -> dict[str, Any]:
        """A feature as JSON."""
        label = self._endpoint.label(index)
        return {"id": str(self.uuid(index)), "label": label, "index_in_sae": index, **more}

    def relevance(self, text: str) -> np.ndarray:
        """See `FeatureEndpoint.relevance`. From any thread."""
        with self._searching:
            return self._endpoint.relevance(text)

    def search(self, text: str, start: int, count: int) -> list[dict[str, Any]]:
        """Live features near `text` in meaning, best first, from place `start` on."""
        scores = self.relevance(text)
        best = np.argsort(-scores, kind="stable")[start : start + count]
        return [self._scored(index, scores) for index in best if scores[index] > 0]

    def ranked(self, indices: Sequence[int], text: str, count: int) -> list[dict[str, Any]]:
        """These features by nearness to `text`, best first."""
        scores = self.relevance(text)
        best = sorted(dict.fromkeys(indices), key=lambda index: -scores[index])[:count]
        return [self._scored(index, scores) for index in best]

    def neighbours(self, indices: Sequence[int], count: int) -> list[dict[str, Any]]:
        """Live features whose decoder directions are nearest to the mean of these features' (cosine)."""
        units = self._units
        likeness = units @ units[list(indices)].mean(0)
        likeness[list(indices)] = -np.inf
        likeness[self.scales <= 0] = -np.inf
        best = np.argsort(-likeness, kind="stable")[:count]
        return [self.described(int(index)) for index in best if np.isfinite(likeness[index])]

    @cached_property
    def _units(self) -> np.ndarray:
        directions = self._endpoint.directions(range(self.count))
        return directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)

    def _scored(self, index: int, scores: np.ndarray) -> dict[str, Any]:
        return self.described(int(index), relevance=float(scores[index]))
