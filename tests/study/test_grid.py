"""Sweeps as people type them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mindgap.__main__ import _refitted
from mindgap.core.compose import composing, config_folder
from mindgap.core.errors import ConfigError
from mindgap.study.grid import left_to_jobs
from mindgap.study.jobs import jobs_of

DEPTH = "method.interventions.0.depth"


def cells(*overrides: str, config_dir: Path | None = None) -> list[tuple[str, Any]]:
    """Method, and depth of its first intervention, of each job."""
    jobs = jobs_of(overrides, config_dir)
    return [
        (job["method"]["name"], next((each.get("depth") for each in job["method"]["interventions"]), None))
        for job in jobs
    ]


@pytest.mark.parametrize("depth", [DEPTH, "method.vector.depth", "method.difference_in_means.depth"])
def test_a_setting_that_a_method_lacks_leaves_it_one_cell(depth: str) -> None:
    assert cells("method=control,vector", f"{depth}=0.3,0.5") == [("control", None), ("vector", 0.3), ("vector", 0.5)]
    assert cells("method=control,prompt,vector", f"{depth}=0.3") == [
        ("control", None),
        ("prompt", None),
        ("vector", 0.3),
    ]


def test_an_intervention_has_the_name_of_the_method_that_consists_of_it() -> None:
    assert cells("method=vector_prompt,random", "method.vector.depth=0.7") == [("vector_prompt", 0.7), ("random", 0.4)]
    (job,) = jobs_of(["method=combined", "method.autosteer.most=3"])
    assert job["method"]["interventions"][0]["most"] == 3


def test_names_match_a_pattern() -> None:
    assert [name for name, _ in cells("method=glob(vec*)")] == ["vector", "vector_prompt"]
    assert [name for name, _ in cells("method=glob(vec*,exclude=vector)")] == ["vector_prompt"]


def test_a_setting_of_the_class_that_the_yaml_does_not_show(tmp_path: Path) -> None:
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "mine.yaml").write_text(
        "name: mine\nlabel: Mine\ninterventions:\n  - _target_: mindgap.steering.vectors.DifferenceInMeans\n"
    )
    (job,) = jobs_of(["method=mine", "method.vector.depth=0.6", "task.few_shot=2"], tmp_path)
    assert job["method"]["interventions"][0]["depth"] == 0.6
    assert job["task"]["few_shot"] == 2
    assert cells("method=control,mine", f"{DEPTH}=0.3,0.5", config_dir=tmp_path) == [
        ("control", None),
        ("mine", 0.3),
        ("mine", 0.5),
    ]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["method=control,vector", "method.vector.dept=0.3"], "no method of this sweep has such a setting. .*depth"),
        (["method=control,prompt", f"{DEPTH}=0.3,0.5"], "no method of this sweep"),
        (["method=vector", "method.random.depth=0.3"], "there is no such setting"),
        (["strength.dose=0.3"], "strength.dose: .* strength=dose has"),
        (["method=control,vector", "strength.dose=0.1,0.3"], "strength=dose has"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_nothing_has_is_a_mistake(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        jobs_of(overrides)


def test_two_of_a_name_are_told_apart_by_number(tmp_path: Path) -> None:
    (tmp_path / "method").mkdir()
    vector = "  - _target_: mindgap.steering.vectors.DifferenceInMeans\n    depth: 0.3\n"
    (tmp_path / "method" / "two.yaml").write_text(f"name: two\nlabel: Two\ninterventions:\n{vector}{vector}")
    with pytest.raises(ConfigError, match=r"method.interventions.0 or method.interventions.1"):
        jobs_of(["method=two", "method.vector.depth=0.1"], tmp_path)


def test_one_value_for_one_of_several_methods_is_left_to_its_jobs(tmp_path: Path) -> None:
    """Hydra itself would look for it in the method that there is by default."""
    typed = ["method=control,vector", "method.vector.depth=0.3", "task.limit=2", "+method.vector.prompts=4"]
    with composing(config_folder()):
        placed = left_to_jobs(typed)
    assert placed == [typed[0], "method.vector.depth=choice(0.3)", "task.limit=2", "+method.vector.prompts=choice(4)"]
    assert _refitted(["-m", *typed]) == ["-m", *placed]
    of_one = ["-m", "method=vector", "method.vector.depth=0.3", "seed=0,1"]
    assert _refitted(of_one) == [*of_one[:2], f"{DEPTH}=0.3", of_one[3]]
    command = [sys.executable, "-m", "mindgap", "-m", *typed[:3], "plan=true", "tracker=none"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 cells" in done.stdout and "Vector" in done.stdout
