"""Where memory runs out the batch is halved: the answers are the same, and it is said once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mindgap.backends.local.attribution import likelihood_gradient  # noqa: E402
from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.backends.local.residuals import response_residuals  # noqa: E402
from mindgap.backends.local.scoring import loglikelihood  # noqa: E402
from mindgap.backends.local.session import generate  # noqa: E402
from mindgap.core.edits import AddVector  # noqa: E402
from mindgap.core.records import Decoding, Message, OptionsRequest, Request  # noqa: E402

QUESTIONS = [f"question {'why ' * n}?" for n in range(8)]


@pytest.fixture
def engine(small_model: SimpleNamespace) -> Engine:
    return Engine(small_model.model, small_model.tokenizer, max_rows=8)


@pytest.fixture
def roomy(small_model: SimpleNamespace) -> Engine:
    return Engine(small_model.model, small_model.tokenizer, max_rows=8)


class Memory:
    """Pretends that the model's device holds passes of so many rows, and of so many tokens in a row."""

    def __init__(self, model: Any, rows: int = 100, tokens: int = 10_000) -> None:
        self.rows, self.tokens, self.refused = rows, tokens, 0
        self.handle = model.register_forward_pre_hook(self.check, with_kwargs=True)

    def check(self, module: object, arguments: Any, settings: Any) -> None:
        rows, _ = settings["input_ids"].shape
        reach = (
            settings["input_ids"].shape[1] if settings.get("position_ids") is None else settings["position_ids"].max()
        )
        if rows > self.rows or reach > self.tokens:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.fixture
def short_of_memory(engine: Engine) -> Iterator[Memory]:
    memory = Memory(engine.model)
    yield memory
    memory.handle.remove()


def requests(engine: Engine) -> list[Request]:
    edit = AddVector(1, np.full(engine.d_model, 0.3, dtype=np.float32))
    return [
        Request("x", (Message("user", question),), Decoding(3 + n, 0.7), n, (edit,) if n % 2 else ())
        for n, question in enumerate(QUESTIONS)
    ]


def test_replies_are_the_same_in_smaller_batches_and_it_is_said_once(
    engine: Engine, roomy: Engine, short_of_memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    expected = dict(generate(roomy, requests(roomy)))
    short_of_memory.rows = 2
    caplog.set_level(logging.WARNING)
    assert dict(generate(engine, requests(engine))) == expected
    assert short_of_memory.refused == 2 and engine.max_rows == 2  # 8, then 4, then 2
    assert [record.getMessage() for record in caplog.records] == [
        "memory ran out with 8 rows in a batch: going on with at most 4 (backend.max_rows sets it)"
    ]
    assert dict(generate(engine, requests(engine))) == expected and short_of_memory.refused == 2


def test_options_and_residuals_and_gradients_are_the_same_in_smaller_passes(
    engine: Engine, roomy: Engine, short_of_memory: Memory
) -> None:
    scored = [
        OptionsRequest("x", (Message("user", question),), ("yes", "no, not so", "maybe")) for question in QUESTIONS
    ]
    texts = [((Message("user", question),), "because of it") for question in QUESTIONS]

    def read(engine: Engine) -> list[Any]:
        return [
            {index: scores.logprobs for index, scores in loglikelihood(engine, scored)},
            dict(response_residuals(engine, texts, 1)),
            dict(likelihood_gradient(engine, texts, 1)),
        ]

    expected = read(roomy)
    short_of_memory.rows = 3
    for actual, plentiful in zip(read(engine), expected, strict=True):
        assert actual.keys() == plentiful.keys()
        for index, value in actual.items():
            np.testing.assert_allclose(value, plentiful[index], atol=1e-4)
    assert short_of_memory.refused > 0


def test_a_row_that_is_too_large_alone_fails_alone(engine: Engine, roomy: Engine, short_of_memory: Memory) -> None:
    long = Request("x", (Message("user", "n" * 150),), Decoding(4, 0.0), 0)
    expected = dict(generate(roomy, requests(roomy)))
    short_of_memory.tokens = 90
    replies = dict(generate(engine, [*requests(engine), long]))
    assert replies.pop(len(QUESTIONS)).error == (
        "the memory here does not suffice for one row of this length (CUDA out of memory. Tried to allocate 2.00 GiB.)"
    )
    assert replies == expected and engine.max_rows == 8  # the others are batched as before
    message = (Message("user", "why?"),)
    options = [OptionsRequest("x", message, ("yes", "no")), OptionsRequest("x", message, ("yes", "n" * 150))]
    scores = dict(loglikelihood(engine, options))
    assert scores[0].error is None and "does not suffice for one row" in (scores[1].error or "")
