"""Rows that join a running batch answer what they answer alone, whoever comes and goes around them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from mindgap.backends.local import sampling
from mindgap.backends.local.engine import Engine
from mindgap.backends.local.rows import FORGOTTEN, Row
from mindgap.backends.local.session import Session, generate, is_done
from mindgap.core.edits import AddVector, Edit
from mindgap.core.records import Decoding, Message, Request


@pytest.fixture(scope="module")
def engine(small_model: SimpleNamespace) -> Engine:
    return Engine(small_model.model, small_model.tokenizer, max_rows=8)


def requests(engine: Engine) -> list[Request]:
    """Of all lengths, greedy and sampled, plain and steered."""
    made = []
    for number in range(14):
        direction = np.random.default_rng(number).standard_normal(engine.d_model)
        edits: tuple[Edit, ...] = (AddVector(1, direction * 0.4),) if number % 3 else ()
        decoding = Decoding(3 + 5 * (number % 4), temperature=0.9 * (number % 2))
        made.append(Request("x", (Message("user", "why? " * (1 + number % 5)),), decoding, number, edits))
    return made


def row(engine: Engine, number: int, request: Request) -> Row:
    prompt = engine.chat.prompt(request.messages)
    return Row(number, prompt, request.decoding, sampling.draws(request.seed, request.decoding), request.edits)


def replies(engine: Engine, arrivals: list[int]) -> dict[int, list[int]]:
    """Tokens of each of `requests`; request i arrives at step `arrivals[i]`. Nothing is said of sizes beforehand."""
    asked = requests(engine)
    session, done, step = Session(engine), dict[int, list[int]](), 0
    while len(done) < len(asked):
        joining = [row(engine, n, asked[n]) for n, when in enumerate(arrivals) if when == step]
        if joining:
            session.admit(joining)
        if session.rows:
            session.step()
        over = [slot for slot, row in enumerate(session.rows) if is_done(engine, row)]
        done |= {session.rows[slot].index: session.rows[slot].reply for slot in over}
        session.remove(over)
        step += 1
    return done


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_row_that_joins_late_answers_as_alone(engine: Engine, seed: int) -> None:
    asked = requests(engine)
    arrivals = np.random.default_rng(seed).integers(0, 12, len(asked)).tolist()
    together = replies(engine, arrivals)
    for number, request in enumerate(asked):
        ((_, alone),) = generate(engine, [request])
        tokens = together[number]
        text = engine.tokenizer.decode(tokens[:-1] if tokens[-1] in engine.stops else tokens, skip_special_tokens=True)
        assert (text, len(tokens)) == (alone.text, alone.completion_tokens)


def test_a_row_taken_out_before_its_end_leaves_the_others_as_they_were(engine: Engine) -> None:
    asked = requests(engine)[7:12]
    undisturbed = {n: completion.text for n, completion in generate(engine, asked)}
    session = Session(engine)
    session.admit([row(engine, number, request) for number, request in enumerate(asked)])
    texts = {}
    for step in range(20):
        session.step()
        gone = [slot for slot, row in enumerate(session.rows) if is_done(engine, row) or (step, row.index) == (1, 0)]
        for slot in gone:
            tokens = [token for token in session.rows[slot].reply if token not in engine.stops]
            texts[session.rows[slot].index] = engine.tokenizer.decode(tokens, skip_special_tokens=True)
        session.remove(gone)
        if not session.rows:
            break
    assert len(texts[0]) < len(undisturbed[0])
    assert {n: texts[n] for n in range(1, 5)} == {n: undisturbed[n] for n in range(1, 5)}


def test_edits_that_no_row_has_any_more_are_forgotten(engine: Engine) -> None:
    session = Session(engine)
    for number in range(FORGOTTEN + 5):
        edit = AddVector(1, np.full(engine.d_model, 1.0 + number))
        session.admit([Row(0, [5, 6], Decoding(1, 0), np.zeros(1), (edit,))])
        session.step()
        session.remove([0])
    assert len(session.edit_sets) <= FORGOTTEN + 1


def test_a_row_with_edits_that_the_model_cannot_take_keeps_nobody_from_going_on(engine: Engine) -> None:
    session = Session(engine)
    session.admit([Row(0, [5, 6, 7], Decoding(4, 0), np.zeros(4))])
    session.step()
    with pytest.raises(ValueError, match="blocks 0 to 3"):
        session.admit([Row(1, [5], Decoding(4, 0), np.zeros(4), (AddVector(9, np.ones(engine.d_model)),))])
    session.step()
    assert [row.index for row in session.rows] == [0]
    assert len(session.rows[0].reply) == 2
