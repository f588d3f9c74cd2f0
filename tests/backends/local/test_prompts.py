"""What several prompts begin with is read once, and nothing that a row answers tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from mindgap.backends.local import prompts, scoring
from mindgap.backends.local.engine import Engine
from mindgap.backends.local.prompts import Prompt, acting, families
from mindgap.backends.local.scoring import loglikelihood
from mindgap.backends.local.session import generate
from mindgap.core.directions import DirectionEdit
from mindgap.core.edits import AddVector, Edit
from mindgap.core.records import Decoding, Message, OptionsRequest, Request

SHOTS = "why is it? because it is so. " * 5
"""What few-shot prompts begin with."""


@pytest.fixture(scope="module")
def engine(small_model: SimpleNamespace) -> Engine:
    return Engine(small_model.model, small_model.tokenizer, max_rows=64)


@pytest.fixture
def read_tokens(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Tokens of every pass, padding included."""
    tokens: list[int] = []
    hook = engine.model.register_forward_pre_hook(
        lambda module, args, arguments: tokens.append(arguments["input_ids"].numel()), with_kwargs=True
    )
    yield tokens
    hook.remove()


def edits(engine: Engine) -> list[tuple[Edit, ...]]:
    """Of every kind of place at which an edit acts."""
    vectors = np.random.default_rng(3).standard_normal((6, engine.d_model)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        (),
        (AddVector(1, 2 * vectors[0]),),
        (AddVector(2, 2 * vectors[1], positions="response"),),
        (DirectionEdit(1, vectors[2], "ablate"),),
        (DirectionEdit(2, 2 * vectors[3], positions="last:9"),),
        (DirectionEdit(1, 2 * vectors[4], positions="prompt"),),
        (DirectionEdit(1, 2 * vectors[5], positions="response", half_life=4.0), AddVector(0, vectors[0])),
    ]


def asked(engine: Engine) -> list[Request]:
    """Few-shot prompts under all of `edits`, some of them twice, and two prompts like no other."""
    made = []
    for number, some in enumerate(edits(engine)):
        for item in range(5):
            question = "so " * (1 + 2 * item) + "why?"
            decoding = Decoding(6, temperature=0.8 * (item % 2))
            made.append(Request("x", (Message("user", SHOTS + question),), decoding, number, some))
    again = [replace(request, seed=50 + number) for number, request in enumerate(made[:4])]
    return [
        *made,
        *again,
        *(Request("x", (Message("user", text),), Decoding(6, 0), 7) for text in ("why?", "so " * 60)),
    ]


def nothing_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "LEAST_SAVED", 10**9)


def test_replies_are_those_of_prompts_that_are_each_read_whole(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, read_tokens: list[int]
) -> None:
    requests = asked(engine)
    shared, with_sharing = dict(generate(engine, requests)), sum(read_tokens)
    read_tokens.clear()
    nothing_is_shared(monkeypatch)
    assert dict(generate(engine, requests)) == shared
    assert with_sharing < 0.5 * sum(read_tokens)


def test_likelihoods_are_those_of_prompts_that_are_each_read_whole(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, read_tokens: list[int]
) -> None:
    options = ("because", "so it is", "why")
    requests = [OptionsRequest("x", request.messages, options, request.edits) for request in asked(engine)]
    shared, with_sharing = dict(loglikelihood(engine, requests)), sum(read_tokens)
    read_tokens.clear()
    nothing_is_shared(monkeypatch)
    for index, scores in loglikelihood(engine, requests):
        np.testing.assert_allclose(shared[index].logprobs, scores.logprobs, atol=2e-4)
    assert with_sharing < 0.6 * sum(read_tokens)


def test_what_all_options_of_a_prompt_begin_with_is_read_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, read_tokens: list[int]
) -> None:
    """As a judge's reply with each of the scores that could follow it."""
    head = '{"analysis": "it is so", "behaviour": '
    options = (head, *(f"{head}{score}" for score in "12345"), f"{head}23")
    others = ("because", "so")
    requests = [
        OptionsRequest("x", (Message("user", question),), options if number % 3 else others, some)
        for number, some in enumerate(edits(engine))
        for question in ("why?", "why is it?")
    ]
    shared, with_sharing = dict(loglikelihood(engine, requests)), sum(read_tokens)
    read_tokens.clear()
    monkeypatch.setattr(scoring, "LEAST_TRUNK", 10**9)
    for index, scores in loglikelihood(engine, requests):
        np.testing.assert_allclose(shared[index].logprobs, scores.logprobs, atol=2e-4)
        assert (shared[index].greedy, shared[index].tokens) == (scores.greedy, scores.tokens)
    assert with_sharing < 0.5 * sum(read_tokens)


def test_a_small_batch_reads_prompts_in_several_passes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = asked(engine)
    expected = dict(generate(engine, requests))
    monkeypatch.setattr(engine, "share", 0.05)
    monkeypatch.setattr(engine, "max_rows", 11)
    assert dict(generate(engine, requests)) == expected


def test_who_shares_with_whom(engine: Engine) -> None:
    none, everywhere, reply, ablation, last, whole_prompt, _ = edits(engine)
    assert acting(none, 100) == acting(reply, 100) == ()
    assert acting(everywhere, 100) == acting(everywhere, 120) != ()
    assert acting(last, 100) != acting(last, 120)
    assert acting(whole_prompt, 100) == acting(whole_prompt, 120) != acting(ablation, 100)
    assert acting((everywhere[0].scaled(0.0),), 100) == ()

    head = list(range(80))
    read = [
        Prompt([*head, 1, 2], 0, ()),
        Prompt([*head, 3], 1, ()),
        Prompt([*head, 3], 2, ("other",)),
        Prompt([*head, *range(200, 300)], 3, ()),
        Prompt([7, 8, 9], 4, ()),
        Prompt([7, 8, 9], 5, ()),
    ]
    assert sorted(sorted(family) for family in families(read)) == [[0, 1], [2], [3], [4], [5]]
