"""The invariants of the engine: what a row answers depends on the row alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mindgap.records import Decoding, Message, OptionsRequest, Request
from mindgap.steering.edits import AddVector

torch = pytest.importorskip("torch")

from mindgap.backends.local import chat  # noqa: E402
from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.backends.local.reading import response_residuals  # noqa: E402
from mindgap.backends.local.scoring import loglikelihood  # noqa: E402

TOLERANCE = 1e-4


@pytest.fixture(params=["small", "tiny"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "small":
        small = request.getfixturevalue("small_model")
        return Engine(small.model, small.tokenizer, max_rows=8)
    return request.getfixturevalue("tiny").engine


def vector(engine: Engine, seed: int, norm: float, layer: int = 1, positions: str = "all") -> AddVector:
    direction = np.random.default_rng(seed).standard_normal(engine.d_model)
    return AddVector(layer, direction * (norm / np.linalg.norm(direction)), positions)  # type: ignore[arg-type]


def residual_scale(engine: Engine) -> float:
    text = ((Message("user", "Tell me a thing."),), "Here is one thing.")
    ((_, residual),) = response_residuals(engine, [text], 1)
    return float(np.median(np.linalg.norm(residual, axis=1)))


def steerings(engine: Engine) -> list[tuple[AddVector, ...]]:
    """None, weak, strong, only where the response is predicted, and two layers at once."""
    unit = residual_scale(engine)
    return [
        (),
        (vector(engine, 1, 0.1 * unit),),
        (vector(engine, 2, 1.0 * unit),),
        (vector(engine, 3, 0.5 * unit, positions="response"),),
        (vector(engine, 4, 0.3 * unit), vector(engine, 5, 0.3 * unit, layer=2), vector(engine, 6, 0.2 * unit)),
    ]


QUESTIONS = ["Why?", "What is the meaning of a very long word, and who needs it?", "Tell me of rain.", "Go on."]
REPLIES = ("Because it is so.", "no", "Rain falls, then it stops, and then it falls.")


def mixed(engine: Engine) -> list[tuple[str, tuple[AddVector, ...]]]:
    """Questions of all lengths under all steerings; every steering once where the model is not tiny enough for more."""
    if engine.layers < 10:
        return list(itertools.product(QUESTIONS, steerings(engine)))
    return list(zip(itertools.cycle(QUESTIONS), steerings(engine)))


def scoring(engine: Engine) -> list[OptionsRequest]:
    return [OptionsRequest("x", (Message("user", question),), REPLIES, edits) for question, edits in mixed(engine)]


def reference_logprobs(engine: Engine, request: OptionsRequest) -> list[float]:
    """The same numbers from one plain forward pass per option: no cache, no batch, no table."""
    prompt = chat.encode_prompt(engine.tokenizer, request.messages)
    sums = []
    for option in request.options:
        reply = chat.encode(engine.tokenizer, option)
        handles = []
        for edit in request.edits:
            first = 0 if edit.positions == "all" else len(prompt) - 1

            def steer(module, args, output, edit=edit, first=first):  # type: ignore[no-untyped-def]
                hidden = output[0] if isinstance(output, tuple) else output
                hidden = hidden.clone()
                hidden[:, first:] += torch.tensor(edit.vector)
                return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

            handles.append(engine.blocks[edit.layer].register_forward_hook(steer))
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
    step = engine._step

    def spy(active, batch, cache, steering):  # type: ignore[no-untyped-def]
        forward = engine.forward

        def keep(*args, **kwargs):  # type: ignore[no-untyped-def]
            logits = forward(*args, **kwargs)
            for row, values in zip(active, logits[:, -1], strict=True):
                seen[requests[row.index].key, len(row.reply)] = values.numpy().copy()
            return logits

        engine.forward = keep  # type: ignore[method-assign]
        try:
            return step(active, batch, cache, steering)
        finally:
            engine.forward = forward  # type: ignore[method-assign]

    engine._step = spy  # type: ignore[method-assign]
    try:
        for _ in engine.generate(requests):
            pass
    finally:
        engine._step = step  # type: ignore[method-assign]
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
    forward = dict(engine.generate(requests))
    backward = dict(engine.generate(requests[::-1]))
    for index in range(len(requests)):
        assert forward[index] == backward[len(requests) - 1 - index]
    (alone,) = [completion for _, completion in engine.generate([requests[3]])]
    assert alone == forward[3]


def test_greedy_text_is_that_of_transformers(engine: Engine) -> None:
    requests = [Request("x", (Message("user", question),), Decoding(12, 0), 0) for question in QUESTIONS]
    ours = dict(engine.generate(requests))
    for index, request in enumerate(requests):
        prompt = torch.tensor([chat.encode_prompt(engine.tokenizer, request.messages)])
        output = engine.model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False, pad_token_id=0
        )
        theirs = engine.tokenizer.decode(output[0, prompt.shape[1] :], skip_special_tokens=True)
        assert ours[index].text == theirs


def test_zero_strength_is_no_steering_to_the_logit(engine: Engine) -> None:
    zero = (vector(engine, 1, 1.0).scaled(0.0), vector(engine, 2, 1.0, layer=2).scaled(0.0))
    plain = [Request("x", (Message("user", q),), Decoding(6, 0), 0) for q in QUESTIONS]
    steered = [Request("x", r.messages, r.decoding, r.seed, zero) for r in plain]
    without = list(step_logits(engine, plain).values())
    with_zero = list(step_logits(engine, steered).values())
    assert len(without) == len(with_zero)
    for a, b in zip(without, with_zero, strict=True):
        np.testing.assert_array_equal(a, b)


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
        for _ in engine.generate(requests):
            pass
    finally:
        Steering._hook = hook  # type: ignore[method-assign]

    prompt_pass, *decode_passes = gained
    lengths = [len(chat.encode_prompt(engine.tokenizer, request.messages)) - 1 for request in requests]
    assert prompt_pass[0, : lengths[0]] == pytest.approx(1.0, abs=1e-2)
    assert (prompt_pass[1:] == 0).all()  # response-only and unsteered rows, their padding included
    assert len(decode_passes) == 3
    for step in decode_passes:
        assert step[:2].flatten().tolist() == pytest.approx([1.0, 1.0], abs=1e-2)
        assert float(step[2]) == 0.0


def test_padding_is_never_steered(engine: Engine) -> None:
    from mindgap.backends.local.steering import Steering, build_tables

    edits = [(vector(engine, 1, 1.0),)]
    steering = Steering(engine.blocks, build_tables(edits, engine.layers, engine.d_model, engine.device, engine.dtype))
    real = torch.tensor([[True, True, False]])
    steering.rows_are(torch.tensor([0]), response=False, real=real)
    assert steering._added[1].norm(dim=-1)[0].tolist() == pytest.approx([1.0, 1.0, 0.0], abs=1e-5)


def test_the_caller_may_use_the_model_between_completions(engine: Engine) -> None:
    """A half-read generation leaves no steering behind in other passes."""
    (scored,) = [scores for _, scores in loglikelihood(engine, scoring(engine)[:1])]
    running = engine.generate([r for r in generation(engine) if r.edits])
    next(running)
    (between,) = [scores for _, scores in loglikelihood(engine, scoring(engine)[:1])]
    running.close()
    assert between == scored


def test_a_request_that_does_not_fit_is_an_error_and_the_others_run(small_model) -> None:  # type: ignore[no-untyped-def]
    engine = Engine(small_model.model, small_model.tokenizer, max_rows=8)
    fits = Request("x", (Message("user", "short"),), Decoding(4, 0), 0)
    too_long = Request("x", (Message("user", "long " * 100),), Decoding(4, 0), 0)
    done = dict(engine.generate([too_long, fits]))
    assert "context of 256" in (done[0].error or "")
    assert done[0].finish_reason == "error" and done[0].text == ""
    assert done[1].error is None


def test_edits_that_the_model_cannot_take_are_refused(small_model) -> None:  # type: ignore[no-untyped-def]
    engine = Engine(small_model.model, small_model.tokenizer, max_rows=8)
    for edit, words in [(AddVector(9, np.ones(32)), "blocks 0 to 3"), (AddVector(1, np.ones(8)), "width 32")]:
        with pytest.raises(ValueError, match=words):
            list(engine.generate([Request("x", (Message("user", "a"),), Decoding(2, 0), 0, (edit,))]))


def test_options_may_be_empty_and_requests_may_have_none(small_model) -> None:  # type: ignore[no-untyped-def]
    engine = Engine(small_model.model, small_model.tokenizer, max_rows=8)
    message = (Message("user", "a"),)
    done = dict(loglikelihood(engine, [OptionsRequest("x", message, ("", "yes")), OptionsRequest("x", message, ())]))
    assert done[0].tokens == (0, 3) and done[0].logprobs[0] == 0
    assert done[0].per_token()[0] == float("-inf")
    assert done[1].logprobs == ()


def test_many_options_of_one_prompt_are_split_over_passes(small_model, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from mindgap.backends.local import scoring as module

    engine = Engine(small_model.model, small_model.tokenizer, max_rows=8)
    request = OptionsRequest("x", (Message("user", "abc"),), tuple("option " + "x" * n for n in range(1, 30)))
    (whole,) = [scores for _, scores in loglikelihood(engine, [request])]
    monkeypatch.setattr(module, "PROMPT_TOKENS_PER_PASS", 80)
    (split,) = [scores for _, scores in loglikelihood(engine, [request])]
    assert split.tokens == whole.tokens
    assert split.logprobs == pytest.approx(whole.logprobs, abs=1e-3)


def test_residuals_are_those_of_hidden_states(engine: Engine) -> None:
    texts = [((Message("user", question),), "A short reply.") for question in QUESTIONS]
    for index, residual in response_residuals(engine, texts, 1):
        prompt = chat.encode_prompt(engine.tokenizer, texts[index][0])
        reply = chat.encode(engine.tokenizer, texts[index][1])
        with torch.inference_mode():
            output = engine.model(torch.tensor([prompt + reply]), output_hidden_states=True)
        expected = output.hidden_states[2][0, len(prompt) :].numpy()  # 0 is the embedding, so 2 is block 1's output
        np.testing.assert_allclose(residual, expected, rtol=1e-3, atol=1e-3)
