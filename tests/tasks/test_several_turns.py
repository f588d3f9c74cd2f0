"""Items that are conversations, and examples before each item."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from chat_server import ChatServer, Reply

import mindgap
from mindgap.core.build import build
from mindgap.core.edits import AddVector
from mindgap.core.errors import ConfigError
from mindgap.core.records import Message, OptionsRequest
from mindgap.results.judgements import judge_requests
from mindgap.results.sweep import read_sweep

SHOTS: list[Any] = [{"role": "user", "content": "One and one?"}, {"role": "assistant", "content": "<answer>B</answer>"}]
TALK: list[Any] = [
    {"role": "system", "content": "You are a waiter."},
    {"role": "user", "content": "Is there soup?"},
    {"role": "assistant", "content": "There is."},
    {"role": "user", "content": "Is it hot?"},
]


def task(path: Path, lines: list[dict[str, Any]], kind: str = "OpenQuestions", **settings: Any) -> Any:
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    node = {"name": "talk", "system": "Be brief.", "max_tokens": 8, "path": str(path), **settings}
    return build({"_target_": f"mindgap.tasks.questions.{kind}", **node}, "task")


def test_an_item_may_be_a_conversation(tmp_path: Path) -> None:
    talk = task(tmp_path / "items.jsonl", [{"id": "a", "messages": TALK}, {"id": "b", "question": "Tea?"}])
    items = {item.id: item for item in talk.load()}
    assert talk.messages(items["a"]) == (
        Message("system", "Be brief.\n\nYou are a waiter."),
        Message("user", "Is there soup?"),
        Message("assistant", "There is."),
        Message("user", "Is it hot?"),
    )
    assert talk.messages(items["b"]) == (Message("system", "Be brief."), Message("user", "Tea?"))
    assert items["b"].asked == "Tea?"
    assert items["a"].asked == (
        "System: You are a waiter.\n\nUser: Is there soup?\n\nAssistant: There is.\n\nUser: Is it hot?"
    )


def test_examples_come_before_each_item_and_before_its_options_too(tmp_path: Path) -> None:
    line = {"id": "a", "messages": TALK, "options": ["yes", "no"], "gold": 0}
    talk = task(tmp_path / "items.jsonl", [line], "ChoiceQuestions", few_shot=SHOTS)
    (item,) = talk.load()
    shots = tuple(Message(**message) for message in SHOTS)
    for messages in (talk.messages(item), *(talk.option_request(item, way)[0] for way in ("letter", "continuation"))):
        assert messages[0].role == "system" and messages[0].content.endswith("\n\nYou are a waiter.")
        assert messages[1:3] == shots
        assert [message.role for message in messages[3:]] == ["user", "assistant", "user"]
    assert talk.messages(item)[-1].content == "Is it hot?\nA. yes\nB. no"
    assert talk.option_request(item, "continuation")[1] == ("yes", "no")
    assert hash(talk) == hash(task(tmp_path / "items.jsonl", [line], "ChoiceQuestions", few_shot=SHOTS))


@pytest.mark.parametrize(
    ("few_shot", "words"),
    [
        (SHOTS[:1], "message 2 should be the assistant's, and is the user's"),
        (SHOTS[1:], "message 1 should be the user's"),
        ([TALK[0], *SHOTS], "belongs into task.system"),
        ([{"role": "teacher", "content": "x"}], r"task\.few_shot\.0"),
        ([{"role": "user", "text": "x"}], r"task\.few_shot\.0"),
        ("One and one?", r"task\.few_shot"),
    ],
)
def test_examples_that_are_no_conversation_are_refused(few_shot: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        task(tmp_path / "items.jsonl", [{"id": "b", "question": "Tea?"}], few_shot=few_shot)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "must be a list of messages"),
        (TALK[:3], "the last message should be the user's"),
        ([TALK[1], TALK[3]], "message 2 should be the assistant's"),
        ([*TALK[1:3], TALK[0]], "message 3 should be the user's, and is the system's"),
        ([{"role": "user"}], "message 1: a message has a role and a content"),
        ([{"role": "bot", "content": "x"}], "the role is system, user or assistant"),
        ([{"role": "user", "content": " "}], "the content must be text"),
    ],
)
def test_an_item_that_is_no_conversation_is_refused_with_its_line(messages: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"line 1: .*{words}"):
        task(tmp_path / "items.jsonl", [{"id": "a", "messages": messages}]).check()


def test_an_item_has_a_question_or_messages_and_not_both(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key 'question'"):
        task(tmp_path / "items.jsonl", [{"id": "a", "messages": TALK, "question": "x"}]).check()


def test_a_study_of_conversations(chat_server: ChatServer, tmp_path: Path) -> None:
    """The model gets all turns, the judge the item's own, and the record keeps what was sent."""
    items = tmp_path / "items.jsonl"
    items.write_text(json.dumps({"id": "a", "messages": TALK}), encoding="utf-8")
    chat_server.script(Reply("Very."))
    sweep = mindgap.run(
        [
            "task=open",
            f"task.path={items}",
            "task.few_shot=[{role: user, content: 'One and one?'}, {role: assistant, content: '<answer>B</answer>'}]",
            "method=prompt",
            "query_set.queries=[be funny]",
            "backend=litellm",
            f"backend.api_base={chat_server.url}",
            "backend.key_env=null",
            "model.litellm_id=openai/some-model",
            "judge=proxy",
            "tracker=none",
            "resamples=200",
            f"outputs={tmp_path / 'outputs'}",
        ],
        quiet=True,
    )
    (body, _), *_ = chat_server.asked
    system = "Reply in two or three sentences.\n\nYou are a waiter.\n\nWhen answering, please be funny."
    assert body["messages"] == [{"role": "system", "content": system}, *SHOTS, *TALK[1:]]
    ((record,),) = (cell.records for cell in sweep.cells)
    assert (record.system_prompt, record.prompt) == (system, "Is it hot?")
    assert record.turns.startswith("User: One and one?\n\nAssistant: <answer>B</answer>\n\nUser: Is there soup?")
    (cell,) = read_sweep(Path(sweep.cells[0].folder).parent).cells
    (request,) = judge_requests(cell).values()
    assert "Is there soup?" in request.question and "One and one?" not in request.question


def test_response_positions_are_those_of_the_last_reply_alone(small_model: SimpleNamespace) -> None:
    torch = pytest.importorskip("torch")
    from mindgap.backends.local import LocalEndpoint
    from mindgap.backends.local.engine import Engine

    engine = Engine(small_model.model, small_model.tokenizer, max_rows=4)
    messages = tuple(Message(**message) for message in (*SHOTS, *TALK[1:]))
    vector = np.random.default_rng(0).standard_normal(32).astype(np.float32)
    request = OptionsRequest("x", messages, ("yes",), (AddVector(1, vector, "response"),))
    ((_, scores),) = LocalEndpoint(engine, "x").loglikelihood([request])
    prompt, (reply,) = engine.chat.with_replies(messages, ["yes"])

    def steer(module: object, args: object, output: Any) -> Any:
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        hidden[:, len(prompt) - 1 :] += torch.tensor(vector)
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    handle = engine.blocks[1].register_forward_hook(steer)
    try:
        logits = engine.model(torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1]
    finally:
        handle.remove()
    expected = logits.log_softmax(-1)[torch.arange(len(reply)), reply].sum()
    assert scores.logprobs[0] == pytest.approx(float(expected), abs=1e-4)
