"""Representation finetuning of rank one, compared with torch's autograd and Adam on the papers' formulas."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from small_bench import small_bench  # noqa: E402

from mindgap.backends.local import LocalEndpoint  # noqa: E402
from mindgap.core.directions import DirectionEdit  # noqa: E402
from mindgap.core.edits import AddVector  # noqa: E402
from mindgap.core.errors import ConfigError  # noqa: E402
from mindgap.core.records import Message, OptionsRequest, Query  # noqa: E402
from mindgap.steering.bench import SteeringBench, Text  # noqa: E402
from mindgap.steering.directed import Directed  # noqa: E402
from mindgap.steering.reft import LoReft, ReftR1  # noqa: E402
from mindgap.steering.strength import relative_dose  # noqa: E402
from mindgap.steering.vectors import neutral_texts, reference_norm  # noqa: E402

GLAD = Query("be glad", "")
TEXTS: list[Text] = [((Message("user", f"Say {n}"),), f"yes, {n} it is!") for n in "abcde"]
WIDTH = 32


def mean_log_likelihood(bench: SteeringBench, text: Text, change: Any) -> torch.Tensor:
    """Per token of one reply, by transformers with a hook at block 1."""
    engine = bench.endpoint.engine  # type: ignore[attr-defined]
    prompt, reply = engine.chat.prompt(text[0]), engine.chat.encode(text[1])

    def hook(module, args, output):  # type: ignore[no-untyped-def]
        hidden = output[0] if isinstance(output, tuple) else output
        return (change(hidden), *output[1:]) if isinstance(output, tuple) else change(hidden)

    handle = engine.model.model.layers[1].register_forward_hook(hook)
    logprobs = engine.model(torch.tensor([prompt + reply])).logits[0].log_softmax(-1)
    handle.remove()
    return logprobs[range(len(prompt) - 1, len(prompt) + len(reply) - 1), reply].mean()


def pairs_file(folder: Path) -> str:
    path = folder / "pairs.jsonl"
    lines = [{"prompt": messages[0].content, "positive": reply, "negative": "no."} for messages, reply in TEXTS]
    path.write_text("\n".join(map(json.dumps, lines)))
    return str(path)


def trained_apart(begin: np.ndarray, epochs: int, batch: int, loss: Any, sizes: np.ndarray) -> np.ndarray:
    """Torch's Adam on `loss(parameters, text)`, in the order that the seed fixes; the direction is kept a unit."""
    parameters = torch.tensor(begin, dtype=torch.float32, requires_grad=True)
    unscaled = torch.optim.Adam([parameters], lr=1.0)
    for epoch in range(epochs):
        order = np.random.default_rng([0, epoch]).permutation(len(TEXTS))
        for first in range(0, len(order), batch):
            unscaled.zero_grad()
            torch.stack([loss(parameters, TEXTS[row]) for row in order[first : first + batch]]).mean().backward()
            before = parameters.detach().clone()
            unscaled.step()
            with torch.no_grad():
                parameters.copy_(before + torch.tensor(sizes, dtype=torch.float32) * (parameters - before))
                parameters[:WIDTH] /= parameters[:WIDTH].norm()
    found: np.ndarray = parameters.detach().numpy()
    return found


def start() -> np.ndarray:
    drawn = np.random.default_rng([0, WIDTH]).standard_normal(WIDTH)
    return drawn / np.linalg.norm(drawn)


def test_reft_r1_is_adam_on_the_objective_of_axbench(bench: SteeringBench) -> None:
    """-log p under h + (1/k ‖TopK(ReLU(h·w))‖₁) w, plus λ times the latents that are not among the k largest."""
    method = ReftR1(layers=(1,), epochs=3, batch=2, rate=0.1, top=3, sparsity=0.5)

    def loss(parameters: torch.Tensor, text: Text) -> torch.Tensor:
        unit, rest = parameters / parameters.norm(), []

        def change(hidden: torch.Tensor) -> torch.Tensor:
            ranked = torch.relu(hidden[0] @ unit).sort(descending=True).values
            rest.append(ranked[3:].sum() / len(ranked))
            return hidden + ranked[:3].mean() * unit

        likely = mean_log_likelihood(bench, text, change)
        return 0.5 * rest[0] - likely

    expected = trained_apart(start(), 3, 2, loss, np.full(WIDTH, 0.1 * WIDTH**-0.5))
    found = method.trained(TEXTS, 1, bench)
    assert float(found @ expected) > 0.9999
    assert float(found @ start()) < 0.95  # it was trained at all


def test_loreft_is_adam_on_the_likelihood_under_the_edit_of_the_paper(bench: SteeringBench) -> None:
    """h + Rᵀ(W h + b - R h) of rank one, with W written as R plus what is trained."""
    method = LoReft(layers=(1,), epochs=3, batch=2, rate=0.1)

    def loss(parameters: torch.Tensor, text: Text) -> torch.Tensor:
        unit = parameters[:WIDTH] / parameters[:WIDTH].norm()
        weight, offset = unit + parameters[WIDTH:-1], parameters[-1]
        return -mean_log_likelihood(bench, text, lambda h: h + (h @ weight + offset - h @ unit)[..., None] * unit)

    sizes = 0.1 * np.append(np.full(2 * WIDTH, WIDTH**-0.5), reference_norm(bench, 1))
    expected = trained_apart(np.append(start(), np.zeros(WIDTH + 1)), 3, 2, loss, sizes)
    found = method.trained(TEXTS, 1, bench)
    assert np.linalg.norm(found - expected) < 0.01 * np.linalg.norm(expected)
    assert np.linalg.norm(found[WIDTH:]) > 0.1


def test_what_was_trained_makes_the_replies_likelier(bench: SteeringBench, tmp_path: Path) -> None:
    for method in (
        Directed(ReftR1(pairs=pairs_file(tmp_path), layers=(1,), epochs=8, rate=0.2)),
        Directed(LoReft(pairs=pairs_file(tmp_path), layers=(1,), epochs=8, rate=0.2), "rank_one"),
    ):
        likely = []
        for scale in (0.0, 1.0):
            (edits,) = method.edits([GLAD], bench)
            scaled = tuple(edit.scaled(scale) for edit in edits)  # type: ignore[union-attr]
            asked = [OptionsRequest("local/small", messages, (reply,), scaled) for messages, reply in TEXTS]
            likely.append(np.mean([scores.logprobs for _, scores in bench.endpoint.loglikelihood(asked)]))
        assert likely[1] > likely[0] + 0.1


def test_an_edit_has_the_largest_latent_or_the_typical_change_as_its_dose(bench: SteeringBench, tmp_path: Path) -> None:
    def dose(edit: Any) -> float:
        return relative_dose([edit], lambda layer: reference_norm(bench, layer)) * reference_norm(bench, 1)

    pairs = pairs_file(tmp_path)
    r1 = ReftR1(pairs=pairs, layers=(1,), epochs=1)
    ((edit,),) = Directed(r1).edits([GLAD], bench)  # type: ignore[misc]
    assert isinstance(edit, AddVector)
    unit = r1.trained(TEXTS, 1, bench)
    assert dose(edit) == pytest.approx(max(float((bench.stream(text, 1) @ unit).max()) for text in TEXTS), rel=1e-4)
    ((edit,),) = Directed(LoReft(pairs=pairs, layers=(1,), epochs=1), "rank_one").edits([GLAD], bench)  # type: ignore[misc]
    assert isinstance(edit, DirectionEdit) and edit.second is not None
    tokens = np.concatenate([bench.stream(text, 1) for text in neutral_texts(bench, 4)])
    assert dose(edit) == pytest.approx(np.abs(tokens @ edit.second + edit.offset).mean(), rel=1e-4)
    assert dose(edit.scaled(0.5)) == pytest.approx(dose(edit) / 2)


@pytest.mark.parametrize("method", [ReftR1(layers=(1,), epochs=4), LoReft(layers=(1,), epochs=4)])
def test_training_that_was_stopped_goes_on_where_it_was(
    method: Any, bench: SteeringBench, small_model: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    whole = method.trained(TEXTS, 1, small_bench(small_model, tmp_path / "other"))
    replace(method, epochs=2).trained(TEXTS, 1, bench)
    passes = 0
    objective = LocalEndpoint.reft_objective

    def counted(*arguments):  # type: ignore[no-untyped-def]
        nonlocal passes
        passes += 1
        return objective(*arguments)

    monkeypatch.setattr(LocalEndpoint, "reft_objective", counted)
    np.testing.assert_allclose(method.trained(TEXTS, 1, bench), whole, atol=1e-5)
    assert passes == 2 * 2  # two steps in each of the two epochs that were left
    method.trained(TEXTS, 1, bench)
    assert passes == 2 * 2


@pytest.mark.parametrize("control", ["random", "shuffled"])
def test_each_has_its_null_at_the_same_place(control: str, bench: SteeringBench, tmp_path: Path) -> None:
    pairs = pairs_file(tmp_path)
    for source, operation in ((ReftR1(pairs, (1,), epochs=2), "add"), (LoReft(pairs, (1,), epochs=2), "rank_one")):
        ((own,),) = Directed(source, operation).edits([GLAD], bench)  # type: ignore[misc]
        ((null,),) = Directed(source, operation, control=control).edits([GLAD], bench)  # type: ignore[misc]
        assert (null.layer, type(null)) == (own.layer, type(own)) and null.key != own.key
        if control == "random":
            assert np.linalg.norm(null.vector) == pytest.approx(np.linalg.norm(own.vector), rel=1e-4)
            assert abs(float(null.vector @ own.vector)) < 0.7 * np.linalg.norm(own.vector) ** 2


def test_what_means_nothing_is_refused(bench: SteeringBench, tmp_path: Path) -> None:
    for settings, said in (({"layers": "all"}, "one block"), ({"rate": 0}, "above 0"), ({"top": 0}, "1 or more")):
        with pytest.raises(ConfigError, match=said):
            ReftR1(**settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="needs a direction to read"):
        Directed(ReftR1(pairs_file(tmp_path), (1,), epochs=1), "rank_one").edits([GLAD], bench)
