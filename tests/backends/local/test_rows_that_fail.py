"""A row that cannot be answered fails by itself, with the reason, and its neighbours answer as alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mindgap.backends.local.attribution import likelihood_gradient  # noqa: E402
from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.backends.local.scoring import loglikelihood  # noqa: E402
from mindgap.backends.local.session import generate  # noqa: E402
from mindgap.core.edits import AddVector  # noqa: E402
from mindgap.core.records import Decoding, Message, OptionsRequest, Request  # noqa: E402


@pytest.fixture(scope="module")
def engine(small_model: SimpleNamespace) -> Engine:
    return Engine(small_model.model, small_model.tokenizer, max_rows=8)


def asked(text: str, edits: tuple[AddVector, ...] = (), temperature: float = 0.0) -> Request:
    return Request("x", (Message("user", text),), Decoding(6, temperature), 3, edits)


def poison(engine: Engine) -> tuple[AddVector, ...]:
    """Edits that are finite, each, and together drive the residual stream beyond all numbers."""
    huge = np.full(engine.d_model, 3e38, dtype=np.float32)
    return AddVector(1, huge), AddVector(2, huge)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_logits_that_are_no_numbers_fail_their_row_alone(engine: Engine, temperature: float) -> None:
    healthy = [asked(text, temperature=temperature) for text in ("why?", "what is it?", "go on")]
    alone = dict(generate(engine, healthy))
    mixed = dict(generate(engine, [healthy[0], asked("bad", poison(engine), temperature), *healthy[1:]]))
    assert mixed[1].finish_reason == "error" and "not finite numbers" in (mixed[1].error or "")
    assert mixed[1].text == ""
    assert [mixed[0], mixed[2], mixed[3]] == [alone[0], alone[1], alone[2]]


def test_a_text_that_is_too_long_is_missing_by_itself_with_the_reason(engine: Engine) -> None:
    message = (Message("user", "why?"),)
    fits = OptionsRequest("x", message, ("yes", "no"))
    done = dict(loglikelihood(engine, [OptionsRequest("x", message, ("yes", "n" * 400)), fits]))
    ((_, alone),) = loglikelihood(engine, [fits])
    assert "exceeds the model's context of 256" in (done[0].error or "")
    assert done[0].logprobs == () and done[1] == alone


def test_what_was_generated_is_scored_where_its_text_encoded_anew_is_too_long(engine: Engine) -> None:
    message = (Message("user", "why?"),)
    tokens = tuple(engine.chat.encode("because"))
    long_as_text = "n" * 400  # what a collapsed reply's text may come to
    ((_, scores),) = loglikelihood(engine, [OptionsRequest("x", message, (long_as_text,), tokens=(tokens,))])
    ((_, expected),) = loglikelihood(engine, [OptionsRequest("x", message, ("because",))])
    assert scores.error is None and scores == expected
    ((_, usual),) = loglikelihood(engine, [OptionsRequest("x", message, ("because",), tokens=((5, 6),))])
    assert usual == expected  # where the text fits, it is what is scored


def test_a_likelihood_that_is_no_number_is_an_error(engine: Engine) -> None:
    message = (Message("user", "why?"),)
    bad, good = OptionsRequest("x", message, ("yes",), poison(engine)), OptionsRequest("x", message, ("yes",))
    done = dict(loglikelihood(engine, [bad, good]))
    assert "not a finite number" in (done[0].error or "") and done[1].error is None


def test_replies_carry_the_tokens_that_were_generated(engine: Engine) -> None:
    ((_, reply),) = generate(engine, [asked("why?")])
    assert engine.tokenizer.decode(list(reply.tokens), skip_special_tokens=True) == reply.text
    assert len(reply.tokens) in (reply.completion_tokens, (reply.completion_tokens or 0) - 1)


def test_the_models_parameters_are_frozen_and_gradients_still_come(engine: Engine) -> None:
    assert not any(parameter.requires_grad for parameter in engine.model.parameters())
    ((_, gradient),) = likelihood_gradient(engine, [((Message("user", "why?"),), "because")], 1)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
