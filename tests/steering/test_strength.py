"""Strength in comparable units."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mindgap.core.directions import DirectionEdit
from mindgap.core.edits import AddVector, Edit, FeatureEdit
from mindgap.core.errors import ConfigError
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


NUDGE = FeatureEdit("sae@1", 3, 7, 2.0, np.array([3.0, 4.0]), offset=0.5)
PIN = FeatureEdit("sae@1", 3, 8, 2.0, np.array([0.0, 5.0]), gain=0, offset=1.0)
ABLATION = FeatureEdit("sae@1", 3, 9, 2.0, np.array([5.0, 0.0]), gain=0)


def test_the_dose_of_a_feature_edit_is_what_it_adds_where_the_feature_is_silent() -> None:
    assert relative_dose((NUDGE,), norm_of) == pytest.approx(0.05)
    assert relative_dose((PIN,), norm_of) == pytest.approx(0.10)
    assert relative_dose((ABLATION,), norm_of) == 0
    together = (*EDITS[:1], NUDGE, PIN, ABLATION)
    assert relative_dose(together, norm_of) == pytest.approx(math.hypot(6, 18) / 100)


@pytest.mark.parametrize("dose", [0.3, -0.5])
def test_dose_scales_all_kinds_of_edits_by_one_factor(dose: float) -> None:
    edits = (*EDITS[:1], NUDGE, PIN, ABLATION)
    vector, nudge, pin, ablation = applied = Dose(dose).apply(edits, norm_of)
    assert relative_dose(applied, norm_of) == pytest.approx(abs(dose))
    factor = vector.vector[0] / 3.0
    assert nudge.offset == pytest.approx(0.5 * factor) and pin.offset == pytest.approx(factor)
    assert ablation.gain == pin.gain == pytest.approx(1 - factor)


def test_an_unknown_dose_is_none_and_cannot_be_set() -> None:
    hidden = (NUDGE, FeatureEdit("sae@1", 3, 7, 2.0, None, offset=0.5))
    assert relative_dose(hidden, norm_of) is None
    with pytest.raises(ConfigError, match="directions of the features"):
        Dose(0.3).apply(hidden, norm_of)
    assert [edit.offset for edit in Dose(0.0).apply(hidden, norm_of)] == [0, 0]


def test_ablations_alone_have_no_dose_to_set() -> None:
    with pytest.raises(ConfigError, match="only take away"):
        Dose(0.3).apply((ABLATION,), norm_of)
    (none,) = Dose(0.0).apply((ABLATION,), norm_of)
    assert (none.gain, none.offset) == (1, 0)


def test_native_and_scaled() -> None:
    assert Native().apply(EDITS, norm_of) is EDITS
    np.testing.assert_allclose(Scaled(-2).apply(EDITS, norm_of)[0].vector, [-6, -8])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_strength_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match=r"strength\.dose"):
        Dose(value)
    with pytest.raises(ConfigError, match=r"strength\.factor"):
        Scaled(value)


def test_single_tokens_are_dosed_apart_and_with_what_is_added_everywhere() -> None:
    x, y = np.eye(2, dtype=np.float32)
    edits: list[Edit] = [
        DirectionEdit(0, 3 * x, positions="at:0"),
        DirectionEdit(0, 2 * x, positions="at:1"),
        AddVector(0, 4 * y),
    ]
    assert relative_dose(edits[:2], lambda layer: 1.0) == pytest.approx(3)
    assert relative_dose(edits, lambda layer: 2.0) == pytest.approx(2.5)  # 3 and 4 at right angles, over 2
    assert relative_dose([*edits, DirectionEdit(0, x, positions="at:0")], lambda layer: 1.0) == pytest.approx(32**0.5)


def test_what_depends_on_the_token_counts_as_it_was_measured() -> None:
    edit = DirectionEdit(1, np.array([0, 9.0]), "ablate", share=0.5, typical=6.0)
    assert relative_dose([edit], lambda layer: 2.0) == pytest.approx(1.5)
    assert relative_dose(Dose(0.3).apply((edit,), lambda layer: 2.0), lambda layer: 2.0) == pytest.approx(0.3)
