"""Every node is checked against the class it builds, and a mistake is named in full."""

from __future__ import annotations

import pytest

from mindgap.backends.local import LocalBackend
from mindgap.core.build import build
from mindgap.core.errors import ConfigError
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding
from mindgap.steering.methods import Method
from mindgap.steering.vectors import DifferenceInMeans

LOCAL = "mindgap.backends.local.LocalBackend"
VECTOR = "mindgap.steering.vectors.DifferenceInMeans"


def test_a_node_becomes_what_its_target_names() -> None:
    assert build({"_target_": LOCAL, "max_rows": 4}, "backend") == LocalBackend(max_rows=4)


def test_a_node_without_target_becomes_what_its_place_stands_for() -> None:
    assert build({"max_tokens": 5}, "decoding", Decoding) == Decoding(max_tokens=5)


def test_lists_of_nodes_are_built_and_named_by_number() -> None:
    method = build({"name": "v", "label": "V", "interventions": [{"_target_": VECTOR, "depth": 0.5}]}, "method", Method)
    assert method.interventions == (DifferenceInMeans(depth=0.5),)
    assert build({"name": "c", "label": "C", "interventions": []}, "method", Method).interventions == ()
    with pytest.raises(
        ConfigError, match=r"method\.interventions\.0\.dept.*Did you mean method\.interventions\.0\.depth"
    ):
        build({"name": "v", "label": "V", "interventions": [{"_target_": VECTOR, "dept": 0.5}]}, "method", Method)


@pytest.mark.parametrize(
    ("node", "kind", "words"),
    [
        ({"name": "m", "sise": 3}, ModelSpec, r"node\.sise: there is no such setting"),
        ({"name": "m", "hf_idd": "x"}, ModelSpec, r"Did you mean node\.hf_id\?"),
        ({"name": "m", "parameters_b": "big"}, ModelSpec, r"node\.parameters_b='big'"),
        ({}, ModelSpec, r"node\.name is missing"),
        ({"name": "m", "option_scoring": "vibes"}, ModelSpec, "choose continuation, letter or none"),
        ({"max_tokens": 0}, Decoding, "max_tokens must be at least 1"),
        ({"max_tokens": 1.5}, Decoding, r"node\.max_tokens=1.5"),
        ({"_target_": "mindgap.nowhere.Thing"}, None, r"node\._target_: mindgap\.nowhere\.Thing cannot be imported"),
        ({"_target_": "mindgap.core.records.Nothing"}, None, "cannot be imported"),
        ({"_target_": "nodots"}, None, "cannot be imported"),
        ({"depth": 0.5}, None, "`_target_:` line"),
        ({"name": "v", "label": "V", "interventions": ["vector"]}, Method, r"node\.interventions"),
        ({"name": "v", "label": "V", "interventions": [{"depth": 0.5}]}, Method, r"node\.interventions"),
    ],
)
def test_a_mistake_is_named_with_what_would_work(node: dict, kind: type | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build(node, "node", kind)


def test_a_range_is_checked_wherever_the_node_stands() -> None:
    with pytest.raises(ConfigError, match=r"backend\.max_rows must be at least 1"):
        build({"_target_": LOCAL, "max_rows": 0}, "backend")
