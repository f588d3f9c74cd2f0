"""A controller of the real SDK means the edits that its words say."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

goodfire = pytest.importorskip("goodfire")
pytest.importorskip("pydantic")

from goodfire.controller.controller import Controller  # noqa: E402

from mindgap.core.edits import Comparison  # noqa: E402
from mindgap.ember.catalogue import Features  # noqa: E402
from mindgap.ember.controllers import Steered, compiled  # noqa: E402
from mindgap.ember.errors import RequestError  # noqa: E402
from mindgap.ember.schemas import ControllerIn  # noqa: E402

MODEL = "meta-llama/Meta-Llama-3.1-8B-Instruct"
SCALES = np.array([2.0, 4.0, 1.0, 0.0, 8.0], dtype=np.float32)
FEATURES = Features(
    SimpleNamespace(sae_identity="small@0", sae_layer=1, features=5, scales=SCALES, label=str)  # type: ignore[arg-type]
)
OPERATORS = {"<": np.less, "<=": np.less_equal, "==": np.equal}
OPERATORS |= {"!=": np.not_equal, ">=": np.greater_equal, ">": np.greater}


def feature(index: int) -> Any:
    return goodfire.Feature(FEATURES.uuid(index), str(index), index)


def group(*indices: int) -> Any:
    return goodfire.FeatureGroup([feature(index) for index in indices])


def steered(controller: Any) -> Steered:
    return compiled(ControllerIn.model_validate(controller.json()), FEATURES)


def after(made: Steered, activations: list[float]) -> list[float]:
    """What the edits make of activations, in units of the scales."""
    changed = np.array(activations) * SCALES
    unedited = changed.copy()

    def holds(comparison: Comparison) -> bool:
        return bool(OPERATORS[comparison.operator](unedited[comparison.feature], comparison.bound))

    for edit in made.edits:
        joined = all if edit.when and edit.when.join == "and" else any
        if edit.when is None or joined(holds(comparison) for comparison in edit.when.comparisons):
            changed[edit.feature] += (edit.gain - 1) * unedited[edit.feature] + edit.offset * edit.scale
    return [float(value / scale) if scale else 0.0 for value, scale in zip(changed, SCALES, strict=True)]


def test_a_value_of_the_sdk_is_an_offset_in_units_of_the_scale() -> None:
    variant = goodfire.Variant(MODEL)
    variant.set(feature(1), 0.5)
    variant.set(feature(0), -0.25)
    first, second = steered(variant.controller).edits
    assert (first.feature, first.gain, first.offset, first.scale, first.when) == (1, 1.0, 0.5, 4.0, None)
    assert (second.feature, second.offset, second.layer, second.sae) == (0, -0.25, 1, "small@0")
    assert first.positions == "all"


def test_interventions_act_one_after_the_other() -> None:
    controller = Controller()
    controller[feature(0)] += 0.5
    controller[feature(0)] *= 2.0
    controller[feature(1)] += 9.0
    controller[feature(1)] = 0.3
    controller[feature(2)] = True
    controller[feature(4)] *= 1.0
    assert after(steered(controller), [1, 1, 1, 0, 1]) == pytest.approx([3.0, 0.3, 0.5, 0, 1])


def test_a_scope_acts_where_its_condition_holds() -> None:
    variant = goodfire.Variant(MODEL)
    variant.set(feature(0), 0.5)
    variant.set_when(feature(1) > 0.75, {feature(2): 0.7, feature(0): 0.1})
    made = steered(variant.controller)
    assert after(made, [0, 0.8, 0, 0, 0]) == pytest.approx([0.6, 0.8, 0.7, 0, 0])
    assert after(made, [0, 0.7, 0, 0, 0]) == pytest.approx([0.5, 0.7, 0, 0, 0])


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_and_join_of_the_sdk(operator: str) -> None:
    comparison = type(feature(0) > 0.5)
    first, second = comparison(group(0), 0.5, operator), comparison(group(1), 0.5, operator)
    for joined, meant in ((first & second, np.logical_and), (first | second, np.logical_or)):
        variant = goodfire.Variant(MODEL)
        variant.set_when(joined, {feature(4): 1.0})
        made = steered(variant.controller)
        for a, b in itertools.product((0.25, 0.5, 1.0), repeat=2):
            expected = float(meant(OPERATORS[operator](a, 0.5), OPERATORS[operator](b, 0.5)))
            assert after(made, [a, b, 0, 0, 0])[4] == expected


def test_groups_are_met_by_any_of_their_features_also_under_and_and_in_nested_scopes() -> None:
    controller = Controller()
    with controller.when((group(0, 1) > 0.5) & (group(2, 4) > 0.5)):
        controller[feature(0)] = 0.2
        with controller.when(feature(1) < 0.25):
            controller[feature(0)] += 1.0
    made = steered(controller)
    for values in itertools.product((0.0, 1.0), repeat=4):
        a, b, c, e = values
        outer = (a > 0.5 or b > 0.5) and (c > 0.5 or e > 0.5)
        expected = (1.2 if b < 0.25 else 0.2) if outer else a
        assert after(made, [a, b, c, 0, e])[0] == pytest.approx(expected, abs=1e-6), values


def test_an_event_happens_where_all_its_conditions_hold() -> None:
    variant = goodfire.Variant(MODEL)
    variant.abort_when((group(0, 1) > 0.5) & (feature(2) <= 0.25))
    (event,) = steered(variant.controller).events
    assert event.features == {0, 1, 2}
    assert event.happens({0: 0.0, 1: 2.1, 2: 0.25})
    assert not event.happens({0: 0.0, 1: 2.0, 2: 0.25})  # 0.5 of feature 1's scale of 4, and not above it
    assert not event.happens({0: 2.0, 1: 3.0, 2: 0.3})
    assert steered(variant.controller).edits == ()


def refusal(controller: Any) -> RequestError:
    with pytest.raises(RequestError) as refused:
        steered(controller)
    return refused.value


def test_features_that_the_sae_does_not_have_are_refused() -> None:
    for wrong in (
        goodfire.Feature(uuid4(), "of another SAE", 1),
        goodfire.Feature(FEATURES.uuid(0), "another index", 1),
        goodfire.Feature(uuid4(), "beyond", 99),
    ):
        variant = goodfire.Variant(MODEL)
        variant.set(wrong, 0.5)
        assert refusal(variant.controller).status == 404


def test_what_cannot_be_done_is_refused_in_words() -> None:
    dead = goodfire.Variant(MODEL)
    dead.set(feature(3), 0.5)
    assert "never seen active" in refusal(dead.controller).message
    compared = goodfire.Variant(MODEL)
    compared.set_when(feature(0) > group(1), {feature(2): 0.5})
    assert "with a number" in refusal(compared.controller).message
    entropy = goodfire.Variant(MODEL).controller
    entropy[feature(0)] += 0.5
    entropy._min_nudge_entropy = 0.5
    assert "min_nudge_entropy is not supported" in refusal(entropy).message
