"""The command line as a person meets it: help, mistakes, and what they cost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mindgap.core.compose import config_folder


def mindgap(folder: Path, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run `python -m mindgap` in `folder`, without any key in its environment."""
    environment = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    return subprocess.run(
        [sys.executable, "-m", "mindgap", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_help_is_a_page_for_people_and_loads_nothing_heavy(tmp_path: Path) -> None:
    done = mindgap(tmp_path, "--help")
    assert done.returncode == 0
    for word in ("method", "vector", "query_set", "examples", "python -m mindgap experiment=demo"):
        assert word in done.stdout
    command = [sys.executable, "-X", "importtime", "-m", "mindgap", "--help"]
    imports = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stderr
    loaded = {line.rpartition("|")[2].strip() for line in imports.splitlines()}
    assert "mindgap.cli.help" in loaded
    assert loaded.isdisjoint({"hydra", "omegaconf", "numpy", "torch", "rich", "pydantic"})


MISTAKES = [
    (["model=9b"], ["model=9b: there is no such option", "8b"]),
    (["method=promt"], ["method=promt", "Did you mean prompt?"]),
    (["sed=3"], ["sed: there is no such setting", "Did you mean seed?"]),
    (["+sed=3"], ["sed: there is no such setting", "Did you mean seed?"]),
    (["model.sise=3"], ["model.sise: there is no such setting"]),
    (["+model.sise=3"], ["model.sise: there is no such setting"]),
    (["model.template.thinking=true"], ["'model.template={thinking: …}'"]),
    (["model.template={thinking: true}"], ["a setting thinking of its chat template (model.template); it has none"]),
    (["task.limt=3"], ["task.limt", "Did you mean task.limit?"]),
    (["seed=many"], ["seed='many'"]),
    (["task.limit=0"], ["task.limit must be at least 1"]),
    (["decoding.temperature=-1"], ["temperature must be 0 (greedy) or more"]),
    (["strength=dose", "strength.dose=much"], ["strength.dose='much'"]),
    (["method=vector", "backend=litellm"], ["backend=litellm", "steering vectors", "model=tiny works here now"]),
    (["method=autosteer,prompt", "model=8b,70b", "-m"], ["model=8b", "model=70b", "hf download", "GOODFIRE_API_KEY"]),
    (["judge=llm"], ["OPENAI_API_KEY", "judge=proxy"]),
    (["task=mmlu", "task.path=/nowhere/mmlu"], ["task.path"]),
    (["method=control,prompt"], ["-m"]),
    (["seed"], ["seed"]),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_a_mistake_is_one_short_message(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    done = mindgap(tmp_path, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("mindgap: ")
    assert len(done.stderr) < 2500
    for word in words:
        assert word in done.stderr
    assert not list(tmp_path.iterdir())  # nothing was written, nothing was spent


def test_a_yaml_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "mine" / "method").mkdir(parents=True)
    (tmp_path / "mine" / "method" / "shout.yaml").write_text("name: shout\nlabel: [Shout\ninstruction: hi\n")
    done = mindgap(tmp_path, "--config-dir", "mine", "method=shout")
    assert done.returncode == 2
    assert "shout.yaml, line " in done.stderr and "cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_typo_in_a_users_yaml_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "mine" / "method").mkdir(parents=True)
    (tmp_path / "mine" / "method" / "shout.yaml").write_text(
        "name: shout\nlabel: Shout\ninstrution: 'Please {query}.'\n"
    )
    done = mindgap(tmp_path, "--config-dir", "mine", "method=shout")
    assert done.returncode == 2
    assert "method.instrution" in done.stderr and "Did you mean method.instruction?" in done.stderr


def test_flags_and_settings_may_come_in_any_order() -> None:
    from mindgap.__main__ import arranged

    typed = ["method=a,b", "-m", "--config-dir", "mine", "seed=1", "--cfg", "job", "~task.limit"]
    assert arranged(typed) == ["-m", "--config-dir", "mine", "--cfg", "job", "method=a,b", "seed=1", "~task.limit"]


def test_a_config_folder_that_is_not_there(tmp_path: Path) -> None:
    done = mindgap(tmp_path, "--config-dir", "nowhere", "method=shout")
    assert done.returncode == 2
    assert "nowhere" in done.stderr and "Traceback" not in done.stderr


def test_what_is_only_asked_for_is_told(tmp_path: Path) -> None:
    assert re.fullmatch(r"mindgap \d+\.\d+\.\d+\S*\n", mindgap(tmp_path, "--version").stdout)
    misspelt = mindgap(tmp_path, "--hlep")
    assert misspelt.returncode == 2 and "Did you mean --help?" in misspelt.stderr
    listed = mindgap(tmp_path, "ls", "methods").stdout.splitlines()
    assert any(line.split(maxsplit=1) == ["prompt", "The behaviour is asked for in words"] for line in listed)
    assert len(listed) == 1 + len(list((config_folder() / "method").glob("*.yaml")))
    for group in ("models", "tasks", "judges", "measures"):
        told = mindgap(tmp_path, "ls", group).stdout.splitlines()[1:]
        assert told and all(len(line.split(maxsplit=1)) == 2 for line in told), told
    wrong = mindgap(tmp_path, "ls", "methds")
    assert wrong.returncode == 2 and "Did you mean method" in wrong.stderr


def test_options_of_a_folder_of_ones_own_are_in_help_and_list(tmp_path: Path) -> None:
    (tmp_path / "mine" / "method").mkdir(parents=True)
    (tmp_path / "mine" / "method" / "shout.yaml").write_text("name: shout\nlabel: Shouting\n")
    assert "shout" in mindgap(tmp_path, "--config-dir", "mine", "--help").stdout
    assert "shout" in mindgap(tmp_path, "ls", "method", "--config-dir", "mine").stdout


def test_a_pipe_that_is_closed_is_no_error(tmp_path: Path) -> None:
    line = f"{sys.executable} -m mindgap --help | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith("mindgap: ")


def test_a_plan_writes_nothing(tmp_path: Path, tiny: object) -> None:
    done = mindgap(tmp_path, "plan=true", "method=control,prompt", "task.limit=2", "judge=proxy", "-m")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing is run" in done.stdout
    assert not list(tmp_path.iterdir())


def test_the_console_script_finds_classes_in_the_current_folder(tmp_path: Path, tiny: object) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "judges.py").write_text(
        "from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass Nobody:\n"
        "    name: str = 'nobody'\n    identity: str = 'nobody'\n\n"
        "    def lacks(self) -> list[str]:\n        return ['patience']\n\n"
        "    def judge(self, requests):\n        return iter(())\n"
    )
    script = (
        "import sys; sys.path.pop(0); from mindgap.__main__ import main; main()"  # as a script's folder is no package
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "judge={_target_: mine.judges.Nobody}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    # The judge's default settings are refused with those that this very class has: it was found and read.
    assert "There are: identity, name" in done.stderr, done.stderr
