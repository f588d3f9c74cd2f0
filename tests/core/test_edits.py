"""Edits are frozen, and their key covers all that they do and nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mindgap.core.edits import AddVector, Comparison, Condition, FeatureEdit

EDIT = AddVector(3, np.array([1.0, 2.0]), "all", "a label")


def test_the_key_covers_vector_layer_and_positions_but_not_the_label() -> None:
    assert dataclasses.replace(EDIT, label="other").key == EDIT.key
    changed = [
        dataclasses.replace(EDIT, layer=4),
        dataclasses.replace(EDIT, positions="response"),
        dataclasses.replace(EDIT, vector=np.array([1.0, 2.0000002])),
    ]
    assert len({EDIT.key, *(edit.key for edit in changed)}) == 4


def test_nobody_can_change_a_vector_afterwards() -> None:
    source = np.array([1.0, 2.0], dtype=np.float32)
    edit = AddVector(0, source)
    source[0] = 9
    assert edit.vector[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        edit.vector[0] = 9


@pytest.mark.parametrize("vector", [np.ones((2, 2)), np.array([1.0, np.nan]), np.array([np.inf])])
def test_what_is_no_vector_is_refused(vector: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one-dimensional and finite"):
        AddVector(0, vector)


FEATURE = FeatureEdit("sae@1", 3, 7, 2.0, np.array([3.0, 4.0]), offset=0.5)


def test_the_key_of_a_feature_edit_covers_what_it_does_and_not_how_it_is_written() -> None:
    seen = Condition((Comparison(1, ">", 0.5, 2.0), Comparison(2, "<", 1.0, 1.0)))
    same = [
        dataclasses.replace(FEATURE, label="other", note="another"),
        dataclasses.replace(FEATURE, offset=float(np.float32(0.25)), scale=float(np.float64(4.0))),
        dataclasses.replace(FEATURE, gain=1, direction=None),  # the direction is the SAE's
    ]
    assert {edit.key for edit in same} == {FEATURE.key}
    conditional = dataclasses.replace(FEATURE, when=seen)
    turned = Condition((Comparison(2, "<", 0.5, 2.0), Comparison(1, ">", 1.0, 1.0)))
    assert dataclasses.replace(FEATURE, when=turned).key == conditional.key
    changed = [
        dataclasses.replace(FEATURE, sae="sae@2"),
        dataclasses.replace(FEATURE, layer=4),
        dataclasses.replace(FEATURE, feature=8),
        dataclasses.replace(FEATURE, gain=0.0),
        dataclasses.replace(FEATURE, offset=0.6),
        dataclasses.replace(FEATURE, scale=2.5),
        dataclasses.replace(FEATURE, positions="response"),
        conditional,
        dataclasses.replace(FEATURE, when=dataclasses.replace(seen, join="or")),
        dataclasses.replace(FEATURE, when=Condition((Comparison(1, ">=", 0.5, 2.0), seen.comparisons[1]))),
        dataclasses.replace(FEATURE, when=Condition((Comparison(1, ">", 0.4, 2.0), seen.comparisons[1]))),
    ]
    assert len({FEATURE.key, *(edit.key for edit in changed)}) == len(changed) + 1


def test_a_feature_edit_scales_what_it_changes() -> None:
    pin = dataclasses.replace(FEATURE, gain=0.0, offset=2.0)
    half = pin.scaled(0.5)
    assert (half.gain, half.offset) == (0.5, 1.0)  # half the way from any activation a to 2: 0.5 a + 1
    assert (pin.scaled(0).gain, pin.scaled(0).offset) == (1, 0)
    assert pin.scaled(1).key == pin.key
    np.testing.assert_allclose(FEATURE.scaled(-2).added, [-6, -8])


def test_what_an_edit_adds_where_the_feature_is_silent() -> None:
    np.testing.assert_allclose(FEATURE.added, [3, 4])
    assert FEATURE.norm == pytest.approx(5)
    unknown = dataclasses.replace(FEATURE, direction=None)
    assert unknown.added is None and unknown.norm is None


def test_a_feature_edit_says_what_it_does() -> None:
    named = dataclasses.replace(FEATURE, label="jokes", note="causal +0.3")
    assert str(named) == "feature 7 +0.5 @ block 3 (jokes; causal +0.3)"
    seen = Condition((Comparison(1, ">", 0.5, 2.0),))
    assert (
        str(dataclasses.replace(named, gain=0, note="", when=seen)) == "feature 7 = 0.5 where 1>1.0 @ block 3 (jokes)"
    )
    assert "feature 7 × 2 +0.5" in str(dataclasses.replace(named, gain=2))


@pytest.mark.parametrize("change", [{"offset": np.nan}, {"gain": np.inf}, {"scale": np.nan}])
def test_a_feature_edit_that_is_not_finite_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not finite"):
        dataclasses.replace(FEATURE, **change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not finite"):
        Comparison(1, ">", np.nan, 1.0)
    with pytest.raises(ValueError, match="at least one"):
        Condition(())
