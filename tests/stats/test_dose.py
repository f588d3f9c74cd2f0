"""Dose and response: the slope, and the dose at which a metric breaks."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import CONTROL, cell, cells, crossed

from mindgap.core.errors import MindgapError
from mindgap.stats.dose import breaking_dose, dose_response

DOSES = {"d1": 0.1, "d2": 0.2, "d4": 0.4, "d8": 0.8}


def sweep(slope: float, design=(14, 60), seed: int = 0):
    generator = np.random.default_rng(seed)
    base = 4.2 + crossed(generator, *design, (0.2, 0.2, 0.0))
    steeper = slope * (1 + generator.normal(0, 0.2, (design[0], 1)))
    values = {
        name: {"coherence": base + steeper * dose + generator.normal(0, 0.4, design)}
        for name, dose in ({"control": 0.0} | DOSES).items()
    }
    return cells(values, doses=DOSES)


STEERED = [cell(name) for name in DOSES]


def test_the_slope_is_the_change_per_unit_of_dose_and_its_interval_holds_the_truth():
    response = dose_response(sweep(-3), STEERED, CONTROL)
    assert response.doses == (0, 0.1, 0.2, 0.4, 0.8)
    assert response.slope.low < -3 < response.slope.high
    assert response.slope.value == pytest.approx(-3, abs=0.4)


def test_the_breaking_dose_is_where_the_mean_has_fallen_by_so_much():
    response = dose_response(sweep(-3), STEERED, CONTROL, drop=1.0)
    assert response.breaks.value == pytest.approx(1 / 3, abs=0.07)
    assert response.breaks.low < 1 / 3 < response.breaks.high
    assert response.unbroken == 0


def test_its_interval_covers_the_truth_as_often_as_it_says():
    """With slopes that differ by query the true mean falls by 1 at dose 1/3, to a good approximation."""
    hits = 0
    for seed in range(200):
        breaks = dose_response(sweep(-3, (14, 24), seed), STEERED, CONTROL, resamples=500).breaks
        hits += breaks.low <= 1 / 3 <= breaks.high
    assert 0.9 <= hits / 200 <= 1


def test_what_never_breaks_has_no_breaking_dose_and_says_so():
    response = dose_response(sweep(-0.1), STEERED, CONTROL)
    assert (response.breaks.value, response.breaks.high) == (None, None)
    assert "largest dose tried, 0.8" in response.breaks.note
    assert response.unbroken == 1


def test_between_doses_the_mean_runs_straight_and_the_first_fall_counts():
    doses = np.array([0.0, 1.0, 2.0, 3.0])
    means = np.array([[5.0, 4.5, 3.5, 3.0], [5.0, 3.0, 5.0, 1.0], [5.0, 5.0, 5.0, 4.5]])
    assert breaking_dose(means, doses, 1.0).tolist() == [1.5, 0.5, np.inf]


def test_cells_without_a_dose_have_no_dose_response():
    samples = cells({name: {"coherence": np.full((2, 3), 4.0)} for name in ("control", "prompt")})
    with pytest.raises(MindgapError, match="no dose"):
        dose_response(samples, [cell("prompt")], CONTROL)
    with pytest.raises(MindgapError, match="at least one"):
        dose_response(samples, [CONTROL], CONTROL)
