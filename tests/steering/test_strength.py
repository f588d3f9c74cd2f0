"""Strength in comparable units."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mindgap.errors import ConfigError
from mindgap.steering.edits import AddVector
from mindgap.steering.strength import Dose, Native, Scaled, relative_dose


def norm_of(layer: int) -> float:
    return {3: 100.0, 4: 200.0}[layer]


EDITS = (AddVector(3, np.array([3.0, 4.0])), AddVector(3, np.array([3.0, 4.0])), AddVector(4, np.array([0.0, 10.0])))


def test_dose_is_the_norm_of_what_is_added_at_a_layer_over_its_residual_norm() -> None:
    assert relative_dose(EDITS[:1], norm_of) == pytest.approx(0.05)
    assert relative_dose(EDITS, norm_of) == pytest.approx(0.10)  # two edits on layer 3 add up; it is steered most
    assert relative_dose((), norm_of) == 0


@pytest.mark.parametrize("dose", [0.3, 1.0, -0.5])
def test_dose_reaches_its_target_and_keeps_proportions(dose: float) -> None:
    applied = Dose(dose).apply(EDITS, norm_of)
    assert relative_dose(applied, norm_of) == pytest.approx(abs(dose))
    factors = [after.vector[1] / before.vector[1] for before, after in zip(EDITS, applied, strict=True)]
    assert factors == pytest.approx([factors[0]] * 3)
    assert math.copysign(1, factors[0]) == math.copysign(1, dose)


def test_strength_zero_keeps_the_edits_as_zero_vectors() -> None:
    for strength in (Dose(0.0), Scaled(0.0)):
        applied = strength.apply(EDITS, norm_of)
        assert len(applied) == len(EDITS)
        assert all(not edit.vector.any() for edit in applied)
    assert Dose(0.3).apply(applied, norm_of) == applied  # nothing to scale up


def test_native_and_scaled() -> None:
    assert Native().apply(EDITS, norm_of) is EDITS
    np.testing.assert_allclose(Scaled(-2).apply(EDITS, norm_of)[0].vector, [-6, -8])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_strength_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match=r"strength\.dose"):
        Dose(value)
    with pytest.raises(ConfigError, match=r"strength\.factor"):
        Scaled(value)
