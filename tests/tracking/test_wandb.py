"""Cells in W&B: what the real client wrote offline and sent online, and what happens when it cannot."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from processes import KEY, closed_port, start
from standin import REFUSED, TEAM, serving
from tracked_cells import bare, cell, full
from wandb_log import Run, read_runs

from mindgap.core.errors import ConfigError
from mindgap.tracking import NoTracker, WandbTracker
from mindgap.tracking.wandb_run import evenly, run_content

CONF = Path(__file__).resolve().parents[2] / "conf" / "tracker"


def by_name(runs: list[Run]) -> dict[str, Run]:
    named = {run.name: run for run in runs}
    assert len(named) == len(runs)
    return named


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Two processes that log into one sweep at the same time, without a key: `messages`, `runs` by cell, `folder`."""
    sweep = tmp_path_factory.mktemp("offline") / "sweep one"
    secretive = {"judge": {"api_key": "staple-battery", "note": "correct-horse"}, "seed": 0}
    first = start(
        sweep,
        [
            {"cell": {"name": "plain"}, "tracker": {"tags": ["mine"]}},
            {"cell": {"name": "never"}, "tracker": {"mode": "online"}},
            {"cell": {"name": "broken", "status": "failed", "reason": "OSError: no room", "config": secretive}},
        ],
        {"SOME_API_KEY": "correct-horse"},
    )
    second = start(sweep, [{"cell": {"name": "long", "samples": 30}, "tracker": {"max_table_rows": 10}}], {})
    messages = [step["message"] for logging in (first, second) for step in logging.steps()]
    return SimpleNamespace(messages=messages, runs=by_name(read_runs(sweep)), folder=sweep)


@pytest.fixture(scope="session")
def online(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """One process that logs a cell which the server refuses and then one that it takes."""
    sweep = tmp_path_factory.mktemp("online") / "sweep"
    with serving() as standin:
        environment = {"WANDB_BASE_URL": standin.url, "WANDB_API_KEY": KEY}
        steps = [{"cell": {"name": "first"}, "tracker": {"project": REFUSED}}, {"cell": {"name": "second"}}]
        answers = start(sweep, steps, environment).steps()
        yield SimpleNamespace(standin=standin, steps=answers, folder=sweep, environment=environment)


def test_without_a_key_every_cell_is_a_run_of_the_sweeps_group(offline: SimpleNamespace) -> None:
    assert sorted(offline.runs) == ["broken", "long", "plain"]
    for run in offline.runs.values():
        assert (run.project, run.group, run.job_type) == ("mindgap", "sweep one", "vector")
    assert offline.runs["plain"].tags == ["mine", "tiny", "proxy"]


def test_offline_is_said_with_the_line_that_uploads(offline: SimpleNamespace) -> None:
    message = offline.messages[0]
    assert "offline" in message
    assert "WANDB_API_KEY" in message
    *_, command, verb, folder = shlex.split(message)
    assert (command, verb, Path(folder)) == ("wandb", "sync", offline.runs["plain"].folder)


def test_the_summary_holds_metrics_with_intervals_dose_and_counts(offline: SimpleNamespace) -> None:
    summary = offline.runs["plain"].summary
    assert [summary[f"behaviour{part}"] for part in ("", "_low", "_high", "_n", "_missing")] == [3.0, 2.5, 3.5, 5, 1]
    assert (summary["dose"], summary["counts/errors"], summary["counts/behaviour_missing"]) == (0.3, 1, 1)
    assert summary["status"] == "finished"


def test_a_metric_without_a_value_is_absent_and_says_why(offline: SimpleNamespace) -> None:
    summary = offline.runs["plain"].summary
    assert "accuracy" not in summary
    assert (summary["accuracy_n"], summary["accuracy_missing"]) == (0, 6)
    assert summary["accuracy_note"] == "nothing to average"


def test_the_config_is_the_cells_own(offline: SimpleNamespace) -> None:
    config = offline.runs["plain"].config
    assert config["method"] == {"name": "vector", "interventions": [{"layer": 0.4}]}
    assert config["epochs"] is None
    assert config["cell"]["strength"] == "dose 0.3"


def test_the_table_shows_every_sample_failed_ones_too(offline: SimpleNamespace) -> None:
    *whole, failed = offline.runs["plain"].table("samples")
    record = full(3)
    assert len(whole) == 5
    assert whole[3]["response"] == record.response
    assert whole[3]["edits"] == "; ".join(record.edits)
    for name in ("query", "item", "system_prompt", "prompt", "gold", "answer", "correct", "behaviour", "dose"):
        assert whole[3][name] == getattr(record, name), name
    assert failed["error"] == "the server said no"
    assert failed["behaviour"] is None
    assert failed["behaviour_missing"] == "not judged"


def test_a_shortened_table_says_so_and_spans_all_samples(offline: SimpleNamespace) -> None:
    run = offline.runs["long"]
    items = [row["item"] for row in run.table("samples")]
    assert len(items) == 10
    assert items[0] == "item-0"
    assert items[-1] == "item-27"
    assert run.summary["samples_note"].startswith("10 of 31 samples")
    assert "samples_note" not in offline.runs["plain"].summary


def test_scores_are_a_histogram_over_the_whole_scale(offline: SimpleNamespace) -> None:
    histogram = offline.runs["plain"].summary["behaviour_scores"]
    assert (histogram["bins"][0], histogram["bins"][-1]) == (1, 5)
    assert sum(histogram["values"]) == 5  # the sixth has no score, and gets no bin
    assert [count for count in histogram["values"] if count] == [1, 1, 1, 1, 1]


def test_a_failed_cell_is_a_failed_run_with_its_reason(offline: SimpleNamespace) -> None:
    assert offline.runs["plain"].exit_code == 0
    assert offline.runs["broken"].exit_code == 1
    assert offline.runs["broken"].summary["reason"] == "OSError: no room"


def test_online_without_a_key_logs_nothing_and_says_so(offline: SimpleNamespace) -> None:
    message = offline.messages[1]
    assert message.startswith("not in W&B")
    assert "WANDB_API_KEY" in message
    assert "never" not in offline.runs


def test_secrets_reach_neither_the_log_nor_any_other_file(offline: SimpleNamespace) -> None:
    assert offline.runs["broken"].config["judge"] == {"api_key": "***", "note": "***"}
    for path in filter(Path.is_file, offline.folder.rglob("*")):
        content = path.read_bytes()
        assert b"staple-battery" not in content, path
        assert b"correct-horse" not in content, path


def test_a_run_tells_nothing_about_the_machine(offline: SimpleNamespace) -> None:
    assert all(run.host == "" for run in offline.runs.values())
    names = {path.name for path in offline.folder.rglob("*")}
    assert not names & {"wandb-metadata.json", "requirements.txt", "diff.patch"}


def test_everything_that_waits_for_upload_is_in_the_sweeps_folder(offline: SimpleNamespace) -> None:
    outside = [path for path in offline.folder.parent.rglob("*") if path.is_file()]
    assert [path for path in outside if not path.is_relative_to(offline.folder)] == []


def test_online_the_run_arrives_complete(online: SimpleNamespace) -> None:
    standin, message = online.standin, online.steps[1]["message"]
    run_id = standin.run_id("second")
    assert message == f"W&B: {standin.url}/{TEAM}/mindgap/runs/{run_id}"
    made = next(upsert for upsert in standin.upserts if upsert.get("displayName") == "second")
    assert made["groupName"] == "sweep"
    assert json.loads(made["config"])["method"]["value"]["name"] == "vector"
    summary = standin.summary(run_id)
    assert [summary[name] for name in ("behaviour", "behaviour_low", "counts/errors")] == [3.0, 2.5, 1]
    assert standin.exit_code(run_id) == 0
    (table,) = [body for name, body in standin.uploads.items() if name.startswith("media/table/samples")]
    assert full(3).response in [value for row in json.loads(table)["data"] for value in row]


def test_a_cell_that_the_server_refuses_goes_offline_and_spoils_no_other(online: SimpleNamespace) -> None:
    message = online.steps[0]["message"]
    assert "offline" in message
    assert "wandb sync" in message
    assert online.steps[1]["message"].startswith("W&B: http")


def test_the_line_that_is_printed_does_upload(offline: SimpleNamespace, online: SimpleNamespace) -> None:
    *_, verb, folder = shlex.split(offline.messages[0])
    wandb = Path(sys.executable).with_name("wandb")
    environment = {**os.environ, **online.environment, "HOME": str(online.folder.parent / "home")}
    where = online.folder.parent  # the command leaves its own log in the folder it is run in
    subprocess.run([wandb, verb, folder], env=environment, cwd=where, check=True, capture_output=True, timeout=60)
    run_id = online.standin.run_id("plain")
    assert online.standin.summary(run_id)["behaviour"] == 3.0
    assert online.standin.exit_code(run_id) == 0


def test_the_key_is_in_no_file_and_no_upload(online: SimpleNamespace) -> None:
    files = [path.read_bytes() for path in online.folder.rglob("*") if path.is_file()]
    assert files
    assert not [content for content in [*files, *online.standin.everything] if KEY.encode() in content]


def test_an_unreachable_server_costs_seconds_and_the_run_is_there_offline(tmp_path: Path) -> None:
    port = closed_port()
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1:{port} login user password {KEY}\n", encoding="utf-8")
    environment = {"WANDB_BASE_URL": f"http://127.0.0.1:{port}", "NETRC": str(tmp_path / "netrc")}
    steps = [{"cell": {"name": "a"}}, {"cell": {"name": "a"}}, {"cell": {"name": "b"}, "tracker": {"mode": "online"}}]
    first, again, refused = start(tmp_path / "sweep", steps, environment).steps()
    assert max(step["seconds"] for step in (first, again, refused)) < 15
    assert "offline" in first["message"]
    assert str(port) in first["message"]
    assert refused["message"].startswith("not in W&B")
    runs = read_runs(tmp_path / "sweep")
    assert [run.name for run in runs] == ["a", "a"]
    assert len({run.id for run in runs}) == 1  # logged again, the cell replaces its own run


def test_trouble_on_this_machine_loses_nothing_but_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", f" {KEY}")  # a stray blank: W&B refuses even to start
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "sweep").write_text("not a folder", encoding="utf-8")
    message = WandbTracker(mode="offline").log(cell(tmp_path / "sweep" / "a"))
    assert message is not None
    assert message.startswith("not in W&B")
    assert KEY not in message


@pytest.mark.parametrize(("tracker", "switch"), [(WandbTracker(mode="disabled"), ""), (WandbTracker(), "disabled")])
def test_disabled_means_nothing_happens(
    tracker: WandbTracker, switch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", switch)
    assert tracker.log(cell(tmp_path / "sweep" / "a")) is None
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_settings_are_the_defaults() -> None:
    from mindgap.core.build import build

    wandb, none = (yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8")) for name in ("wandb", "none"))
    assert build(wandb, "tracker") == WandbTracker()
    assert build(none, "tracker") == NoTracker()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"mode": "of"}, "tracker.mode"),
        ({"project": "a/b"}, "tracker.project"),
        ({"project": ""}, "tracker.project"),
        ({"timeout_s": 0}, "tracker.timeout_s"),
        ({"upload_timeout_s": -1.0}, "tracker.upload_timeout_s"),
        ({"tags": ("",)}, "tracker.tags"),
        ({"max_table_rows": -1}, "tracker.max_table_rows"),
        ({"max_table_rows": 10_001}, "tracker.max_table_rows"),
    ],
)
def test_a_setting_out_of_range_is_named(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        WandbTracker(**settings)


def test_no_rows_no_table(tmp_path: Path) -> None:
    assert run_content(cell(tmp_path / "sweep" / "a"), (), 0).rows == []


def test_rows_are_chosen_in_order_without_repeats() -> None:
    records = [bare(item=str(number)) for number in range(7)]
    for most in range(9):
        chosen = [int(record.item) for record in evenly(records, most)]
        assert len(chosen) == min(most, 7)
        assert chosen == sorted(set(chosen))
