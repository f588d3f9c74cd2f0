"""Every method of `conf/method` is one that can be composed, refused or run, and says where it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from mindgap.core.build import build
from mindgap.core.compose import composed, config_folder
from mindgap.core.errors import ConfigError
from mindgap.steering.directed import CONTROLS, Directed
from mindgap.steering.methods import Method
from mindgap.study.experiment import build_experiment
from mindgap.study.jobs import jobs_of

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "method"
NEEDS_A_FILE = {
    "saved_vector": "method.interventions.0.source.path=a.gguf",
}
DIRECTED = sorted(path.stem for path in FOLDER.glob("*.yaml") if "directed.Directed" in path.read_text())


def method(name: str, *settings: str) -> Method:
    made: Method = build(composed([f"method={name}", *settings], config_folder())["method"], "method", Method)
    return made


@pytest.mark.parametrize("name", DIRECTED)
def test_each_is_made_and_has_its_null_one_word_away(name: str) -> None:
    given = [NEEDS_A_FILE[name]] if name in NEEDS_A_FILE else []
    (own,) = method(name, *given).interventions
    assert isinstance(own, Directed) and own.control == "none"
    for control in CONTROLS[1:]:
        words = [*given, f"method.interventions.0.control={control}"]
        if control == "shuffled" and not own.source.pairs_texts:
            with pytest.raises(ConfigError, match="made of no pairs"):
                method(name, *words)
        else:
            assert method(name, *words).interventions[0].control == control  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "setting"), [("saved_vector", "source.path"), ("cast", "condition.pairs")])
def test_what_needs_a_file_says_so(name: str, setting: str) -> None:
    with pytest.raises(ConfigError, match="is empty; name a file"):
        method(name, f"method.interventions.0.{setting}=''")


@pytest.mark.parametrize("name", DIRECTED)
def test_what_a_backend_cannot_do_is_refused_with_the_reason(name: str) -> None:
    from mindgap.backends.goodfire import GoodfireBackend
    from mindgap.backends.litellm import LiteLLMBackend
    from mindgap.core.model import ModelSpec

    needs = method(name, *([NEEDS_A_FILE[name]] if name in NEEDS_A_FILE else [])).needs
    for backend in (GoodfireBackend(), LiteLLMBackend()):
        lacking = " ".join(backend.lacks(ModelSpec("m", litellm_id="m", goodfire_id="m"), needs))
        assert "activation" in lacking or "vector" in lacking or "inside" in lacking, lacking


def test_one_command_runs_every_method_that_needs_no_key_at_equal_damage() -> None:
    experiments = [build_experiment({**job, "sweep": "s"}) for job in jobs_of(["experiment=methods"])]
    run = {experiment.method.name: experiment for experiment in experiments}
    every = {path.stem for path in FOLDER.glob("*.yaml")}
    assert every - set(run) == {"autosteer_scaled"}  # at equal damage it is autosteer
    assert len(experiments) == len(run)
    assert {experiment.strength_label for experiment in experiments} == {"none", "damage1"}
    (agentic,) = run["agentic"].method.interventions
    assert agentic.picker is None  # type: ignore[attr-defined]
    (trained,) = run["loreft"].method.interventions
    assert trained.source.prompts == 8  # type: ignore[attr-defined]
