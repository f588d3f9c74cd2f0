"""Every node is checked against the class it builds, and a mistake is named in full."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from mindgap.backends.local import LocalBackend
from mindgap.core.build import build
from mindgap.core.compose import composed, config_folder
from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.core.kinds import lacking
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding
from mindgap.steering.methods import Method
from mindgap.steering.strength import Strength
from mindgap.steering.vectors import DifferenceInMeans
from mindgap.study.experiment import build_experiment

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


NATIVE = "mindgap.steering.strength.Native"


def experiment(**changes: object) -> dict:
    """The default configuration, composed, with some nodes replaced."""
    return {**composed(["tracker=none", "judge=proxy"], config_folder()), **changes}


@pytest.mark.parametrize(
    ("group", "needed", "lacks"),
    [
        ("tracker", "a Tracker is needed, with log and log_sweep", "lacks log and log_sweep"),
        ("judge", "a Judge is needed, with name, identity, lacks and judge", "lacks name, identity, lacks and judge"),
        ("backend", "a Backend is needed, with name, lacks and open", "lacks name, lacks and open"),
        ("task", "a Task is needed", "lacks name, max_tokens, instruction_mode, check, load, messages, read"),
        ("method", "a Method is needed", "instruction"),
        ("model", "a ModelSpec is needed", "hf_id"),
        ("query_set", "a QuerySet is needed", "queries"),
        ("seed", "where plain values or a list are needed", ""),
    ],
)
def test_a_class_of_the_wrong_kind_is_refused_by_what_its_place_asks_of_it(group: str, needed: str, lacks: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build_experiment(experiment(**{group: {"_target_": NATIVE}}))
    said = str(refused.value)
    assert said.startswith(f"{group}._target_: {NATIVE} cannot stand here")
    assert needed in said
    assert lacks in said
    assert "\n" not in said


def test_the_wrong_kind_is_what_is_said_and_not_that_its_settings_are_unknown() -> None:
    with pytest.raises(ConfigError, match="where a Tracker is needed"):
        build_experiment(experiment(tracker={"_target_": NATIVE, "project": "mindgap", "mode": "auto"}))


def test_where_there_are_no_settings_that_is_said() -> None:
    with pytest.raises(ConfigError, match=r"strength\.dose: there is no such setting\. There are: none"):
        build({"_target_": "mindgap.steering.strength.Native", "dose": 1}, "strength", Strength)


def test_a_strength_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"strength\._target_: .* a Strength is needed, with label and apply"):
        build_experiment(experiment(strength={"_target_": LOCAL}))


JUDGE = {"_target_": "mindgap.judges.proxy.ProxyJudge"}


@pytest.mark.parametrize("members", [[JUDGE, {"_target_": NATIVE}], {"a": JUDGE, "1": {"_target_": NATIVE}}])
def test_a_member_of_the_wrong_kind_is_refused_where_it_stands(members: object) -> None:
    panel = {"_target_": "mindgap.judges.panel.PanelJudge", "members": members}
    with pytest.raises(ConfigError, match=r"judge\.members\.1\._target_: .*where a Judge is needed"):
        build_experiment(experiment(judge=panel))


@pytest.mark.parametrize(
    ("interventions", "words"),
    [
        (
            [{"_target_": NATIVE}],
            r"method\.interventions\.0\._target_: .* an Intervention is needed, with needs and edits",
        ),
        ([{"_target_": VECTOR}, "vector"], r"method\.interventions\.1='vector': .*`_target_`"),
        ([{"_target_": VECTOR}, {"depth": 0.5}], r"method\.interventions\.1: say which class"),
        ({"_target_": VECTOR}, r"method\.interventions\._target_: .*a list"),
    ],
)
def test_interventions_are_checked_one_by_one(interventions: object, words: str) -> None:
    method = {"_target_": "mindgap.steering.methods.Method", "name": "m", "label": "M", "interventions": interventions}
    with pytest.raises(ConfigError, match=words):
        build_experiment(experiment(method=method))


@dataclass(frozen=True)
class Loud:
    """A strength of a user's own that names no class of mindgap's."""

    label: str = "loud"
    apply: Callable[..., object] = print


class Plain:
    """A strength that is no dataclass: what it has is known once it is made."""

    def __init__(self, loudness: float = 1.0) -> None:
        self.label = f"loud{loudness:g}"

    def apply(self, edits: tuple, residual_norm: object) -> tuple:
        return edits


class Mute:
    label = "mute"
    apply = "nothing that can be called"


def loud(loudness: float) -> Plain:
    return Plain(loudness)


@pytest.mark.parametrize("name", ["Loud", "Plain"])
def test_a_class_of_ones_own_needs_no_base_class(name: str) -> None:
    assert build_experiment(experiment(strength={"_target_": f"{__name__}.{name}"})).strength.label.startswith("loud")


def test_a_function_may_make_the_object_and_its_arguments_are_checked() -> None:
    node = {"_target_": f"{__name__}.loud", "loudness": 2}
    assert build_experiment(experiment(strength=node)).strength.label == "loud2"
    with pytest.raises(ConfigError, match=r"strength\.loudness='much'"):
        build_experiment(experiment(strength={**node, "loudness": "much"}))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (f"{__name__}.Mute", "this one lacks apply"),
        ("mindgap.core.edits.UNKNOWN_LAYER", "is no class that settings could make"),
        ("builtins.dict", "may not be named: it belongs to Python itself"),
    ],
)
def test_what_is_no_class_or_has_no_verb_is_refused(target: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_experiment(experiment(strength={"_target_": target}))


def test_checking_a_kind_reads_no_property() -> None:
    class Costly:
        @property
        def label(self) -> str:
            raise AssertionError("read")

        def apply(self, edits: tuple, residual_norm: object) -> tuple:
            return edits

    assert lacking(Costly(), Strength) == []


OPTIONS = [
    f"{path.parent.name}={path.stem}"
    for path in sorted(config_folder().glob("*/*.yaml"))
    if path.parent.name in ("model", "method", "query_set", "task", "judge", "strength", "backend", "tracker")
    and path.stem not in ("features", "cast", "saved_vector")  # which features or file, only a user can say
]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_the_built_in_configuration_fits_its_place(option: str) -> None:
    of_the_harness = option == "task=ifeval" or option.startswith("task=lm_eval")
    if of_the_harness and importlib.util.find_spec("lm_eval") is None:
        with pytest.raises(UnavailableError, match="lm-evaluation-harness is missing: pip install"):
            build_experiment(composed([option], config_folder()))
    else:
        build_experiment(composed([option], config_folder()))


def test_a_range_is_checked_wherever_the_node_stands() -> None:
    with pytest.raises(ConfigError, match=r"backend\.max_rows must be at least 1"):
        build({"_target_": LOCAL, "max_rows": 0}, "backend")
