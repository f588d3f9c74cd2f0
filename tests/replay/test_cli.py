"""The command says what is wrong before it shows a number, and mistakes in a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mindgap.replay.__main__ import main

Rows = list[dict[str, Any]]
MAP = {
    "source": "a test",
    "model": "small",
    "judge": "somebody",
    "columns": {"query": "wish", "method": "arm", "prompt": "user", "response": "reply", "behaviour": "shown"},
}


@pytest.fixture
def own_map(tmp_path: Path) -> str:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(MAP))
    return f"map={path}"


def test_findings_are_printed_before_any_mean(
    clean: Rows, written: Callable[..., Path], own_map: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean[0]["shown"] = 0
    code = main([str(written(clean)), str(tmp_path / "out" / "x"), own_map, "resamples=100"])
    said = capsys.readouterr().out
    assert code == 0
    assert said.index("score out of range 1") < said.index("mean [95 % interval]")
    assert (tmp_path / "out" / "x" / "small-nothing" / "samples.parquet").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["FILE", "OUT"], "map=NAME is missing"),
        (["FILE", "MAP"], "give a file and a folder"),
        (["FILE", "OUT", "MAP", "jugde=proxy"], "Did you mean judge?"),
        (["FILE", "OUT", "MAP", "judge=prxy"], "Did you mean proxy?"),
        (["FILE", "OUT", "MAP", "resamples=5"], "resamples=5"),
        (["FILE", "OUT", "MAP", "resamples=²"], "resamples=²"),
        (["FILE", "OUT", "MAP", f"seed={'9' * 5000}"], "must be a whole number"),
        (["FILE", "OUT", "MAP", "map.columns.behaviour=shwon"], "Did you mean shown?"),
        (["FILE", "OUT", "MAP", "map.columns.query"], "give a file and a folder"),
        (["gone.csv", "OUT", "MAP"], "gone.csv: there is no such file"),
        (["FILE", "OUT", "map=goodfire_2025_01"], "Did you mean goodfire_2025_01_8b?"),
    ],
)
def test_a_mistake_is_one_message_and_writes_nothing(
    arguments: list[str],
    words: str,
    clean: Rows,
    written: Callable[..., Path],
    own_map: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {"FILE": str(written(clean)), "OUT": str(tmp_path / "out"), "MAP": own_map}
    assert main([names.get(argument, argument) for argument in arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_names_the_maps_that_ship(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "goodfire_2025_01_70b, goodfire_2025_01_8b, goodfire_2025_09_8b" in capsys.readouterr().out
