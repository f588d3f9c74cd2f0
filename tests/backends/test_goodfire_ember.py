"""The Goodfire backend on a real `python -m mindgap.ember`: what a study finds is what it finds on backend=local."""

from __future__ import annotations

import dataclasses
import io
import logging
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("goodfire")

from ember_server import SEVENTY_B, Start, served, start  # noqa: F401
from rich.console import Console
from sweeps import metrics_of

from mindgap.backends.goodfire import GoodfireBackend
from mindgap.core.compose import composed
from mindgap.core.edits import Declined
from mindgap.core.model import ModelSpec
from mindgap.core.records import Judgement, JudgeRequest, Query, Record, Score
from mindgap.steering.agentic import Agentic
from mindgap.steering.bench import SteeringBench
from mindgap.steering.features import Chosen, Features
from mindgap.steering.random_features import RandomFeatures
from mindgap.storage.store import Store
from mindgap.study.experiment import Experiment, build_experiment
from mindgap.study.progress import Progress
from mindgap.study.run import run_cell

CONF = Path(__file__).resolve().parents[2] / "conf"


@dataclass(frozen=True)
class Counting:
    """A judge that scores by the text alone."""

    name: str = "counting"
    identity: str = "counting"

    def lacks(self) -> list[str]:
        return []

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Judgement]]:
        for index, request in enumerate(requests):
            letters = sum(map(ord, request.response))
            yield index, Judgement(Score(1 + letters % 5), Score(1 + letters // 5 % 5))


@pytest.fixture(scope="module")
def server(start: Start) -> Any:  # noqa: F811
    return start()


@pytest.fixture
def models(served: list[str], server: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[ModelSpec, ModelSpec]:  # noqa: F811
    """The model as it is on this machine, and as the server has it under a Llama's name."""
    monkeypatch.setenv("GOODFIRE_BASE_URL", server.url)
    monkeypatch.setenv("GOODFIRE_API_KEY", "any")
    settings = dict(setting.split("=", 1) for setting in served)
    here = ModelSpec("small", hf_id=settings["model.hf_id"], sae=settings["model.sae"])
    return here, replace(here, hf_id=None, sae=None, goodfire_id=SEVENTY_B)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the store that cells share, so that what Auto Steer reads is written once."""
    return tmp_path_factory.mktemp("cells")


def experiment(folder: Path, model: ModelSpec, *overrides: str) -> Experiment:
    small = ["task=starter_open", "task.limit=3", "task.max_tokens=8", "query_set.queries=[be funny,be about boats]"]
    made = build_experiment(composed([*small, "tracker=none", "judge=proxy", "epochs=2", *overrides], CONF))
    return replace(made, model=model, judge=Counting(), resamples=200, store=folder / "store.sqlite")


def run(made: Experiment, progress: type[Progress] = Progress) -> list[Record]:
    store = Store(made.store)
    try:
        return run_cell(made, store, progress(Console(file=io.StringIO()), "cell"))
    finally:
        store.close()


NOT_REMOTE = ("key", "dose", "edits", "loglik_answer", "loglik_correct", "option_logprobs", "perplexity")
"""What depends on where it ran, and what only backend=local can measure."""

NOT_REMOTE_MEASURES = ("loglik_accuracy", "nll")
"""Those of the measures that only backend=local can take."""


def compared(record: Record) -> dict[str, Any]:
    everywhere = {name: value for name, value in record.measures.items() if name not in NOT_REMOTE_MEASURES}
    plain = dataclasses.asdict(replace(record, measures=everywhere))
    return {name: value for name, value in plain.items() if name not in (*NOT_REMOTE, "perplexity_missing")}


@pytest.mark.parametrize("method", ["autosteer", "prompt"])
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_cell_is_the_same_as_on_the_local_backend(
    method: str, temperature: float, models: tuple[ModelSpec, ModelSpec], folder: Path
) -> None:
    overrides = (f"method={method}", f"decoding.temperature={temperature}")
    here = experiment(folder, models[0], *overrides, "backend.device=cpu", "backend.max_rows=8")
    there = experiment(folder, models[1], *overrides, "backend=goodfire")
    assert not there.backend.lacks(there.model, there.method.needs)
    cells = run(here), run(there)
    assert len(cells[0]) == 12 and not any(record.error for records in cells for record in records)
    assert [compared(record) for record in cells[0]] == [compared(record) for record in cells[1]]
    assert all(record.prompt_tokens and record.completion_tokens for record in cells[1])
    for local, remote in zip(
        *cells, strict=True
    ):  # which features, and by how much; the API tells no block and no note
        assert [edit.partition(" @")[0] for edit in local.edits] == [edit.partition(" (")[0] for edit in remote.edits]
        assert bool(remote.edits) == (method == "autosteer")
        assert remote.perplexity is None and remote.perplexity_missing == "the backend gives no log-likelihoods"
    assert {record.key for record in cells[0]}.isdisjoint(record.key for record in cells[1])
    metrics = [metrics_of(records) for records in cells]
    shared = set(metrics[0]) & set(metrics[1]) - {"nll"}
    assert {"behaviour", "coherence", "words"} <= shared and all(
        metrics[0][name] == metrics[1][name] for name in shared
    )


def test_every_method_of_features_runs_on_it(models: tuple[ModelSpec, ModelSpec], tmp_path: Path) -> None:
    endpoint: Any = GoodfireBackend().open(models[1])
    on = SteeringBench(endpoint, Store(tmp_path / "store.sqlite"), 0)
    queries = [Query("be funny", ""), Query("be about boats", "")]  # what Auto Steer has been asked for already
    live = next(index for index in range(endpoint.features) if endpoint.scales[index])
    assert endpoint.features == 48
    for method in (
        Agentic(picker=None),
        RandomFeatures(),
        Features((Chosen(live, 0.5), Chosen(live, mode="ablate"))),
    ):
        for edits in method.edits(queries, on):
            assert not isinstance(edits, Declined)
            assert edits and all(edit.sae == endpoint.sae_identity and edit.label for edit in edits)
            ((_, completion),) = endpoint.generate([_asked(endpoint, edits)])
            assert completion.error is None, completion.error
    toward, away = Agentic(picker=None).edits([queries[1], Query("don't be about boats", "")], on)
    assert not isinstance(toward, Declined) and not isinstance(away, Declined)
    assert [edit.feature for edit in toward] == [edit.feature for edit in away]
    assert {edit.offset for edit in toward} == {0.6} and {edit.offset for edit in away} == {-0.6}


def test_a_model_under_a_llamas_name_is_not_taken_for_it(models: tuple[ModelSpec, ModelSpec]) -> None:
    identity = GoodfireBackend().open(models[1]).identity
    assert SEVENTY_B in identity and "alias" in identity and "is small here" in identity


def test_a_server_killed_under_a_study_is_waited_for(
    start: Start,  # noqa: F811
    models: tuple[ModelSpec, ModelSpec],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    caplog.set_level(logging.DEBUG, "mindgap.backends.goodfire")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    first = start(f"port={port}")
    monkeypatch.setenv("GOODFIRE_BASE_URL", first.url)
    long = ("method=prompt", "backend=goodfire", "task.max_tokens=150", "epochs=3", "query_set.queries=[be funny]")
    made = experiment(tmp_path, models[1], *long)
    monkeypatch.setattr("mindgap.providers.pace.FIRST_WAIT", 2.0)
    killed = threading.Event()

    def kill_and_restart() -> None:
        killed.wait(60)
        first.stop(signal.SIGKILL)
        start(f"port={port}")

    helper = threading.Thread(target=kill_and_restart, daemon=True)
    helper.start()

    class Killing(Progress):
        def counting(self, what: str, total: int) -> Any:
            if what == "generating":
                threading.Timer(0.1, killed.set).start()
            return super().counting(what, total)

    records = run(made, Killing)
    helper.join(120)
    assert first.process.returncode == -signal.SIGKILL
    assert "no connection" in caplog.text
    assert len(records) == 9 and not any(record.error for record in records)
    undisturbed = run(replace(made, store=tmp_path / "again.sqlite"))
    assert [record.response for record in records] == [record.response for record in undisturbed]


def _asked(endpoint: Any, edits: tuple[Any, ...]) -> Any:
    from mindgap.core.records import Decoding, Message, Request

    return Request(endpoint.identity, (Message("user", "Tell me."),), Decoding(6, 0.0), 0, edits)
