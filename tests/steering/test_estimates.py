"""Directions from pairs: by the packages that others use, as they recorded them, and by their formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mindgap.steering.estimates import ESTIMATES, logistic, mass_mean, plane

RECORDED = Path(__file__).parent / "data" / "recorded.npz"


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(RECORDED, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.mark.parametrize(
    ("estimate", "made"),
    [
        ("mean", "mean"),  # steering-vectors 0.12.2
        ("pca", "pca"),
        ("logistic", "logistic_float64"),  # scikit-learn on the same data; the package's float32 stops 1.4e-4 before
        ("pca", "repeng_pca_center"),  # repeng 0.4.0
        ("pca_centred", "repeng_pca_diff"),
    ],
)
def test_estimates_are_those_of_the_packages(estimate: str, made: str, recorded: dict[str, np.ndarray]) -> None:
    found = ESTIMATES[estimate](recorded["positive"], recorded["negative"])
    np.testing.assert_allclose(found, recorded[f"made:{made}"], atol=2e-5)


def test_mass_mean_is_one_standard_deviation_along_the_difference(recorded: dict[str, np.ndarray]) -> None:
    positive, negative = recorded["positive"], recorded["negative"]
    found = mass_mean(positive, negative)
    direction = positive.mean(0) - negative.mean(0)
    direction = direction / np.sqrt((direction**2).sum())
    spread = np.sqrt(
        np.mean(
            (np.vstack([positive, negative]) @ direction - np.vstack([positive, negative]).mean(0) @ direction) ** 2
        )
    )
    np.testing.assert_allclose(found, spread * direction, rtol=1e-5)


def test_a_probe_of_pairs_that_hardly_differ_in_all_but_one_axis_finds_it() -> None:
    draw = np.random.default_rng(1)
    common = draw.standard_normal((40, 12)) * 10  # what both texts of a pair have
    shift = np.eye(12)[7] * 2
    noise = draw.standard_normal((2, 40, 12)) * 0.3
    found = logistic(common + shift + noise[0], common - shift + noise[1])
    assert found[7] > 0.98


def test_a_plane_is_spanned_at_right_angles_by_the_main_axis_of_all_blocks() -> None:
    draw = np.random.default_rng(2)
    first, axis = np.eye(10)[0], np.eye(10)[1]
    candidates = np.stack([first + weight * axis for weight in (0.2, 0.9, 1.4, 3.0)]) * draw.uniform(1, 9, (4, 1))
    found = plane(first.astype(np.float32), candidates)
    assert found @ first == pytest.approx(0, abs=1e-6) and np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
    assert abs(float(found @ axis)) == pytest.approx(1, abs=1e-5)
