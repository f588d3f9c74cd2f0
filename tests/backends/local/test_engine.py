"""The invariants of the engine: what a row answers depends on the row alone."""

from __future__ import annotations

import itertools
import operator

import numpy as np
import pytest

from mindgap.core.edits import AddVector, Comparison, Condition, Edit, FeatureEdit
from mindgap.core.records import Decoding, Message, OptionsRequest, Request
from mindgap.steering.strength import Scaled

torch = pytest.importorskip("torch")

from random_sae import random_sae  # noqa: E402

from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.backends.local.residuals import response_residuals  # noqa: E402
from mindgap.backends.local.scoring import loglikelihood  # noqa: E402
from mindgap.backends.local.session import Session, generate  # noqa: E402

TOLERANCE = 1e-4


@pytest.fixture(params=["small", "tiny"])
def engine(request: pytest.FixtureRequest) -> Engine:
    small = request.param == "small"
    loaded = request.getfixturevalue("small_model") if small else request.getfixturevalue("tiny").engine
    width = loaded.model.config.hidden_size
    return Engine(loaded.model, loaded.tokenizer, max_rows=8 if small else 16, open_sae=lambda: random_sae(width))


def vector(engine: Engine, seed: int, norm: float, layer: int = 1, positions: str = "all") -> AddVector:
    direction = np.random.default_rng(seed).standard_normal(engine.d_model)
    return AddVector(layer, direction * (norm / np.linalg.norm(direction)), positions)  # type: ignore[arg-type]


def residual_scale(engine: Engine) -> float:
    text = ((Message("user", "Tell me a thing."),), "Here is one thing.")
    ((_, residual),) = response_residuals(engine, [text], 1)
    return float(np.median(np.linalg.norm(residual, axis=1)))


def feature(engine: Engine, number: int, **change: object) -> FeatureEdit:
    """An edit of a feature of the engine's SAE, whose scale is what the whole residual stream could make of it."""
    return FeatureEdit(engine.sae.identity, 1, number, residual_scale(engine), None, **change)  # type: ignore[union-attr, arg-type]


def steerings(engine: Engine) -> list[tuple[Edit, ...]]:
    """None, weak, strong, only where the response is predicted, two layers at once, and every kind of feature edit."""
    unit = residual_scale(engine)
    some = Condition((Comparison(6, ">", 0.02, unit),))
    either = Condition((Comparison(8, ">=", 0.1, unit), Comparison(9, "==", 0, unit)), join="or")
    return [
        (),
        (vector(engine, 1, 0.1 * unit),),
        (vector(engine, 2, 1.0 * unit),),
        (vector(engine, 3, 0.5 * unit, positions="response"),),
        (vector(engine, 4, 0.3 * unit), vector(engine, 5, 0.3 * unit, layer=2), vector(engine, 6, 0.2 * unit)),
        (feature(engine, 0, offset=0.3), feature(engine, 1, offset=-0.4)),
        (feature(engine, 2, gain=0, offset=0.5),),
        tuple(feature(engine, number, gain=0) for number in range(12)),
        (feature(engine, 4, gain=3, positions="response"), feature(engine, 5, offset=0.4, when=some)),
        (
            feature(engine, 7, gain=0, offset=0.6, when=either, positions="response"),
            feature(engine, 3, gain=0, offset=0.4),
            vector(engine, 7, 0.3 * unit),
            vector(engine, 8, 0.3 * unit, layer=2),
        ),
    ]


QUESTIONS = ["Why?", "What is the meaning of a very long word, and who needs it?", "Tell me of rain.", "Go on."]
REPLIES = ("Because it is so.", "no", "Rain falls, then it stops, and then it falls.")


def mixed(engine: Engine) -> list[tuple[str, tuple[Edit, ...]]]:
    """Questions of all lengths under all steerings; every steering once where the model is not tiny enough for more."""
    if engine.layers < 10:
        return list(itertools.product(QUESTIONS, steerings(engine)))
    return list(zip(itertools.cycle(QUESTIONS), steerings(engine)))


def scoring(engine: Engine) -> list[OptionsRequest]:
    return [OptionsRequest("x", (Message("user", question),), REPLIES, edits) for question, edits in mixed(engine)]


def reference_logprobs(engine: Engine, request: OptionsRequest) -> list[float]:
    """The same numbers from one plain forward pass per option: no cache, no batch, no table."""
    operators = {">": operator.gt, ">=": operator.ge, "==": operator.eq}

    def added(edit: Edit, stream: torch.Tensor) -> torch.Tensor:
        """What an edit adds to `stream` `[1, tokens, d_model]`, as its definition has it."""
        if isinstance(edit, AddVector):
            return torch.tensor(edit.vector)
        sae = engine.sae
        assert sae is not None
        active = sae.encode(stream)
        change = (edit.gain - 1) * active[..., edit.feature] + edit.offset * edit.scale
        if edit.when:
            compared = [
                (active[..., c.feature], operators[c.operator], c.value * c.scale) for c in edit.when.comparisons
            ]
            holds = torch.stack([compare(values, bound) for values, compare, bound in compared])
            change = change * (holds.all(0) if edit.when.join == "and" else holds.any(0))
        return change[..., None] * sae.decoder[edit.feature] / sae.input_scale

    prompt = engine.chat.prompt(request.messages)
    sums = []
    for option in request.options:
        reply = engine.chat.encode(option)
        handles = []
        for layer in {edit.layer for edit in request.edits}:

            def steer(module, args, output, layer=layer):  # type: ignore[no-untyped-def]
                hidden = output[0] if isinstance(output, tuple) else output
                steered = hidden.clone()
                for edit in request.edits:
                    if edit.layer == layer:
                        first = 0 if edit.positions == "all" else len(prompt) - 1
                        steered[:, first:] += added(edit, hidden[:, first:])
                return (steered, *output[1:]) if isinstance(output, tuple) else steered

            handles.append(engine.blocks[layer].register_forward_hook(steer))
        with torch.inference_mode():
            logprobs = engine.model(torch.tensor([prompt + reply])).logits[0].log_softmax(-1)
        for handle in handles:
            handle.remove()
        sums.append(sum(float(logprobs[len(prompt) - 1 + i, token]) for i, token in enumerate(reply)))
    return sums


def test_each_row_scores_as_a_batch_under_its_steering_alone(engine: Engine) -> None:
    requests = scoring(engine)
    together = dict(loglikelihood(engine, requests))
    for index in range(0, len(requests), 3):
        expected = reference_logprobs(engine, requests[index])
        assert together[index].logprobs == pytest.approx(expected, abs=TOLERANCE * 30, rel=TOLERANCE)


def test_steering_changes_the_scores(engine: Engine) -> None:
    requests = [OptionsRequest("x", (Message("user", "Why?"),), REPLIES[:1], edits) for edits in steerings(engine)]
    scores = dict(loglikelihood(engine, requests))
    first = [scores[i].logprobs[0] for i in range(len(requests))]
    assert all(abs(a - b) > 0.01 for a, b in itertools.combinations(first, 2))


def step_logits(engine: Engine, requests: list[Request]) -> dict[tuple[str, int], np.ndarray]:
    """Logits of every decode step of a run over `requests`, by (row's prompt and steering, step)."""
    seen: dict[tuple[str, int], np.ndarray] = {}
    step = Session.step

    def spy(session: Session) -> torch.Tensor:
        before = [(requests[row.index].key, len(row.reply)) for row in session.rows]
        logits = step(session)
        for where, values in zip(before, logits, strict=True):
            seen[where] = values.numpy().copy()
        return logits

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "step", spy)
        for _ in generate(engine, requests):
            pass
    return seen


def generation(engine: Engine, *, temperature: float = 0.0) -> list[Request]:
    return [
        Request("x", (Message("user", question),), Decoding(4 + 3 * (i % 3), temperature, 0.9), seed=i, edits=edits)
        for i, (question, edits) in enumerate(mixed(engine))
    ]


def test_logits_of_every_step_are_those_of_the_row_alone(engine: Engine) -> None:
    """Rows of other lengths and other steering come and go around it: prompt and decode steps, to 1e-4."""
    requests = generation(engine)
    together = step_logits(engine, requests)
    for request in requests[::4]:
        alone = step_logits(engine, [request])
        assert alone.keys() <= together.keys()
        for where, logits in alone.items():
            scale = max(1.0, float(np.abs(logits).max()))
            assert np.abs(together[where] - logits).max() <= TOLERANCE * scale


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_order_and_neighbours_do_not_change_the_text(engine: Engine, temperature: float) -> None:
    requests = generation(engine, temperature=temperature)
    forward = dict(generate(engine, requests))
    backward = dict(generate(engine, requests[::-1]))
    for index in range(len(requests)):
        assert forward[index] == backward[len(requests) - 1 - index]
    (alone,) = [completion for _, completion in generate(engine, [requests[3]])]
    assert alone == forward[3]


def test_greedy_text_is_that_of_transformers(engine: Engine) -> None:
    requests = [Request("x", (Message("user", question),), Decoding(12, 0), 0) for question in QUESTIONS]
    ours = dict(generate(engine, requests))
    for index, request in enumerate(requests):
        prompt = torch.tensor([engine.chat.prompt(request.messages)])
        output = engine.model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False, pad_token_id=0
        )
        theirs = engine.tokenizer.decode(output[0, prompt.shape[1] :], skip_special_tokens=True)
        assert ours[index].text == theirs


def test_zero_strength_is_no_steering_to_the_logit(engine: Engine) -> None:
    kinds = steerings(engine)[1:]
    plain = [Request("x", (Message("user", f"{n} is it?"),), Decoding(6, 0), 0) for n in range(len(kinds))]
    steered = [
        Request("x", r.messages, r.decoding, r.seed, Scaled(0.0).apply(edits, lambda layer: 1.0))
        for r, edits in zip(plain, kinds, strict=True)
    ]
    without, with_zero = step_logits(engine, plain), step_logits(engine, steered)
    assert len(with_zero) > len(plain)
    twins = {after.key: before.key for before, after in zip(plain, steered, strict=True)}
    for (key, step), logits in with_zero.items():
        np.testing.assert_array_equal(logits, without[twins[key], step])


def test_steering_reaches_exactly_the_positions_it_names(engine: Engine) -> None:
    """What each block's output gained, recorded at the block itself, on prompt and decode passes."""
    from mindgap.backends.local.steering import Steering

    edit_all, edit_response = vector(engine, 1, 1.0), vector(engine, 2, 1.0, positions="response")
    requests = [
        Request("x", (Message("user", QUESTIONS[1]),), Decoding(3, 0), 0, (edit_all,)),
        Request("x", (Message("user", QUESTIONS[2]),), Decoding(3, 0), 0, (edit_response,)),
        Request("x", (Message("user", "Y"),), Decoding(3, 0), 0),  # rows lie longest first, so in this order
    ]
    gained: list[torch.Tensor] = []
    hook = Steering._hook

    def oracle(self, layer):  # type: ignore[no-untyped-def]
        add = hook(self, layer)

        def recorded(module, args, output):  # type: ignore[no-untyped-def]
            after = add(module, args, output)
            before, later = (o[0] if isinstance(o, tuple) else o for o in (output, after))
            gained.append((later - before).norm(dim=-1))
            return after

        return recorded

    try:
        Steering._hook = oracle  # type: ignore[method-assign]
        for _ in generate(engine, requests):
            pass
    finally:
        Steering._hook = hook  # type: ignore[method-assign]

    prompt_pass, *decode_passes = gained
    lengths = [len(engine.chat.prompt(request.messages)) - 1 for request in requests]
    assert prompt_pass[0, : lengths[0]] == pytest.approx(1.0, abs=1e-2)
    assert (prompt_pass[1:] == 0).all()  # response-only and unsteered rows, their padding included
    assert len(decode_passes) == 3
    for step in decode_passes:
        assert step[:2].flatten().tolist() == pytest.approx([1.0, 1.0], abs=1e-2)
        assert float(step[2]) == 0.0


@pytest.mark.parametrize("real", [[True, True, False], [False, True, True]])
def test_padding_is_never_steered(engine: Engine, real: list[bool]) -> None:
    """Behind the text, where the engine puts it, or before it."""
    edits = [(vector(engine, 1, 1.0),), (feature(engine, 2, gain=0, offset=0.5),), ()]
    steering = engine.steering(edits)  # type: ignore[arg-type]
    steering.rows_are(torch.tensor([0, 1, 2]), response=False, real=torch.tensor([real] * 3))
    stream = torch.randn(3, 3, engine.d_model, generator=torch.Generator().manual_seed(0))
    changed = (steering._hook(1)(None, None, stream) != stream).any(-1)
    assert changed.tolist() == [real, real, [False] * 3]


def test_the_caller_may_use_the_model_between_completions(engine: Engine) -> None:
    """A half-read generation leaves no steering behind in other passes."""
    (scored,) = [scores for _, scores in loglikelihood(engine, scoring(engine)[:1])]
    running = generate(engine, [r for r in generation(engine) if r.edits])
    next(running)
    (between,) = [scores for _, scores in loglikelihood(engine, scoring(engine)[:1])]
    running.close()  # type: ignore[attr-defined]
    assert between == scored


def test_a_request_that_does_not_fit_is_an_error_and_the_others_run(small_model) -> None:  # type: ignore[no-untyped-def]
    engine = Engine(small_model.model, small_model.tokenizer, max_rows=8)
    fits = Request("x", (Message("user", "short"),), Decoding(4, 0), 0)
    too_long = Request("x", (Message("user", "long " * 100),), Decoding(4, 0), 0)
    done = dict(generate(engine, [too_long, fits]))
    assert "context of 256" in (done[0].error or "")
    assert done[0].finish_reason == "error" and done[0].text == ""
    assert done[1].error is None


def test_edits_that_the_model_cannot_take_are_refused(small_model) -> None:  # type: ignore[no-untyped-def]
    engine = Engine(small_model.model, small_model.tokenizer, max_rows=8)
    for edit, words in [(AddVector(9, np.ones(32)), "blocks 0 to 3"), (AddVector(1, np.ones(8)), "width 32")]:
        with pytest.raises(ValueError, match=words):
            list(generate(engine, [Request("x", (Message("user", "a"),), Decoding(2, 0), 0, (edit,))]))


def test_options_may_be_empty_and_requests_may_have_none(small_model) -> None:  # type: ignore[no-untyped-def]
    engine = Engine(small_model.model, small_model.tokenizer, max_rows=8)
    message = (Message("user", "a"),)
    done = dict(loglikelihood(engine, [OptionsRequest("x", message, ("", "yes")), OptionsRequest("x", message, ())]))
    assert done[0].tokens == (0, 3) and done[0].logprobs[0] == 0
    assert done[0].per_token()[0] == float("-inf")
    assert done[1].logprobs == ()


def test_many_options_of_one_prompt_are_split_over_passes(small_model, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    engine = Engine(small_model.model, small_model.tokenizer, max_rows=8)
    request = OptionsRequest("x", (Message("user", "abc"),), tuple("option " + "x" * n for n in range(1, 30)))
    (whole,) = [scores for _, scores in loglikelihood(engine, [request])]
    monkeypatch.setattr(engine, "tokens_per_pass", lambda most=80: min(most, 80))
    (split,) = [scores for _, scores in loglikelihood(engine, [request])]
    assert split.tokens == whole.tokens
    assert split.logprobs == pytest.approx(whole.logprobs, abs=1e-3)


def test_residuals_are_those_of_hidden_states(engine: Engine) -> None:
    texts = [((Message("user", question),), "A short reply.") for question in QUESTIONS]
    for index, residual in response_residuals(engine, texts, 1):
        prompt = engine.chat.prompt(texts[index][0])
        reply = engine.chat.encode(texts[index][1])
        with torch.inference_mode():
            output = engine.model(torch.tensor([prompt + reply]), output_hidden_states=True)
        expected = output.hidden_states[2][0, len(prompt) :].numpy()  # 0 is the embedding, so 2 is block 1's output
        np.testing.assert_allclose(residual, expected, rtol=1e-3, atol=1e-3)
