"""Options of groups and names of sweeps may look like numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from mindgap.core.build import build
from mindgap.core.compose import composed, config_folder, with_names_quoted
from mindgap.core.errors import ConfigError
from mindgap.tasks.queries import QuerySet


@pytest.mark.parametrize("name", ["2024", "0.5", "true", "1e3", "007", "1_000", "inf"])
def test_an_option_of_a_group_is_a_name_whatever_it_looks_like(name: str, tmp_path: Path) -> None:
    (tmp_path / "query_set").mkdir()
    (tmp_path / "query_set" / f"{name}.yaml").write_text(f'name: "{name}"\nqueries: [be brief]\n')
    settings = [f"query_set={name}", f"sweep={name}", f"hydra.searchpath=[file://{tmp_path}]"]
    node = composed(settings, config_folder())
    assert (node["query_set"]["name"], node["sweep"]) == (name, name)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("method=control,0.5,2", "method=control,'0.5','2'"),
        ("+query_set=2024", "+query_set='2024'"),
        ("query_set='2024'", "query_set='2024'"),
        ("task.limit=20", "task.limit=20"),
        ("seed=1,2", "seed=1,2"),
        ("query_set=null", "query_set=null"),
        ("together=false", "together=false"),
        ("--multirun", "--multirun"),
    ],
)
def test_nothing_else_is_touched(given: str, meant: str) -> None:
    assert with_names_quoted([given], config_folder()) == [meant]


@pytest.mark.parametrize(("name", "said"), [(2024, "2024"), (True, "true"), (0.5, "0.5")])
def test_a_number_where_a_text_belongs_is_told_how_to_write_it(name: object, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build({"name": name, "queries": ["be brief"]}, "query_set", QuerySet)
    assert f"in a YAML file write '{said}'" in str(refused.value)
