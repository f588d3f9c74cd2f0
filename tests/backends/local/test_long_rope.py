"""Rotary scaling that goes by the longest text of a pass: short and long rows of a batch are what each is alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_models import phi3  # noqa: E402

from mindgap.backends.local.attribution import likelihood_gradient  # noqa: E402
from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.backends.local.residuals import response_residuals  # noqa: E402
from mindgap.backends.local.scoring import loglikelihood  # noqa: E402
from mindgap.backends.local.session import generate  # noqa: E402
from mindgap.core.edits import AddVector  # noqa: E402
from mindgap.core.records import Decoding, Message, OptionsRequest, Request  # noqa: E402

ORIGINAL = 32
"""Tokens that the model was first trained on; beyond them its other frequencies hold."""
PROMPTS = ["why?", "w" * 24, "because of it all " * 3, "b" * 27, "short"]
"""One stays within it, one grows beyond it, one is longer from the start."""


@pytest.fixture(scope="module")
def engine(small_model: SimpleNamespace) -> Engine:
    """A Phi-3 with LongRoPE."""
    engine = Engine(phi3(len(small_model.tokenizer), ORIGINAL).float(), small_model.tokenizer, max_rows=4)
    engine.stops = frozenset()
    return engine


def steering(engine: Engine, number: int) -> tuple[AddVector, ...]:
    direction = np.random.default_rng(number).standard_normal(engine.d_model)
    return (AddVector(1, direction, "response" if number % 2 else "all"),) if number else ()


def plain(engine: Engine, tokens: list[int], edits: tuple[AddVector, ...], start: int) -> Any:
    """Logits of one row by transformers alone, steered by a hook."""

    def add(module: object, inputs: object, output: Any) -> Any:
        hidden = output.clone()
        for edit in edits:
            hidden[:, start if edit.positions == "response" else 0 :] += torch.tensor(edit.vector)
        return hidden

    handle = engine.blocks[1].register_forward_hook(add)
    try:
        with torch.inference_mode():
            return engine.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    finally:
        handle.remove()


def test_the_frequencies_do_depend_on_the_length(engine: Engine) -> None:
    assert engine.context == 256 and engine.shared_context == ORIGINAL
    tokens = list(range(5, 45))
    assert not torch.allclose(plain(engine, tokens, (), 0)[:20], plain(engine, tokens[:20], (), 0), atol=1e-2)


def test_replies_are_those_of_each_row_alone(engine: Engine) -> None:
    requests = [
        Request("x", (Message("user", text),), Decoding(10, 0.0), n, steering(engine, n))
        for n, text in enumerate(PROMPTS)
    ]
    lengths = []
    for index, completion in generate(engine, requests):
        prompt = engine.chat.prompt(requests[index].messages)
        reply: list[int] = []
        for _ in range(10):
            logits = plain(engine, [*prompt, *reply], steering(engine, index), len(prompt) - 1)[-1]
            reply.append(int(logits.argmax()))
        assert completion.error is None and list(completion.tokens) == reply
        lengths.append(len(prompt))
    assert min(lengths) + 10 <= ORIGINAL < max(lengths)
    assert any(length <= ORIGINAL < length + 10 for length in lengths)


def test_options_are_scored_as_each_row_alone(engine: Engine) -> None:
    options = ("yes", "no, or so it was said by all of them")
    requests = [
        OptionsRequest("x", (Message("user", text),), options, steering(engine, n)) for n, text in enumerate(PROMPTS)
    ]
    for index, scores in loglikelihood(engine, requests):
        prompt = engine.chat.prompt(requests[index].messages)
        for option, total in zip(options, scores.logprobs, strict=True):
            reply = engine.chat.encode(option)
            logits = plain(engine, [*prompt, *reply], steering(engine, index), len(prompt) - 1)[len(prompt) - 1 : -1]
            expected = logits.log_softmax(-1).gather(-1, torch.tensor(reply)[:, None]).sum()
            assert total == pytest.approx(float(expected), rel=1e-4, abs=1e-3)


def test_residuals_and_gradients_are_those_of_each_row_alone(engine: Engine) -> None:
    texts = [((Message("user", text),), "because") for text in PROMPTS]
    residuals, gradients = dict(response_residuals(engine, texts, 1)), dict(likelihood_gradient(engine, texts, 1))
    for index, text in enumerate(texts):
        ((_, residual),) = response_residuals(engine, [text], 1)
        ((_, gradient),) = likelihood_gradient(engine, [text], 1)
        np.testing.assert_allclose(residuals[index], residual, atol=1e-4)
        np.testing.assert_allclose(gradients[index], gradient, atol=1e-4)


def test_dynamic_scaling_refuses_rows_beyond_what_the_model_was_trained_on(small_model: SimpleNamespace) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    settings = {**small_model.model.config.to_dict(), "max_position_embeddings": 40, "rope_parameters": rope}
    engine = Engine(LlamaForCausalLM(LlamaConfig(**settings)), small_model.tokenizer, max_rows=4)
    requests = [Request("x", (Message("user", text),), Decoding(4, 0.0), 0) for text in ("why?", "w" * 60)]
    replies = dict(generate(engine, requests))
    assert replies[0].error is None
    assert "exceeds the model's context of 40" in (replies[1].error or "")


def test_scaling_that_does_not_go_by_the_length_shares_passes_to_the_end(small_model: SimpleNamespace) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    rope = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0, "original_max_position_embeddings": 32}
    settings = {**small_model.model.config.to_dict(), "max_position_embeddings": 128, "rope_parameters": rope}
    engine = Engine(LlamaForCausalLM(LlamaConfig(**settings)), small_model.tokenizer, max_rows=4)
    assert engine.shared_context == engine.context == 128
    tokens = list(range(5, 60))
    whole, part = plain(engine, tokens, (), 0), plain(engine, tokens[:20], (), 0)
    assert torch.allclose(whole[:20], part, atol=1e-4)
