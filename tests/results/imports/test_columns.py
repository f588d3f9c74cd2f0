"""A column map says what it cannot mean before a row is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mindgap.core.compose import config_folder
from mindgap.core.errors import ConfigError
from mindgap.results.imports.columns import ColumnMap
from mindgap.results.imports.maps import load_map
from mindgap.results.imports.names import plain_name
from mindgap.results.imports.reading import read_recording
from mindgap.results.imports.table import read_table

FOLDER = config_folder() / "replay"


@pytest.mark.parametrize("name", [path.stem for path in sorted(FOLDER.glob("goodfire_*.yaml"))])
def test_the_studys_maps_can_be_read(name: str) -> None:
    column_map = load_map(name, FOLDER)
    assert column_map.model in name
    assert {"control", "prompt", "autosteer"} <= {arm.name for arm in column_map.methods.values()}
    # only arms that are meant to ask may carry an instruction: without this, contamination would go unnoticed
    assert {arm.name for arm in column_map.methods.values() if arm.asks} <= {"prompt", "combined"}
    assert all(arm.asks is not None for arm in column_map.methods.values())


def test_a_map_of_the_users_own_and_changes_on_top(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "source: mine\nmodel: m\njudge: j\ncolumns: {query: a, method: b, prompt: c, response: d, behaviour: e}\n"
    )
    column_map = load_map(str(path), FOLDER, ["columns.behaviour=score", "answers=read", "options=[A, B]"])
    assert column_map.columns.behaviour == "score"
    assert column_map.options == ["A", "B"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"columns": {"qurey": "x"}}, "map.columns.qurey: there is no such setting. Did you mean map.columns.query?"),
        ({"optoins": None}, "Did you mean map.options?"),
        ({"methods": {"A": {"nam": "a"}}}, "Did you mean map.methods.A.name?"),
        ({"methods": {"A": {"name": "a b"}}}, "letters, digits"),
        ({"methods": {"A": {"name": "x"}, "B": {"name": "x"}}}, "'B' and 'A' would both become x"),
        ({"methods": {"A": "x"}}, "map.methods"),
        ({"options": "lettered"}, "map.options='lettered'"),
        ({"options": ["A"]}, "at least two"),
        ({"answers": "guess"}, "choose read or recorded"),
        ({"answers": "recorded"}, "map.columns.answer=NAME"),
        ({"absent": "drop"}, "choose fail or ignore"),
        ({"model": "a/b"}, "map.model='a/b'"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_key(mapped: Callable[..., ColumnMap], changes, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError) as refused:
        mapped(**changes)
    assert words in str(refused.value)


def test_a_column_that_is_not_there_is_named_with_the_nearest_one(
    mapped: Callable[..., ColumnMap], written: Callable[..., Path], clean: list[dict[str, object]]
) -> None:
    other = written([{("repli" if key == "reply" else key): value for key, value in row.items()} for row in clean])
    with pytest.raises(ConfigError, match=r"map\.columns\.response=reply.*Did you mean repli\?"):
        read_recording(read_table(other), mapped())


def test_an_unknown_map_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="Did you mean goodfire_2025_01_8b"):
        load_map("goodfire_2025_01_8", FOLDER)


def test_names_for_folders_hold_nothing_a_folder_cannot() -> None:
    assert plain_name(" Auto-Steer (v2)/ä ") == "auto_steer_v2_ä"
    assert plain_name("../..") == "unnamed"
