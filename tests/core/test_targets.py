"""A YAML file is data: nothing that it names is called unless it is an experiment's own kind of thing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mindgap.core.build import build
from mindgap.core.compose import composed, config_folder
from mindgap.core.errors import ConfigError
from mindgap.steering.strength import Strength
from mindgap.study.experiment import build_experiment

FOREIGN = [
    "os.system",
    "subprocess.Popen",
    "subprocess.run",
    "builtins.eval",
    "builtins.exec",
    "builtins.__import__",
    "pathlib.Path.unlink",
    "shutil.rmtree",
    "runpy.run_path",
    "importlib.import_module",
    "code.interact",
    "posix.system",
    "torch.load",
    "numpy.load",
    "pandas.read_pickle",
    "yaml.unsafe_load",
    "hydra.utils.instantiate",
    "transformers.AutoModel",
    "_pytest.config.main",
    "mindgap.core.build.importlib.import_module",
    "mindgap.core.targets.importlib",
    "mindgap.core.targets.os",
    "mindgap.storage.cache.os.system",
    "mindgap.core.build.Path",
    "mindgap.core.build.build",
    "mindgap.core.build.is_dataclass",
    "mindgap.__main__.main",
    "mindgap.study.job.run_job",
    ".os.system",
    "..system",
    "os",
    "",
    "os.system\0",
    "a" * 5000 + ".b",
]


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return composed(["tracker=none", "judge=proxy"], config_folder())


@pytest.mark.parametrize("name", FOREIGN, ids=lambda name: name[:40] or "empty")
def test_foreign_code_is_refused_before_its_settings_are_looked_at(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError, match=r"strength\._target_") as refused:
        build_experiment({**settings, "strength": {"_target_": name, "no_such_setting": "x"}})
    assert len(str(refused.value)) < 700 and "\n" not in str(refused.value)


@pytest.mark.parametrize("group", ["model", "method", "strength", "judge", "tracker", "task", "backend", "query_set"])
@pytest.mark.parametrize(("name", "argument"), [("os.system", "command"), ("subprocess.Popen", "args")])
def test_no_group_runs_a_command(
    settings: dict[str, Any], group: str, name: str, argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = {"_target_": name, argument: ["touch", "ran"] if argument == "args" else "touch ran"}
    nodes: list[Any] = [command, {**settings[group], "name": command}, {**settings[group], "extra": [command]}]
    for node in nodes:
        with pytest.raises(ConfigError):
            build_experiment({**settings, group: node})
    assert not list(tmp_path.iterdir())


def own_module(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))


VERBS = "    label = 'x'\n    def apply(self, edits, residual_norm): return edits\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class Own:\n" + VERBS, None),
        ("class Own:\n    label = 'x'\n", "this one lacks apply"),
        (
            "class Own:\n    def __init__(self): open('made', 'w')\n",
            "this one lacks label and apply|this one lacks apply",
        ),
        ("class Own:\n    def __init__(self): 1 / 0\n" + VERBS, r"Own could not be made \(ZeroDivisionError"),
        ("class Own:\n    def __init__(self, loud: 'Nowhere' = 1): pass\n" + VERBS, "annotations cannot be read"),
        ("1 / 0\n", r"cannot be imported \(ZeroDivisionError"),
        ("class Own(:\n", r"cannot be imported \(SyntaxError"),
        ("raise SystemError('no')\n", r"cannot be imported \(SystemError"),
        ("def Own(): return 3\n", "does not say what it makes"),
        ("def Own() -> int: return 3\n", "this one lacks"),
        ("import os\nOwn = os.system\n", "is no class that settings could make"),
        ("from subprocess import Popen as Own\n", "belongs to Python itself"),
        ("Own = 3\n", "is no class that settings could make"),
    ],
)
def test_a_class_of_ones_own_is_made_and_its_faults_are_said(
    text: str, words: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"own{abs(hash(text))}"
    own_module(tmp_path, text, monkeypatch, name)
    if words is None:
        assert build({"_target_": f"{name}.Own"}, "strength", Strength).label == "x"
    else:
        with pytest.raises(ConfigError, match=words):
            build({"_target_": f"{name}.Own"}, "strength", Strength)
    assert not (tmp_path / "made").exists()


def test_an_installed_package_has_to_be_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "site-packages"
    place.mkdir()
    own_module(place, "class Own:\n" + VERBS, monkeypatch, "plugin_of_somebody")
    node = {"_target_": "plugin_of_somebody.Own"}
    with pytest.raises(ConfigError, match="MINDGAP_ALLOW_TARGETS=plugin_of_somebody"):
        build(node, "strength", Strength)
    assert "plugin_of_somebody" not in sys.modules
    monkeypatch.setenv("MINDGAP_ALLOW_TARGETS", "another, plugin_of_somebody")
    assert build(node, "strength", Strength).label == "x"
