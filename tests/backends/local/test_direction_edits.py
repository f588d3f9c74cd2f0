"""Direction edits in a mixed batch: each equals a plain forward pass with a hook that does what its definition says."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from mindgap.core.directions import DirectionEdit, Gate, window
from mindgap.core.edits import AddVector, Edit
from mindgap.core.records import Decoding, Message, OptionsRequest, Request

torch = pytest.importorskip("torch")

from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.backends.local.residuals import token_streams  # noqa: E402
from mindgap.backends.local.scoring import loglikelihood  # noqa: E402
from mindgap.backends.local.session import generate  # noqa: E402

QUESTIONS = ("Why?", "What is the meaning of a very long word, and who needs it?", "Tell me of rain.")
REPLIES = ("Because it is so.", "no", "Rain falls, then it stops.")
WINDOWS = {
    "all": lambda at, end: True,
    "response": lambda at, end: at >= end,
    "prompt": lambda at, end: at <= end,
    "last:3": lambda at, end: end - 3 < at <= end,
    "from:4": lambda at, end: at >= 4,
    "at:2": lambda at, end: at == 2,
}


@pytest.fixture(params=["slots", "own cache", "no cache"])
def engine(request: pytest.FixtureRequest, small_model) -> Engine:  # type: ignore[no-untyped-def]
    return Engine(small_model.model, small_model.tokenizer, max_rows=8, way=request.param)


def directions(count: int) -> list[np.ndarray]:
    return list(np.linalg.qr(np.random.default_rng(0).standard_normal((32, count)))[0].T.astype(np.float32))


def kinds() -> list[tuple[Edit, ...]]:
    u, v, w, second = directions(4)
    gate = Gate(0, u, 0.1)
    return [
        (),
        (DirectionEdit(1, 3 * u, "add_constant_norm"),),
        (DirectionEdit(1, 2 * u, "add_constant_norm", positions="response", half_life=3.0),),
        tuple(DirectionEdit(layer, v, "ablate") for layer in range(4)),
        (DirectionEdit(1, v, "ablate", share=0.5),),
        (DirectionEdit(2, v, "clamp", low=1.0, high=1.0),),
        (DirectionEdit(2, 7 * v, "clamp", low=-0.2),),
        (DirectionEdit(2, v, "clamp", high=0.1, positions="prompt"),),
        (DirectionEdit(1, w, "rotate", second=second, degrees=30.0),),
        (DirectionEdit(1, w, "rotate", second=second, degrees=200.0, share=0.4, positions="from:4"),),
        (DirectionEdit(1, u, "rank_one", second=0.3 * w + 0.2 * u, offset=0.7),),
        (DirectionEdit(2, v, "rank_one", 0.5, second=v - w, offset=-0.4, positions="response", half_life=3.0),),
        *((DirectionEdit(1, 2 * u, positions=positions),) for positions in WINDOWS),
        (DirectionEdit(1, 2 * w, half_life=2.5),),
        (DirectionEdit(1, 2 * u, gate=gate), DirectionEdit(2, v, "ablate", gate=replace(gate, above=False))),
        (
            AddVector(1, w),
            DirectionEdit(1, u, "add_constant_norm"),
            DirectionEdit(1, v, "ablate"),
            DirectionEdit(1, w, "rotate", second=second, degrees=90.0, positions="last:3"),
            DirectionEdit(1, v, "rank_one", second=0.5 * u, offset=0.2),
            DirectionEdit(2, 2 * v),
        ),
    ]


def changed(edit: Edit, x: torch.Tensor, at: int, end: int) -> torch.Tensor:
    """What an edit makes of the stream `[d_model]` at token `at`, as its definition has it."""
    if isinstance(edit, AddVector):
        return x + torch.tensor(edit.vector)
    assert isinstance(edit, DirectionEdit)
    if not WINDOWS[edit.positions](at, end):
        return x
    share = edit.share * (0.5 ** (max(at - end, 0) / edit.half_life) if edit.half_life else 1.0)
    vector = torch.tensor(edit.vector)
    unit = vector / vector.norm()
    along = float(x @ unit)
    if edit.operation == "add":
        return x + share * vector
    if edit.operation == "add_constant_norm":
        moved = x + share * vector
        return moved * x.norm() / moved.norm()
    if edit.operation == "ablate":
        return x - share * torch.outer(unit, unit) @ x
    if edit.operation == "clamp":
        return x + share * (min(max(along, edit.low), edit.high) - along) * unit
    second = torch.tensor(edit.second)
    across = float(x @ second)
    if edit.operation == "rank_one":
        return x + share * (across + edit.offset) * unit
    angle = math.atan2(across, along)
    turn = (math.radians(edit.degrees) - angle + math.pi) % (2 * math.pi) - math.pi
    cos, sin = math.cos(share * turn), math.sin(share * turn)  # a rotation by so much, in the plane of the two
    plane = (cos * along - sin * across) * unit + (sin * along + cos * across) * second
    return x - along * unit - across * second + plane


def held(engine: Engine, edits: tuple[Edit, ...], prompt: list[int]) -> list[Edit]:
    """The edits whose condition holds, by hidden states of transformers."""
    kept: list[Edit] = []
    for edit in edits:
        gate = getattr(edit, "gate", None)
        if gate is not None:
            with torch.inference_mode():
                hidden = engine.model(torch.tensor([prompt]), output_hidden_states=True).hidden_states[gate.layer + 1][
                    0
                ]
            mean = hidden.mean(0) if gate.read == "mean" else hidden[-1]
            condition = torch.tensor(gate.vector)
            projected = torch.outer(condition, condition) @ mean / (condition @ condition)
            similarity = float(torch.nn.functional.cosine_similarity(mean, projected, dim=0))
            if (similarity > gate.threshold) != gate.above:
                continue
        kept.append(edit)
    return kept


def plain_logits(engine: Engine, prompt: list[int], reply: list[int], edits: tuple[Edit, ...]) -> torch.Tensor:
    """Logits `[tokens, vocabulary]` by transformers and hooks that go token by token."""
    end, acting, handles = len(prompt) - 1, held(engine, edits, prompt), []
    for layer in {edit.layer for edit in acting}:

        def steer(module, args, output, layer=layer):  # type: ignore[no-untyped-def]
            hidden = output[0] if isinstance(output, tuple) else output
            steered = hidden.clone()
            for edit in acting:
                if edit.layer == layer:
                    for at in range(hidden.shape[1]):
                        steered[0, at] += changed(edit, hidden[0, at], at, end) - hidden[0, at]
            return (steered, *output[1:]) if isinstance(output, tuple) else steered

        handles.append(engine.blocks[layer].register_forward_hook(steer))
    with torch.inference_mode():
        logits = engine.model(torch.tensor([prompt + reply])).logits[0]
    for handle in handles:
        handle.remove()
    return logits


def test_scores_are_those_of_a_plain_pass_with_a_hook(engine: Engine) -> None:
    requests = [
        OptionsRequest("x", (Message("user", QUESTIONS[n % 3]),), REPLIES, edits) for n, edits in enumerate(kinds())
    ]
    together = dict(loglikelihood(engine, requests))
    for index, request in enumerate(requests):
        prompt = engine.chat.prompt(request.messages)
        for option, found in zip(request.options, together[index].logprobs, strict=True):
            reply = engine.chat.encode(option)
            logprobs = plain_logits(engine, prompt, reply, request.edits).log_softmax(-1)[len(prompt) - 1 : -1]
            assert found == pytest.approx(sum(float(row[t]) for row, t in zip(logprobs, reply, strict=True)), abs=2e-3)


def test_every_step_of_a_mixed_batch_is_that_of_a_plain_pass_with_a_hook(engine: Engine) -> None:
    """Greedy: every token generated is the likeliest of the plain pass over the text before it, and the row's alone."""
    requests = [
        Request("x", (Message("user", QUESTIONS[n % 3]),), Decoding(4 + n % 5, 0), 0, edits)
        for n, edits in enumerate(kinds())
    ]
    together = dict(generate(engine, requests))
    for index, request in enumerate(requests):
        prompt, text = engine.chat.prompt(request.messages), together[index].text
        reply = engine.chat.encode(text)
        logits = plain_logits(engine, prompt, reply, request.edits)[len(prompt) - 1 :]
        for row, token in zip(logits[:-1], reply, strict=True):
            assert float(row.max() - row[token]) < 1e-3
    alone = [next(iter(generate(engine, [request])))[1] for request in requests[::4]]
    assert alone == [together[index] for index in range(0, len(requests), 4)]


def test_they_all_do_something_and_each_something_else(small_model) -> None:  # type: ignore[no-untyped-def]
    engine = Engine(small_model.model, small_model.tokenizer, max_rows=8)
    requests = [OptionsRequest("x", (Message("user", QUESTIONS[1]),), REPLIES[:1], edits) for edits in kinds()]
    scores = sorted(scores.logprobs[0] for _, scores in loglikelihood(engine, requests))
    same = sum(b - a < 1e-4 for a, b in itertools.pairwise(scores))
    assert same <= 1  # `add` at all tokens, and under the condition that holds


def test_constant_norm_and_rotation_keep_the_length_and_ablation_leaves_nothing(small_model) -> None:  # type: ignore[no-untyped-def]
    engine = Engine(small_model.model, small_model.tokenizer, max_rows=8)
    u, _, w, second = directions(4)
    edits = [
        (DirectionEdit(1, 5 * u, "add_constant_norm"),),
        (DirectionEdit(1, w, "rotate", second=second, degrees=77.0),),
        (DirectionEdit(1, u, "ablate"),),
    ]
    steering = engine.steering(edits)
    steering.rows_are(torch.tensor([0, 1, 2]), response=False)
    stream = torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(1))
    after = steering._hook(1)(None, None, stream)
    torch.testing.assert_close(after[:2].norm(dim=-1), stream[:2].norm(dim=-1))
    torch.testing.assert_close(after[2] @ torch.tensor(u), torch.zeros(5), atol=1e-5, rtol=0)
    angles = torch.atan2(after[1] @ torch.tensor(second), after[1] @ torch.tensor(w))
    torch.testing.assert_close(angles, torch.full((5,), math.radians(77.0)))


def test_share_zero_changes_no_logit(engine: Engine) -> None:
    asked = (Message("user", QUESTIONS[1]),)
    nothing = [tuple(edit.scaled(0) for edit in edits) for edits in kinds()]
    requests = [OptionsRequest("x", asked, REPLIES, edits) for edits in nothing]
    scores = dict(loglikelihood(engine, requests))
    assert all(scores[n].logprobs == scores[0].logprobs for n in scores)


def test_a_condition_acts_on_the_prompts_that_meet_it_and_on_no_others(engine: Engine) -> None:
    """The threshold stands between two prompts; the row that does not meet it is unsteered to the logit."""
    u = directions(1)[0]
    prompts = [engine.chat.prompt((Message("user", question),)) for question in QUESTIONS[:2]]
    similar = []
    for _, stream in sorted(token_streams(engine, prompts, [2]), key=lambda pair: pair[0]):
        mean = stream[0].mean(0).numpy()
        similar.append(abs(float(mean @ u)) / float(np.linalg.norm(mean)))
    gate = Gate(2, u, float(np.mean(similar)))
    scores = {}
    cases: dict[str, tuple[Edit, ...]] = {
        "no": (),
        "gated": (DirectionEdit(1, 3 * u, gate=gate),),
        "yes": (AddVector(1, 3 * u),),
    }
    for name, edits in cases.items():
        requests = [OptionsRequest("x", (Message("user", question),), REPLIES, edits) for question in QUESTIONS[:2]]
        scores[name] = dict(loglikelihood(engine, requests))
    met, unmet = int(np.argmax(similar)), int(np.argmin(similar))
    assert scores["gated"][unmet] == scores["no"][unmet]
    assert scores["gated"][met].logprobs == pytest.approx(scores["yes"][met].logprobs, abs=1e-3)
    assert scores["gated"][met].logprobs != pytest.approx(scores["no"][met].logprobs, abs=1e-2)


def test_padding_is_never_changed(small_model) -> None:  # type: ignore[no-untyped-def]
    engine = Engine(small_model.model, small_model.tokenizer, max_rows=8)
    steering = engine.steering([edits for edits in kinds()[1:] if all(getattr(e, "gate", None) is None for e in edits)])
    rows = steering._directions[1]._numbers.shape[0]
    real = torch.tensor([[True, True, False]] * rows)
    steering.rows_are(torch.arange(rows), response=False, real=real)
    stream = torch.randn(rows, 3, 32, generator=torch.Generator().manual_seed(0))
    changed_at = (
        steering._directions[1].change(
            steering._parts[0].directions[1], stream, stream, torch.arange(3)[None].expand(rows, 3)
        )
        != stream
    )
    assert not changed_at[:, 2].any() and changed_at[:, :2].any()


def test_keys_tell_everything_that_can_change_an_answer() -> None:
    u, v, *_ = directions(4)
    base = DirectionEdit(1, u, "clamp", low=0.0, gate=Gate(0, u, 0.1))
    others = [
        replace(base, layer=2), replace(base, vector=v), replace(base, share=0.5), replace(base, low=-1.0),
        replace(base, high=1.0), replace(base, positions="response"), replace(base, half_life=4.0),
        replace(base, gate=None), replace(base, gate=Gate(0, u, 0.2)), replace(base, gate=Gate(0, u, 0.1, above=False)),
        replace(base, gate=Gate(0, u, 0.1, signed=True)), replace(base, gate=Gate(0, u, 0.1, read="last")),
        replace(base, gate=Gate(1, u, 0.1)), replace(base, operation="ablate"),
        replace(base, operation="rank_one", second=v), replace(base, operation="rank_one", second=2 * v),
        replace(base, operation="rank_one", second=v, offset=1.0),
    ]  # fmt: skip
    assert len({edit.key for edit in [base, *others]}) == len(others) + 1
    assert replace(base, label="other", typical=3.0).key == base.key
    assert replace(base, vector=4 * u).key == base.key  # the direction alone counts


@pytest.mark.parametrize("positions", ["some", "last:0", "last", "from:-1", "at:x", "from:1:2"])
def test_positions_that_there_are_not_are_refused(positions: str) -> None:
    with pytest.raises(ValueError, match="choose all, response, prompt"):
        window(positions)


def test_what_a_model_cannot_take_is_refused(engine: Engine) -> None:
    u = directions(1)[0]
    for edit, said in [
        (DirectionEdit(9, u), "blocks 0 to 3"),
        (DirectionEdit(1, u[:8]), "width 32"),
        (DirectionEdit(1, u, gate=Gate(9, u, 0.1)), "reads block 9"),
        (DirectionEdit(1, u, gate=Gate(0, u[:8], 0.1)), "width 8"),
    ]:
        with pytest.raises(ValueError, match=said):
            list(generate(engine, [Request("x", (Message("user", "a"),), Decoding(2, 0), 0, (edit,))]))
