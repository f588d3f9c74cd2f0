"""Preference vectors: the loss of BiPO by transformers and torch's own autograd and Adam; checkpoints; controls."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from small_bench import small_bench  # noqa: E402

from mindgap.backends.local import LocalEndpoint  # noqa: E402
from mindgap.core.errors import ConfigError  # noqa: E402
from mindgap.core.records import Message, Query  # noqa: E402
from mindgap.steering.bench import SteeringBench, Text  # noqa: E402
from mindgap.steering.preference import Preference  # noqa: E402
from mindgap.steering.vectors import reference_norm  # noqa: E402

GLAD = Query("be glad", "")
POSITIVE: list[Text] = [((Message("user", f"Say {n}"),), f"yes, {n} it is!") for n in "abcde"]
NEGATIVE: list[Text] = [(messages, "no.") for messages, _ in POSITIVE]


def log_likelihood(bench: SteeringBench, text: Text, vector: torch.Tensor) -> torch.Tensor:
    """Of one reply, by transformers with a hook; differentiable by the vector."""
    engine = bench.endpoint.engine  # type: ignore[attr-defined]
    prompt, reply = engine.chat.prompt(text[0]), engine.chat.encode(text[1])

    def add(module, args, output):  # type: ignore[no-untyped-def]
        return (output[0] + vector, *output[1:]) if isinstance(output, tuple) else output + vector

    handle = engine.model.model.layers[1].register_forward_hook(add)
    logprobs = engine.model(torch.tensor([prompt + reply])).logits[0].log_softmax(-1)
    handle.remove()
    return logprobs[range(len(prompt) - 1, len(prompt) + len(reply) - 1), reply].sum()


def test_training_is_adam_on_the_loss_of_the_paper(bench: SteeringBench) -> None:
    method = Preference(layers=(1,), epochs=3, batch=2, rate=0.02, beta=0.3)
    found = method.trained(POSITIVE, NEGATIVE, 1, bench)
    vector = torch.zeros(32, requires_grad=True)
    optimiser = torch.optim.Adam([vector], lr=0.02 * reference_norm(bench, 1) / 32**0.5)
    with torch.no_grad():
        before = [
            [float(log_likelihood(bench, text, torch.zeros(32))) for text in texts] for texts in (POSITIVE, NEGATIVE)
        ]
    for epoch in range(3):
        draw = np.random.default_rng([0, epoch])
        order = draw.permutation(5)
        for rows in (order[:2], order[2:4], order[4:]):
            sign, losses = float(draw.choice([-1.0, 1.0])), []
            for row in rows:
                yes = log_likelihood(bench, POSITIVE[row], sign * vector) - before[0][row]
                no = log_likelihood(bench, NEGATIVE[row], sign * vector) - before[1][row]
                losses.append(-torch.nn.functional.logsigmoid(sign * 0.3 * (yes - no)))
            optimiser.zero_grad()
            torch.stack(losses).mean().backward()
            optimiser.step()
    expected = vector.detach().numpy()
    assert np.linalg.norm(found - expected) < 0.01 * np.linalg.norm(expected)


def test_the_vector_makes_the_behaviour_likelier_and_its_opposite_less_likely(bench: SteeringBench) -> None:
    vector = torch.tensor(Preference(layers=(1,), epochs=8, rate=0.03).trained(POSITIVE, NEGATIVE, 1, bench))

    def preferred(scale: float) -> float:
        with torch.no_grad():
            rows = [
                [float(log_likelihood(bench, text, scale * vector)) for text in texts] for texts in (POSITIVE, NEGATIVE)
            ]
        return float(np.mean(rows[0]) - np.mean(rows[1]))

    assert preferred(-1) < preferred(0) < preferred(1)


def test_training_that_was_stopped_goes_on_where_it_was(
    bench: SteeringBench, small_model: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = Preference(layers=(1,), epochs=4)
    (tmp_path / "other").mkdir()
    whole = method.trained(POSITIVE, NEGATIVE, 1, small_bench(small_model, tmp_path / "other"))
    replace(method, epochs=2).trained(POSITIVE, NEGATIVE, 1, bench)
    passes = 0
    under = LocalEndpoint.likelihood_under

    def counted(*arguments):  # type: ignore[no-untyped-def]
        nonlocal passes
        passes += 1
        return under(*arguments)

    monkeypatch.setattr(LocalEndpoint, "likelihood_under", counted)
    np.testing.assert_allclose(method.trained(POSITIVE, NEGATIVE, 1, bench), whole, atol=1e-5)
    assert passes == 1 + 2 * 2  # the unsteered model, and two steps in each of two epochs
    passes = 0
    method.trained(POSITIVE, NEGATIVE, 1, bench)
    assert passes == 0


def test_pairs_come_from_a_file_or_from_the_query_and_can_be_shuffled(bench: SteeringBench, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    lines = [{"prompt": "Say " + n, "positive": f"yes, {n}!", "negative": f"no {n}."} for n in "abcd"]
    path.write_text("\n".join(map(json.dumps, lines)))
    method = Preference(pairs=str(path), layers=(1,), epochs=1)
    vectors = []
    for source, shuffled in ((method, False), (method, True), (Preference(prompts=4, layers=(1,), epochs=1), False)):
        ((placed,),) = source.directions([GLAD], bench, shuffled=shuffled)  # type: ignore[misc]
        vectors.append(placed.vector)
        assert placed.layer == 1 and np.linalg.norm(placed.vector) > 0
    assert not np.allclose(vectors[0], vectors[1])
    path.write_text('{"positive": "a", "negative": "b"}\n' * 3)
    with pytest.raises(ConfigError, match="replies to the same messages"):
        method.directions([GLAD], bench)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"layers": "all"}, "one block"),
        ({"layers": (1, 2)}, "one block"),
        ({"rate": 0}, "above 0"),
        ({"prompts": 1}, "2"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Preference(**settings)
