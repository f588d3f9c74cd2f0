"""Activation vectors, made on a small random model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mindgap.core.errors import ConfigError
from mindgap.core.records import Query
from mindgap.steering.bench import SteeringBench
from mindgap.steering.strength import Dose, relative_dose
from mindgap.steering.vectors import DifferenceInMeans, RandomDirection, block_at, contrast_prompts, reference_norm
from mindgap.storage.store import Store

QUERIES = [Query("be funny", ""), Query("be sad", "")]
FEW = DifferenceInMeans(depth=0.5, prompts=4)


class Counting:
    """The endpoint, with a count of what it was asked to do."""

    def __init__(self, endpoint) -> None:  # type: ignore[no-untyped-def]
        self._endpoint, self.calls = endpoint, 0

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        value = getattr(self._endpoint, name)
        if name not in ("generate", "residuals", "residual_norms"):
            return value

        def counted(*arguments):  # type: ignore[no-untyped-def]
            self.calls += 1
            return value(*arguments)

        return counted


@pytest.fixture
def endpoint(small_model):  # type: ignore[no-untyped-def]
    pytest.importorskip("torch")
    from mindgap.backends.local import LocalEndpoint
    from mindgap.backends.local.engine import Engine

    return Counting(LocalEndpoint(Engine(small_model.model, small_model.tokenizer, max_rows=8), "local/small"))


def bench(endpoint, folder: Path, seed: int = 0) -> SteeringBench:  # type: ignore[no-untyped-def]
    return SteeringBench(endpoint, Store(folder / "store.sqlite"), seed)


def test_the_vector_is_the_difference_in_means(endpoint, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from mindgap.core.records import Message

    on = bench(endpoint, tmp_path)
    (edit,), _ = FEW.edits(QUERIES, on)
    means = []
    for system in ([Message("system", FEW.instruction.replace("{query}", "be funny"))], []):
        prompts = [(*system, Message("user", prompt)) for prompt in contrast_prompts(4)]
        replies = on.respond(prompts, 48)
        texts = [(p, r.text) for p, r in zip(prompts, replies, strict=True) if r.text.strip()]
        means.append(endpoint.residuals(texts, edit.layer).mean(0))
    np.testing.assert_allclose(edit.vector, means[0] - means[1], atol=1e-5)
    assert edit.layer == block_at(0.5, 4) == 1


def test_a_second_time_costs_nothing_and_gives_the_same(endpoint, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    first = FEW.edits(QUERIES, bench(endpoint, tmp_path))
    endpoint.calls = 0
    again = FEW.edits(QUERIES[::-1], bench(endpoint, tmp_path))
    assert endpoint.calls == 0
    assert [edit.key for (edit,) in again] == [edit.key for (edit,) in first[::-1]]


def test_queries_get_different_vectors(endpoint, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (funny,), (sad,) = FEW.edits(QUERIES, bench(endpoint, tmp_path))
    assert funny.key != sad.key


def test_random_directions_belong_to_seed_and_query(endpoint, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    method = RandomDirection(depth=0.5, norm=0.3)
    (funny,), (sad,) = method.edits(QUERIES, bench(endpoint, tmp_path))
    ((alone,),) = method.edits(QUERIES[1:], bench(endpoint, tmp_path))
    (other,), _ = method.edits(QUERIES, bench(endpoint, tmp_path, seed=1))
    assert alone.key == sad.key
    assert len({funny.key, sad.key, other.key}) == 3
    norm = reference_norm(bench(endpoint, tmp_path), funny.layer)
    assert relative_dose((funny,), lambda layer: norm) == pytest.approx(0.3, rel=1e-5)


def test_vector_and_random_meet_at_the_same_dose(endpoint, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    on = bench(endpoint, tmp_path)

    def norm(layer: int) -> float:
        return reference_norm(on, layer)

    for method in (FEW, RandomDirection(depth=0.5)):
        for edits in method.edits(QUERIES, on):
            assert relative_dose(Dose(0.25).apply(edits, norm), norm) == pytest.approx(0.25, rel=1e-5)


def test_depth_counts_blocks_from_the_bottom() -> None:
    assert [block_at(depth, 30) for depth in (0.01, 0.4, 1.0)] == [0, 11, 29]


@pytest.mark.parametrize(
    "settings", [{"depth": 0}, {"depth": 1.2}, {"positions": "some"}, {"prompts": 1}, {"instruction": "Be funny"}]
)
def test_settings_out_of_range_are_refused(settings: dict) -> None:
    with pytest.raises(ConfigError):
        DifferenceInMeans(**settings)


def test_contrast_prompts_are_many_and_different() -> None:
    prompts = contrast_prompts(100)
    assert len(prompts) >= 24 and len(set(prompts)) == len(prompts)
