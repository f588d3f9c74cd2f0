"""Models that think: thoughts are kept apart from replies, and options are scored where a reply begins."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from templates import DEEPSEEK_R1, DEEPSEEK_V3, GEMMA4, GLM, LLAMA3, QWEN3, chat_of  # noqa: E402

from mindgap.backends.local import LocalEndpoint  # noqa: E402
from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.backends.local.rows import Row  # noqa: E402
from mindgap.backends.local.session import completion  # noqa: E402
from mindgap.core.records import Completion, Decoding, Message, OptionsRequest, Request  # noqa: E402
from mindgap.steering.bench import SteeringBench  # noqa: E402
from mindgap.storage.store import Store  # noqa: E402

USER = (Message("user", "Two and two?"),)
GPT_OSS = (
    "{% for m in messages %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
    "{# replies: <|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>… #}"
)


@pytest.fixture(scope="module")
def tokenizer(tiny: Any) -> Any:
    return tiny.engine.tokenizer


def engine_of(small_model: SimpleNamespace, template: str, **settings: Any) -> Engine:
    """The small model with a thinking model's template; its tokenizer knows the marks' characters."""
    tokenizer = copy.deepcopy(small_model.tokenizer)
    tokenizer.add_tokens(["<", ">", "/", "|", "_"])
    tokenizer.bos_token = tokenizer.eos_token
    tokenizer.chat_template = template
    model = copy.deepcopy(small_model.model)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return Engine(model, tokenizer, max_rows=4, template=settings)


def completed(engine: Engine, written: str, *, stopped: bool, without_thought: bool = False) -> Completion:
    """What a row comes to that has written this."""
    prompt = engine.chat.prompt(USER, without_thought=without_thought)
    ids = [*engine.chat.encode(written), *([min(engine.stops)] if stopped else [])]
    return completion(engine, Row(0, prompt, Decoding(len(ids)), np.zeros(len(ids)), reply=ids))


@pytest.mark.parametrize(
    ("template", "settings", "tail"),
    [
        (LLAMA3, {}, ""),
        (QWEN3, {}, "assistant\n<think>\n\n</think>\n\n"),
        (QWEN3, {"enable_thinking": True}, "assistant\n<think>\n\n</think>\n\n"),
        (DEEPSEEK_R1, {}, "<|Assistant|><think>\n\n</think>\n\n"),
        (DEEPSEEK_R1.replace("<think>\\n", "<think>"), {}, "<|Assistant|><think></think>"),
        (DEEPSEEK_R1.replace("<think>\\n", ""), {}, "<|Assistant|><think>\n\n</think>\n\n"),
        (GLM, {}, "Two and two?/nothink<|assistant|>\n<think></think>"),
        (GLM, {"enable_thinking": True}, "Two and two?<|assistant|>\n<think></think>"),
        (DEEPSEEK_V3, {}, "Two and two?<|Assistant|></think>"),
        (DEEPSEEK_V3, {"thinking": True}, "Two and two?<|Assistant|><think></think>"),
        (DEEPSEEK_V3, {"enable_thinking": True}, "Two and two?<|Assistant|><think></think>"),
        (GEMMA4, {}, "<|turn>model\n<|channel>thought\n<channel|>"),
        (GEMMA4, {"enable_thinking": True}, "<|turn>model\n<|channel>thought\n<channel|>"),
        (GPT_OSS, {}, "<|start|>assistant<|channel|>final<|message|>"),
    ],
    ids=[
        "no thoughts",
        "off",
        "on",
        "opened",
        "opened without a line",
        "opens itself",
        "GLM, off",
        "GLM, on",
        "V3, off",
        "V3, on",
        "V3, on by its other name",
        "Gemma 4, off",
        "Gemma 4, on",
        "channels",
    ],
)
def test_what_is_scored_or_read_stands_behind_the_end_of_a_thought(
    template: str, settings: dict[str, Any], tail: str, tokenizer: Any
) -> None:
    chat = chat_of(tokenizer, template, **settings)
    prompt, (yes, no) = chat.with_replies(USER, ["Yes", "No"])
    assert tokenizer.decode(prompt).endswith(tail)
    assert tokenizer.decode(prompt).count("</think>") == tail.count("</think>")
    assert tokenizer.decode(prompt).startswith(chat.render(USER))
    assert (yes, no) == (tokenizer.encode("Yes"), tokenizer.encode("No"))


def test_options_of_a_thinking_model_are_those_of_the_model_that_has_thought(small_model: SimpleNamespace) -> None:
    engine = engine_of(small_model, DEEPSEEK_R1)
    ((_, scores),) = LocalEndpoint(engine, "x").loglikelihood([OptionsRequest("x", USER, ("yes", "no"))])
    text = f"{engine.chat.render(USER)}\n</think>\n\n"
    for option, score in zip(("yes", "no"), scores.logprobs, strict=True):
        prompt, reply = engine.chat.encode(text), engine.chat.encode(option)
        logits = engine.model(torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1]
        expected = logits.log_softmax(-1)[torch.arange(len(reply)), reply].sum()
        assert score == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize(("template", "start"), [(QWEN3, "<think>\n"), (DEEPSEEK_R1, "")], ids=["qwen3", "r1"])
def test_a_thought_is_kept_beside_the_reply(template: str, start: str, small_model: SimpleNamespace) -> None:
    settings = {"enable_thinking": True} if template == QWEN3 else {}
    engine = engine_of(small_model, template, **settings)
    done = completed(engine, f"{start}Let me see.\n</think>\n\nFour.", stopped=True)
    assert (done.thought, done.text, done.finish_reason, done.no_reply) == ("Let me see.", "Four.", "stop", None)
    assert engine.tokenizer.decode(done.tokens).strip() == "Four."
    cut = completed(engine, f"{start}Let me see.\n</think>\n\nFou", stopped=False)
    assert (cut.text, cut.finish_reason) == ("Fou", "length")


@pytest.mark.parametrize("stopped", [True, False])
def test_a_thought_that_never_ends_is_no_reply_and_no_error(stopped: bool, small_model: SimpleNamespace) -> None:
    done = completed(engine_of(small_model, DEEPSEEK_R1), "Let me see", stopped=stopped)
    assert (done.thought, done.text, done.tokens, done.error) == ("Let me see", "", (), None)
    assert (done.finish_reason, done.no_reply) == ("thought", "unfinished thought")


def test_a_reply_that_was_cut_off_before_its_first_word_is_none(small_model: SimpleNamespace) -> None:
    done = completed(engine_of(small_model, DEEPSEEK_R1), "Let me see.\n</think>\n", stopped=False)
    assert (done.thought, done.no_reply) == ("Let me see.", "unfinished thought")


def test_a_model_that_does_not_think_is_taken_at_its_word(small_model: SimpleNamespace) -> None:
    engine = engine_of(small_model, LLAMA3)
    assert completed(engine, "A tag: </think> and so on", stopped=True).text == "A tag: </think> and so on"
    assert completed(engine, "<think>Hm</think>Four.", stopped=True).thought == "Hm"


def test_marks_that_are_special_tokens_are_seen(small_model: SimpleNamespace) -> None:
    tokenizer = copy.deepcopy(small_model.tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]"]})
    tokenizer.bos_token = tokenizer.eos_token
    tokenizer.chat_template = LLAMA3 + "{# [THINK]…[/THINK] #}"
    model = copy.deepcopy(small_model.model)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    done = completed(Engine(model, tokenizer, max_rows=4), "[THINK]Let me see.[/THINK]Four.", stopped=True)
    assert (done.thought, done.text) == ("Let me see.", "Four.")


def test_contrast_replies_are_written_without_a_thought(small_model: SimpleNamespace, tmp_path: Any) -> None:
    """Forty tokens of a thinking model are the beginning of a thought: no vector could be made of them."""
    endpoint = LocalEndpoint(engine_of(small_model, DEEPSEEK_R1), "small")
    (reply,) = SteeringBench(endpoint, Store(tmp_path / "store.sqlite"), 0).respond([USER], 8)
    assert reply.no_reply is None and reply.thought is None and reply.text
    thinking, not_thinking = (Request("s", USER, Decoding(8), 0, without_thought=choice) for choice in (False, True))
    assert thinking.key != not_thinking.key
    done = completed(endpoint.engine, "Four.", stopped=True, without_thought=True)
    assert (done.text, done.thought) == ("Four.", None)
