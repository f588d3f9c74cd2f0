"""Sampling follows the distribution, keeps to the nucleus, and belongs to the request."""

from __future__ import annotations

import numpy as np
import pytest

from mindgap.core.records import Decoding

torch = pytest.importorskip("torch")

from mindgap.backends.local import sampling  # noqa: E402


def pick(logits: list[float], temperature: float, top_p: float, uniform: np.ndarray) -> np.ndarray:
    rows = len(uniform)
    return sampling.choose(
        torch.tensor(logits).expand(rows, -1),
        torch.full((rows,), temperature),
        torch.full((rows,), top_p),
        torch.tensor(uniform, dtype=torch.float32),
    ).numpy()


EVEN = (np.arange(20_000) + 0.5) / 20_000


def test_frequencies_are_the_probabilities() -> None:
    probabilities = np.array([0.5, 0.05, 0.3, 0.15])
    counts = np.bincount(pick(np.log(probabilities).tolist(), 1.0, 1.0, EVEN), minlength=4) / len(EVEN)
    np.testing.assert_allclose(counts, probabilities, atol=1e-3)


def test_temperature_sharpens() -> None:
    counts = np.bincount(pick(np.log([0.6, 0.4]).tolist(), 0.5, 1.0, EVEN), minlength=2) / len(EVEN)
    np.testing.assert_allclose(counts, np.array([0.36, 0.16]) / 0.52, atol=1e-3)


def test_only_the_nucleus_is_drawn_from_and_renormalised() -> None:
    counts = np.bincount(pick(np.log([0.5, 0.3, 0.15, 0.05]).tolist(), 1.0, 0.7, EVEN), minlength=4) / len(EVEN)
    np.testing.assert_allclose(counts, [0.625, 0.375, 0, 0], atol=1e-3)


def test_a_nucleus_wider_than_the_first_look_is_still_exact() -> None:
    chosen = pick([0.0] * 1000, 1.0, 0.95, EVEN)
    assert len(np.unique(chosen)) == pytest.approx(950, abs=1)


def test_rows_with_a_wide_nucleus_a_narrow_one_and_none_choose_as_each_does_alone() -> None:
    flat, steep = torch.zeros(1000), torch.linspace(20, 0, 1000)
    logits = torch.stack([steep, flat, flat, steep, flat])
    temperature, uniform = torch.tensor([1.0, 1.0, 0.0, 0.7, 1.0]), torch.tensor([0.9, 0.5, 0.9, 0.1, 0.99])
    top_p = torch.tensor([0.9, 0.95, 0.9, 1.0, 0.5])
    together = sampling.choose(logits, temperature, top_p, uniform).tolist()
    alone = [
        int(sampling.choose(*(tensor[row : row + 1] for tensor in (logits, temperature, top_p, uniform))))
        for row in range(5)
    ]
    assert together == alone
    assert len(set(together)) == 5


def test_temperature_zero_is_greedy_beside_sampled_rows() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.9], [0.1, 0.9]]))
    chosen = sampling.choose(logits, torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0]), torch.tensor([0.99, 0.99]))
    assert chosen.tolist() == [1, 0]


def test_draws_belong_to_the_seed() -> None:
    long = sampling.draws(1, Decoding(64, 0.6))
    np.testing.assert_array_equal(long, sampling.draws(1, Decoding(64, 0.6)))
    np.testing.assert_array_equal(long[:10], sampling.draws(1, Decoding(10, 0.9)))  # a longer reply begins the same
    assert (long != sampling.draws(2, Decoding(64, 0.6))).all()
    assert not sampling.draws(1, Decoding(64, 0.0)).any()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_a_row_without_usable_logits_is_broken_and_its_neighbours_are_untouched(bad: float, temperature: float) -> None:
    logits = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    arguments = torch.full((5,), temperature), torch.full((5,), 0.9), torch.linspace(0.1, 0.9, 5)
    healthy = sampling.choose(logits, *arguments)
    logits[2, 7] = bad
    logits[4] = float("-inf")
    chosen = sampling.choose(logits, *arguments)
    assert chosen[[2, 4]].tolist() == [sampling.BROKEN] * 2
    assert chosen[[0, 1, 3]].tolist() == healthy[[0, 1, 3]].tolist()
