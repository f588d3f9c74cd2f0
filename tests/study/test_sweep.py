"""What a sweep does around its cells."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mindgap.core.errors import ConfigError
from mindgap.study.experiment import build_experiment
from mindgap.study.jobs import plain
from mindgap.study.names import cell_name, forget_names, name_cells, name_here, write_names
from mindgap.study.sweep import never_swallowed


def composed(*overrides: str) -> dict[str, Any]:
    from hydra import compose, initialize_config_dir

    from mindgap.core.compose import config_folder

    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return plain(compose("config", overrides=["sweep=s", "judge=proxy", *overrides]))


def name_of(config: dict[str, Any]) -> str:
    return cell_name(build_experiment(config), config).folder


def test_a_sweep_begins_without_what_only_its_end_needs() -> None:
    """A plan, and each job of a launcher, would wait for it."""
    program = "import sys, mindgap.study.sweep; print(*(name for name in sys.modules if name.startswith('mindgap.')))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in loaded if name.split(".")[1] in ("analysis", "report", "providers")]


def test_a_cell_is_named_after_what_can_change_its_result() -> None:
    base = name_of(composed("method=vector", "strength=dose"))
    assert base.startswith("tiny-vector-dose0.2-")
    same = [composed("method=vector", "strength=dose", change) for change in ("tracker=none", "sweep=t", "store=x.db")]
    assert {name_of(config) for config in same} == {base}
    changes = ("seed=1", "strength.dose=0.3", "task.limit=3", "query_set=paper", "decoding.temperature=0", "epochs=2")
    other = {name_of(composed("method=vector", "strength=dose", change)) for change in changes}
    assert len(other - {base}) == len(changes)


def test_a_strength_names_no_cell_of_a_method_that_does_not_steer() -> None:
    names = {name_of(composed("method=prompt", "strength=dose", f"strength.dose={dose}")) for dose in (0.1, 0.3)}
    assert len(names | {name_of(composed("method=prompt"))}) == 1


@pytest.mark.parametrize(("error", "code"), [(ConfigError("say so"), 2), (RuntimeError("a defect"), 1)])
def test_nothing_that_goes_wrong_around_a_sweep_becomes_a_warning(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end, never_swallowed():
        raise error
    assert end.value.code == code
    printed = capsys.readouterr().err
    assert str(error) in printed
    assert ("Traceback" in printed) == (code == 1)


def test_what_differs_in_a_sweep_is_in_the_names_of_its_cells(tmp_path: Path) -> None:
    depths = "method.interventions.0.depth"
    configs = [composed("method=control")]
    configs += [
        composed("method=vector", f"{depths}={depth}", f"seed={seed}") for depth in (0.3, 0.5) for seed in (0, 1)
    ]
    experiments = [build_experiment(config) for config in configs]
    named = name_cells(experiments, configs, tmp_path)
    assert [name.title for name, _, _ in named.values()] == [
        "Control, seed 0",
        *(f"Vector, depth {depth}, seed {seed} (native)" for depth in (0.3, 0.5) for seed in (0, 1)),
    ]
    folders = list(named)
    assert folders[1].startswith("tiny-vector-native-depth0.3-seed0-") and len(set(folders)) == 5
    write_names([name for name, _, _ in named.values()], tmp_path)
    assert [name_here(*pair, tmp_path).folder for pair in zip(experiments, configs, strict=True)] == folders
    assert name_here(experiments[3], configs[3], tmp_path).number == 4
    forget_names(tmp_path)
    alone = name_here(experiments[1], configs[1], tmp_path).folder
    assert "depth" not in alone and alone.rpartition("-")[2] == folders[1].rpartition("-")[2]


def test_a_cell_that_is_there_keeps_its_folder(tmp_path: Path) -> None:
    """Else the same samples would be in the sweep twice, under two names."""
    configs = [composed("method=vector", f"method.interventions.0.depth={depth}") for depth in (0.3, 0.5)]
    experiments = [build_experiment(config) for config in configs]
    (alone,) = name_cells(experiments[:1], configs[:1], tmp_path)
    (tmp_path / alone).mkdir()
    first, second = name_cells(experiments, configs, tmp_path)
    assert first == alone and "depth0.5" in second
