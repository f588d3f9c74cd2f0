"""A real vLLM server with the plugin: what it answers is what the local engine answers, under every kind of edit."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
from vllm_servers import PRESSED, STARTS_SERVERS, Fleet, serving

from mindgap.backends.local import LocalBackend
from mindgap.backends.vllm import VllmBackend
from mindgap.core.directions import DirectionEdit, Gate
from mindgap.core.edits import AddVector, Comparison, Condition, Edit, FeatureEdit
from mindgap.core.errors import UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.core.records import Completion, Decoding, Message, OptionScores, OptionsRequest, Request

pytestmark = [*STARTS_SERVERS, pytest.mark.timeout(1500)]

TINY = ModelSpec(name="tiny", embedded=True, sae="mindgap:tiny")
QUESTIONS = (
    "Why is the sky blue?",
    "Tell me about rain in one sentence.",
    "What can I cook of eggs, rice and tomatoes?",
)
OPTIONS = ("blue", "B", " red and green together", "Because of the way that light is scattered.", "")
GREEDY = Decoding(24, 0.0)
PROXIMITY = 1e-4
"""Nats a token that log-likelihoods may differ by, in float32: unsteered ones of two engines do as much."""


@cache
def kinds() -> Mapping[str, tuple[Edit, ...]]:
    local = LocalBackend(max_rows=16).open(TINY)
    u, v, w, second = np.linalg.qr(np.random.default_rng(0).standard_normal((local.d_model, 4)))[0].T.astype(np.float32)
    alive = [int(feature) for feature in np.argsort(-local.scales)[:6]]

    def feature(number: int, **change: Any) -> FeatureEdit:
        index = alive[number]
        scale, direction = float(local.scales[index]), local.directions([index])[0]
        return FeatureEdit(local.sae_identity, local.sae_layer, index, scale, direction, **change)

    where = Condition((Comparison(alive[3], "<=", 0.05, float(local.scales[alive[3]])),))  # where it is silent
    return {
        "unsteered": (),
        "added": (AddVector(12, 20 * u),),
        "added to the response": (AddVector(12, 20 * u, "response"),),
        "at several blocks": (AddVector(5, 10 * u), AddVector(12, 20 * v, "response"), AddVector(20, 20 * w)),
        "nudged": (feature(0, offset=0.3), feature(1, offset=0.2, positions="response")),
        "pinned": (feature(2, gain=0.0, offset=0.5),),
        "silenced": (feature(3, gain=0.0), feature(4, gain=0.0)),
        "conditional": (feature(5, offset=0.5, when=where),),
        "ablated": tuple(DirectionEdit(layer, u, "ablate") for layer in range(8, 12)),
        "clamped": (DirectionEdit(14, v, "clamp", low=5.0, high=8.0),),
        "of constant norm": (DirectionEdit(12, 20 * u, "add_constant_norm"),),
        "rotated": (DirectionEdit(12, u, "rotate", second=second, degrees=90.0),),
        "fading": (DirectionEdit(12, 40 * w, half_life=5.0, positions="response"),),
        "in a window": (DirectionEdit(12, 20 * w, positions="last:3"),),
        "gated": (DirectionEdit(12, 20 * u, gate=Gate(6, v, 0.0)),),
    }


def cases() -> list[tuple[str, tuple[Message, ...], tuple[Edit, ...]]]:
    system = Message("system", "You are a helpful assistant.")
    return [(kind, (system, Message("user", q)), edits) for kind, edits in kinds().items() for q in QUESTIONS]


def answers(endpoint: Any) -> tuple[dict[int, Completion], dict[int, OptionScores]]:
    asked = cases()
    texts = endpoint.generate([Request(endpoint.identity, said, GREEDY, 0, edits) for _, said, edits in asked])
    scored = endpoint.loglikelihood(
        [OptionsRequest(endpoint.identity, said, OPTIONS, edits) for _, said, edits in asked]
    )
    return dict(texts), dict(scored)


@cache
def local_answers() -> tuple[dict[int, Completion], dict[int, OptionScores]]:
    return answers(LocalBackend(max_rows=16).open(TINY))


def assert_equal(fleet: Fleet) -> None:
    """Everything equals what the local engine says; every kind of edit changes something."""
    texts, scores = answers(VllmBackend(fleet.urls).open(TINY))
    local_texts, local_scores = local_answers()
    names = [kind for kind, _, _ in cases()]
    assert [texts[i] for i in range(len(names))] == [local_texts[i] for i in range(len(names))]
    moved = dict.fromkeys(names, 0.0)  # a feature need not act on every question
    for index, kind in enumerate(names):
        here, there = per_token(scores[index]), per_token(local_scores[index])
        np.testing.assert_allclose(here, there, rtol=0, atol=PROXIMITY, err_msg=kind)
        unsteered = per_token(local_scores[index % len(QUESTIONS)])
        moved[kind] = max(moved[kind], float(abs(there - unsteered).max()))
    assert [kind for kind, most in moved.items() if most <= 20 * PROXIMITY] == ["unsteered"]


def per_token(scores: OptionScores) -> np.ndarray:
    """Mean log-likelihood of each option's tokens, in nats; 0 for an option without any."""
    return np.array(scores.logprobs) / np.maximum(scores.tokens, 1)


def preemptions(url: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        found = re.search(r"^vllm:num_preemptions_total\{.*\} (\S+)$", answer.read().decode(), re.MULTILINE)
    return float(found[1])


def test_a_mixed_batch_equals_the_local_engine_in_pieces_and_preempted(pressed: Fleet) -> None:
    assert_equal(pressed)
    assert sum(map(preemptions, pressed.urls)) > 0


@pytest.mark.slow
def test_a_compiled_server_says_the_same() -> None:
    with serving("eager=false", "sequences=32", f"options={PRESSED}") as fleet:
        assert_equal(fleet)
        assert preemptions(fleet.urls[0]) > 0


@pytest.mark.slow
def test_a_model_spread_over_three_processes_says_the_same() -> None:
    """It has nine heads: it can be spread over three."""
    with serving("eager=true", "sequences=32", f"options={PRESSED} --tensor-parallel-size 3") as fleet:
        assert_equal(fleet)
        assert preemptions(fleet.urls[0]) > 0


def complete(url: str, **body: Any) -> tuple[int, dict[str, Any]]:
    """Status and reply, of a client that knows nothing of mindgap."""
    with urllib.request.urlopen(f"{url}/v1/models", timeout=30) as answer:
        model = json.load(answer)["data"][0]["id"]
    sent = json.dumps({"model": model, "prompt": [1, 2, 3], "max_tokens": 1, "temperature": 0, **body}).encode()
    request = urllib.request.Request(f"{url}/v1/completions", sent, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


@pytest.mark.parametrize("program", ["no JSON", "{}", '{"version":1,"width":3}', 7])
def test_what_cannot_be_run_is_refused_and_the_server_goes_on(pressed: Fleet, program: Any) -> None:
    url = pressed.urls[0]
    status, said = complete(url, vllm_xargs={"mindgap": program})
    assert status == 400 and "mindgap" in said["error"]["message"]
    assert complete(url)[0] == 200


def test_more_than_there_is_room_for_is_an_error_record_not_unsteered_text(pressed: Fleet) -> None:
    endpoint = VllmBackend(pressed.urls).open(TINY)
    many = tuple(AddVector(layer, np.ones(endpoint.d_model)) for layer in range(20))  # of 16
    asked = [Request(endpoint.identity, (Message("user", "Hi."),), GREEDY, 0, edits) for edits in (many, ())]
    replies = dict(endpoint.generate(asked))
    assert "takes 20 sums" in replies[0].error and not replies[0].text
    assert replies[1].error is None and replies[1].text


def test_a_server_of_other_weights_is_not_taken(pressed: Fleet) -> None:
    other = ModelSpec(name="other", embedded=True, embedded_name="gemma-3-270m")
    if VllmBackend(pressed.urls).lacks(other, frozenset()):
        pytest.skip("the other model's packages are not installed")
    with pytest.raises(UnavailableError, match="and the model here is"):
        VllmBackend(pressed.urls).open(other)
