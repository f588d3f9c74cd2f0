"""What a sweep does around its cells."""

from __future__ import annotations

from typing import Any

import pytest

from mindgap.core.errors import ConfigError
from mindgap.study.experiment import build_experiment
from mindgap.study.jobs import cell_name, plain
from mindgap.study.sweep import never_swallowed


def composed(*overrides: str) -> dict[str, Any]:
    from hydra import compose, initialize_config_dir

    from mindgap.core.compose import config_folder

    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return plain(compose("config", overrides=["sweep=s", "judge=proxy", *overrides]))


def name_of(config: dict[str, Any]) -> str:
    return cell_name(build_experiment(config), config)


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
