"""The trial when a model is opened: what mixes rows or is not causal is refused by name, and the verdict is kept."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_models import tiny_model  # noqa: E402
from torch import nn  # noqa: E402

from mindgap.backends.local import trial  # noqa: E402
from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.backends.local.session import generate  # noqa: E402
from mindgap.backends.local.steering import NotSteeredError  # noqa: E402
from mindgap.core.edits import AddVector  # noqa: E402
from mindgap.core.errors import UnavailableError  # noqa: E402
from mindgap.core.records import Decoding, Message, Request  # noqa: E402


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Verdicts of tests are nobody else's."""
    monkeypatch.setenv("MINDGAP_CACHE", str(tmp_path))
    return tmp_path / "trials"


def opened(model: nn.Module, small_model: SimpleNamespace) -> Engine:
    return Engine(model, small_model.tokenizer, max_rows=4)


def llama(small_model: SimpleNamespace) -> Any:
    return tiny_model("llama", len(small_model.tokenizer))


def spoil(block: nn.Module, change: Any) -> None:
    """Have a block return what `change` makes of its residual stream."""
    forward = block.forward

    def spoiled(*arguments: Any, **settings: Any) -> Any:
        output = forward(*arguments, **settings)
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        return change(output)

    block.forward = spoiled  # type: ignore[method-assign]


def neighbours(stream: Any) -> Any:
    """Each row gets a little of the mean over all rows of the pass; the size of a pass alone is 1."""
    return stream + 0.5 * (stream.mean(0, keepdim=True) - stream) if len(stream) > 1 else stream


def test_a_healthy_model_passes_and_its_rows_share_passes(small_model: SimpleNamespace) -> None:
    assert trial.try_out(opened(llama(small_model), small_model))["way"] == "slots"


def test_rows_that_leak_into_each_other_are_not_batched_and_it_is_said(
    small_model: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    model = llama(small_model)
    spoil(model.model.layers[2], neighbours)
    engine = opened(model, small_model)
    caplog.set_level(logging.WARNING)
    assert trial.tried(engine, "leaky") == "own cache"
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "LlamaForCausalLM: rows of this kind of model cannot share a batch (" in warning
    assert "row in a batch differ from the row's own by" in warning


def test_a_model_whose_passes_depend_on_what_was_read_before_is_refused_by_name(small_model: SimpleNamespace) -> None:
    model = llama(small_model)
    read: list[Any] = []

    def remembers(stream: Any) -> Any:
        read.append(stream.detach().mean() * len(read))
        return stream + read[-1]

    spoil(model.model.layers[1], remembers)
    with pytest.raises(UnavailableError) as caught:
        trial.tried(opened(model, small_model), "models/odd@123")
    said = str(caught.value)
    assert said.startswith("models/odd@123: a model of this kind (LlamaForCausalLM) cannot be steered rightly here: ")
    assert said.endswith("Nothing was generated with it") and "\n" not in said


def test_a_model_that_sees_what_comes_after_is_refused(small_model: SimpleNamespace) -> None:
    model = llama(small_model)
    spoil(model.model.layers[1], lambda stream: stream + stream.flip(1))
    verdict = trial.try_out(opened(model, small_model))
    assert verdict["way"] is None and "it is no causal language model" in (verdict["why"] or "")


def test_a_model_whose_logits_are_no_numbers_is_refused(small_model: SimpleNamespace) -> None:
    model = llama(small_model)
    spoil(model.model.layers[1], lambda stream: stream * float("nan"))
    verdict = trial.try_out(opened(model, small_model))
    assert verdict == {"way": None, "why": "its logits are no finite numbers, even unsteered"}


def test_the_verdict_is_kept(small_model: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    times = 0

    def counted(engine: Engine) -> dict[str, str | None]:
        nonlocal times
        times += 1
        return {"way": "slots", "why": None} if times == 1 else {"way": None, "why": "it was tried twice"}

    monkeypatch.setattr(trial, "try_out", counted)
    engine = opened(llama(small_model), small_model)
    assert [trial.tried(engine, "kept") for _ in range(3)] == ["slots"] * 3
    assert times == 1 and len(list(own_cache.glob("*.json"))) == 1
    with pytest.raises(UnavailableError, match="it was tried twice"):
        trial.tried(engine, "another")
    with pytest.raises(UnavailableError, match="it was tried twice"):  # a refusal is kept as well
        trial.tried(engine, "another")
    assert times == 2


def test_a_steered_block_that_never_ran_is_an_error(small_model: SimpleNamespace) -> None:
    """As Mllama leaves out its cross-attention where there is no picture."""
    engine = opened(llama(small_model), small_model)
    engine.model.model.layers = engine.model.model.layers[:3]  # the fourth is there and takes no part
    edits = (AddVector(3, np.ones(engine.d_model)),)
    asked = Request("x", (Message("user", "why?"),), Decoding(3, 0.0), 0)
    (completion,) = [completion for _, completion in generate(engine, [asked])]
    assert completion.error is None
    with pytest.raises(NotSteeredError, match="block 3 took no part in the pass and cannot be steered"):
        list(generate(engine, [Request("x", asked.messages, asked.decoding, 0, edits)]))
