"""What is measured on the bench is measured once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mindgap.core.records import Message
from mindgap.steering.bench import SteeringBench
from mindgap.storage.store import Store


@dataclass
class Counted:
    """The part of an endpoint that the bench measures features with; notes what was measured."""

    sae_identity: str
    identity: str = "model"
    measured: list[object] = field(default_factory=list)

    def feature_means(self, texts: object) -> np.ndarray:
        self.measured.append(texts)
        return np.full((1, 3), len(self.sae_identity), dtype=np.float32)


def test_feature_means_are_kept_for_each_sae_and_texts(tmp_path: Path) -> None:
    texts, others = ([((Message("user", "Why?"),), reply)] for reply in ("So.", "Not so."))
    store = Store(tmp_path / "store.sqlite")
    first, second = (SteeringBench(Counted(name), store, 0) for name in ("a@1", "another@2"))  # type: ignore[arg-type]
    assert first.feature_means(texts).tolist() == first.feature_means(texts).tolist() == [[3, 3, 3]]
    assert second.feature_means(texts).tolist() == [[9, 9, 9]]
    first.feature_means(others)
    assert first.endpoint.measured == [texts, others]  # type: ignore[attr-defined]
    assert second.endpoint.measured == [texts]  # type: ignore[attr-defined]
