"""A study of a model that thinks: only replies are judged, measured and read; thoughts stay in the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Reply

import mindgap
from mindgap.report.browser import payload
from mindgap.results.judgements import judge_requests
from mindgap.results.sweep import read_sweep

THOUGHT = "Ha ha, what a joke! Perhaps <answer>A</answer>? No."


def answer(body: dict[str, Any]) -> Reply:
    """Every other question is thought about for ever."""
    question = body["messages"][-1]["content"]
    if len(question) % 2:
        return Reply(f"<think>\n{THOUGHT}", finish_reason="length")
    return Reply(f"<think>\n{THOUGHT}\n</think>\n\nIt is B: <answer>B</answer>")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Any:
    server = ChatServer()
    server.answer = answer
    try:
        yield mindgap.run(
            {
                "backend": "litellm",
                "backend.api_base": server.url,
                "backend.key_env": None,
                "model.litellm_id": "openai/some-model",
                "task.limit": 12,
                "query_set.queries": "[be funny]",
                "judge": "proxy",
                "tracker": "none",
                "resamples": 200,
                "outputs": str(tmp_path_factory.mktemp("outputs")),
            },
            quiet=True,
        )
    finally:
        server.close()


def test_thoughts_are_kept_and_neither_judged_nor_measured_nor_read(sweep: mindgap.Sweep) -> None:
    records = sweep.cells[0].records
    replied = [record for record in records if record.no_reply is None]
    silent = [record for record in records if record.no_reply is not None]
    assert replied and silent
    for record in records:
        assert record.thought == THOUGHT
        assert "joke" not in record.response
    for record in replied:
        assert record.response == "It is B: <answer>B</answer>"
        assert record.answer is not None and record.behaviour is not None
    for record in silent:
        assert (record.response, record.finish_reason, record.error) == ("", "thought", None)
        assert record.unparsed == record.measures["repetition"].missing == "unfinished thought"
        assert record.behaviour is None and record.behaviour_missing == "not judged: unfinished thought"
        assert record.correct is False  # it counts: accuracy over all would rise where thinking never ends otherwise
    assert sweep.cells[0].counts["truncated"] == len(silent)


def test_other_judges_are_not_shown_them_either(sweep: mindgap.Sweep) -> None:
    (cell,) = read_sweep(Path(sweep.cells[0].folder).parent).cells
    requests = judge_requests(cell)
    assert requests.keys() == {record.key for record in cell.records if record.no_reply is None}
    assert all("joke" not in request.response for request in requests.values())


def test_the_page_has_thoughts_in_a_place_of_their_own(sweep: mindgap.Sweep) -> None:
    data = payload(read_sweep(Path(sweep.cells[0].folder).parent), max_samples=100)
    thoughts = {data["texts"][number] for number in data["samples"]["thought"]}
    assert thoughts == {THOUGHT}
