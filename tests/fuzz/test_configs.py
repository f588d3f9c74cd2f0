"""Whatever a configuration holds, it is built or refused in a sentence, and nothing that it names is called."""

from __future__ import annotations

import copy
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mindgap.core.compose import composed, config_folder
from mindgap.core.errors import MindgapError
from mindgap.study.experiment import build_experiment

FUZZED = int(os.environ.get("MINDGAP_FUZZ", "300"))
"""Mutated configurations; `make fuzz` takes 10,000."""
FOREIGN = (
    "os.system",
    "os.remove",
    "os.mkdir",
    "subprocess.Popen",
    "subprocess.run",
    "builtins.eval",
    "builtins.exec",
    "builtins.open",
    "shutil.rmtree",
    "pathlib.Path.touch",
    "runpy.run_path",
    "importlib.import_module",
    "torch.load",
    "numpy.load",
    "pickle.loads",
    "yaml.unsafe_load",
    "hydra.utils.instantiate",
    "mindgap.core.build.build",
    "mindgap.study.job.run_job",
    "mindgap.storage.store.Store",
    "mindgap.steering.strength.Dose",
    "mindgap.judges.proxy.ProxyJudge",
    "mindgap.nowhere.Nothing",
    "..os.system",
    "os.system\0",
    "\ud800.x",
    "",
)
DEEP: Any = []
for _ in range(3000):
    DEEP = [DEEP]
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2.5, 10**400, float("nan"), float("inf"), float("-inf"), "", "x", "1e999", "\0", "\ud800",
    "\x1b[2J", "${oc.env:HOME}", "${seed}", "a" * 5000, [], [None], [[]], {}, {1: 2}, {None: None}, {"": ""}, DEEP,
    "../../../etc/passwd", "/dev/null", "ftp://x", ["touch", "ran"], {"_target_": 3}, {"_args_": ["touch ran"]},
    {"_partial_": True}, {"_target_": ["os.system"]},
)  # fmt: skip
STARTS: tuple[list[str], ...] = (
    [],
    ["method=vector", "strength=dose"],
    ["method=autosteer", "strength=scaled"],
    ["method=features", "method.interventions.0.features=[{feature: 1, strength: 0.5}]"],
    ["judge=llm", "backend=litellm", "method=prompt"],
    ["judge=panel", "task=mmlu", "measures=[standard,refusal,readability]"],
)
CALLS = ("os.system", "subprocess.Popen", "os.remove", "os.mkdir", "os.exec", "os.posix_spawn", "shutil.rmtree")
called: list[str] = []
watching = False


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if watching and event in CALLS and "__pycache__" not in str(arguments):
        called.append(f"{event} {arguments}"[:200])


@pytest.fixture
def watched() -> Iterator[list[str]]:
    """What has been run, made or removed while the test ran, as Python's audit events tell it."""
    global watching
    sys.addaudithook(watch)
    called.clear()
    watching = True
    yield called
    watching = False


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every (mapping or list, key or index), of a node without cycles."""
    found, waiting = [], [node]
    while waiting:
        here = waiting.pop()
        keys = list(here) if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()
        for key in keys:
            found.append((here, key))
            waiting.append(here[key])
    return found


def mutate(settings: dict[str, Any], draw: random.Random) -> None:
    for _ in range(draw.randint(1, 3)):
        every = places(settings)
        node, key = draw.choice(every)
        chance = draw.random()
        if chance < 0.35:
            target = {"_target_": draw.choice(FOREIGN)}
            arguments = {
                draw.choice(["command", "args", "path", "_args_", "name"]): draw.choice(["touch ran", ["ran"]])
            }
            node[key] = target | (arguments if draw.random() < 0.7 else {})
        elif chance < 0.5 and (targets := [(n, k) for n, k in every if k == "_target_" and isinstance(n, dict)]):
            node, key = draw.choice(targets)
            node[key] = draw.choice(FOREIGN)
        elif chance < 0.6 and isinstance(node, dict):
            del node[key]
        elif chance < 0.7 and isinstance(node, dict):
            node[draw.choice(["extra", "_target_", "name ", "\0", "_convert_"])] = draw.choice(ODD)
        else:
            node[key] = copy.copy(draw.choice(ODD))


@pytest.mark.timeout(3600)
def test_mutated_configurations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: list[str]) -> None:
    starts = [composed(["tracker=none", *start], config_folder()) for start in STARTS]
    monkeypatch.chdir(tmp_path)
    watched.clear()
    draw = random.Random(17)
    said: list[str] = []
    for number in range(FUZZED):
        settings = copy.deepcopy(draw.choice(starts))
        mutate(settings, draw)
        try:
            build_experiment(settings)
        except MindgapError as error:
            said.append(str(error))
        assert watched == [], number
        assert not list(tmp_path.iterdir()), number
    assert FUZZED > len(said) > FUZZED / 2
    for sentence in said:
        assert len(sentence) < 2000, sentence[:300]
        assert "\x1b" not in sentence and sentence.encode(), "a terminal shows it and does not obey it"
