"""Prompts as they stand: their likelihoods and replies are those of plain passes over the same text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402

from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.backends.local.scoring import loglikelihood  # noqa: E402
from mindgap.backends.local.session import generate  # noqa: E402
from mindgap.core.edits import AddVector  # noqa: E402
from mindgap.core.records import Decoding, Message, OptionsRequest, Request  # noqa: E402


@pytest.fixture(scope="module")
def engine(small_model: SimpleNamespace) -> Engine:
    return Engine(small_model.model, small_model.tokenizer, max_rows=4)


def ids(engine: Engine, text: str) -> list[int]:
    return engine.tokenizer(text, add_special_tokens=False)["input_ids"]


def plain(engine: Engine, tokens: list[int], first: int, vector: Any = None, layer: int = 1) -> tuple[float, bool]:
    """Log-likelihood of the tokens from `first` on, and whether all are the likeliest; a vector from one before on."""

    def add(module: Any, inputs: Any, output: Any) -> Any:
        stream = output[0] if isinstance(output, tuple) else output
        stream[:, first - 1 :] += vector
        return output

    hook = engine.model.model.layers[layer].register_forward_hook(add) if vector is not None else None
    with torch.no_grad():
        logits = engine.model(torch.tensor([tokens])).logits[0, first - 1 : -1]
    if hook:
        hook.remove()
    targets = torch.tensor(tokens[first:])
    total = logits.log_softmax(-1).gather(-1, targets[:, None]).sum()
    return float(total), bool((logits.argmax(-1) == targets).all())


def scores(engine: Engine, request: OptionsRequest) -> Any:
    ((_, scored),) = loglikelihood(engine, [request])
    assert scored.error is None
    return scored


def asked(prompt: str | None, *options: str, **settings: Any) -> OptionsRequest:
    messages = () if prompt is None else (Message("user", prompt),)
    return OptionsRequest("m", messages, options, as_text=True, **settings)


def test_a_text_after_a_prompt_and_a_space_that_ends_it(engine: Engine) -> None:
    whole = ids(engine, "Is it warm? yes")
    expected = plain(engine, whole, len(whole) - 4)
    for prompt, option in (("Is it warm?", " yes"), ("Is it warm? ", "yes")):
        scored = scores(engine, asked(prompt, option))
        assert (scored.logprobs[0], scored.greedy) == (pytest.approx(expected[0], abs=1e-4), (expected[1],))


def test_greedy_says_whether_greedy_decoding_would_say_the_text(engine: Engine) -> None:
    request = Request("m", (Message("user", "Is it warm?"),), Decoding(4, temperature=0), 0, as_text=True)
    ((_, reply),) = generate(engine, [request])
    said = scores(engine, asked("Is it warm?", reply.text, "no"))
    assert said.greedy == (True, False)


def test_steered_texts_are_those_of_a_hook(engine: Engine) -> None:
    vector = np.random.default_rng(0).normal(size=32).astype(np.float32)
    edit = AddVector(1, vector, "response")
    whole = ids(engine, "Is it warm? yes")
    expected, _ = plain(engine, whole, len(whole) - 4, torch.tensor(vector))
    assert scores(engine, asked("Is it warm?", " yes", edits=(edit,))).logprobs[0] == pytest.approx(expected, abs=1e-4)


def test_without_a_prompt_a_text_is_read_from_the_first_token_on(engine: Engine) -> None:
    tokens = [0, *ids(engine, "some words")]
    expected, _ = plain(engine, tokens, 1)
    for prompt in (None, ""):
        scored = scores(engine, asked(prompt, "some words"))
        assert scored.logprobs[0] == pytest.approx(expected, abs=1e-4) and scored.tokens == (10,)


def test_a_text_longer_than_the_context_is_read_in_windows_each_token_once(engine: Engine) -> None:
    """The windows of lm-evaluation-harness: 256 tokens after the first one, then 256 after the last of those, …"""
    text = "abc de" * 90  # 540 tokens, context 256
    tokens = [0, *ids(engine, text)]
    windows = [(0, 1, 257), (256, 257, 513), (541 - 257, 513, 541)]
    expected = sum(plain(engine, tokens[begin:end], first - begin)[0] for begin, first, end in windows)
    scored = scores(engine, asked(None, text))
    assert scored.logprobs[0] == pytest.approx(expected, rel=1e-5) and scored.tokens == (540,)


def test_a_prompt_that_is_too_long_loses_its_beginning(engine: Engine) -> None:
    prompt = "abc de" * 60
    tokens = ids(engine, prompt + "yes")[-257:]
    assert scores(engine, asked(prompt, "yes")).logprobs[0] == pytest.approx(plain(engine, tokens, 254)[0], abs=1e-3)
    request = Request("m", (Message("user", prompt),), Decoding(6, temperature=0), 0, as_text=True)
    ((_, reply),) = generate(engine, [request])
    assert reply.prompt_tokens == 250


def test_a_reply_ends_before_the_texts_that_end_it_and_is_that_of_transformers(engine: Engine) -> None:
    prompt = "Is it warm?"
    with torch.no_grad():
        made = engine.model.generate(torch.tensor([ids(engine, prompt)]), max_new_tokens=24, do_sample=False)
    text = engine.tokenizer.decode(made[0, len(ids(engine, prompt)) :], skip_special_tokens=True)
    decoding, message = Decoding(24, temperature=0), (Message("user", prompt),)
    until = text[5:7]  # two characters, wherever they stand first
    requests = [Request("m", message, decoding, 0, as_text=True, until=end) for end in ((), ("never", until))]
    replies = dict(generate(engine, requests))
    assert replies[0].text == text
    assert replies[1].text == text.partition(until)[0] and replies[1].finish_reason == "stop"
    assert replies[1].completion_tokens < 24
    assert requests[0].key != requests[1].key != Request("m", message, decoding, 0).key
