"""Packed linear layers compute what the usual ones do, and stand where they are faster."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from mindgap.backends.local import packed_linear  # noqa: E402
from mindgap.backends.local.attribution import likelihood_gradient  # noqa: E402
from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.backends.local.packed_linear import PackedLinear, pack  # noqa: E402
from mindgap.backends.local.session import generate  # noqa: E402
from mindgap.core.edits import AddVector  # noqa: E402
from mindgap.core.records import Decoding, Message, Request  # noqa: E402

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own."""
    monkeypatch.setenv("MINDGAP_CACHE", str(tmp_path))
    monkeypatch.setattr(packed_linear, "SMALLEST", 1)
    return tmp_path / "packing"


@pytest.fixture
def gains(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What timing finds, and how often it was asked."""
    found = SimpleNamespace(gain=2.0, asked=[])

    def gain(shape: tuple[int, int], rows: int) -> float:
        found.asked.append((shape, rows))
        return found.gain if isinstance(found.gain, float) else found.gain[rows]

    monkeypatch.setattr(packed_linear, "_gain", gain)
    return found


@pytest.mark.parametrize("bias", [True, False])
def test_products_weights_and_gradients_are_those_of_the_usual_layer(bias: bool) -> None:
    usual = torch.nn.Linear(48, 80, bias=bias).requires_grad_(False)
    layer = PackedLinear(usual)
    assert torch.equal(layer.weight, usual.weight)
    for inputs in (
        torch.randn(48),
        torch.randn(5, 48),
        torch.randn(2, 3, 48),
        torch.randn(48, 7).T,
        torch.empty(0, 48),
    ):
        torch.testing.assert_close(layer(inputs), usual(inputs), atol=1e-5, rtol=1e-5)
    one, other = (torch.ones(2, 3, 48, requires_grad=True) for _ in range(2))
    (layer(one) ** 2).sum().backward()
    (usual(other) ** 2).sum().backward()
    torch.testing.assert_close(one.grad, other.grad, atol=1e-4, rtol=1e-5)


def test_a_packed_model_answers_the_same_and_has_the_same_gradients(
    small_model: SimpleNamespace, folder: Path, gains: SimpleNamespace
) -> None:
    usual, packed = (Engine(copy.deepcopy(small_model.model), small_model.tokenizer, max_rows=4) for _ in range(2))
    linear = sum(type(layer) is torch.nn.Linear for layer in packed.model.modules())
    assert pack(packed.model) == linear > 8
    assert not any(type(layer) is torch.nn.Linear for layer in packed.model.modules())
    vector = AddVector(1, torch.randn(packed.d_model, generator=torch.Generator().manual_seed(0)).numpy())
    requests = [
        Request("m", (Message("user", words),), Decoding(12, 0.0), 0, edits)
        for words in ("what is a b c", "tell me")
        for edits in ((), (vector,))
    ]
    assert dict(generate(packed, requests)) == dict(generate(usual, requests))
    texts = [((Message("user", "what is"),), "a b c d")]
    ((_, here),), ((_, there),) = (list(likelihood_gradient(engine, texts, 1)) for engine in (packed, usual))
    assert abs(there).max() > 0
    assert abs(here - there).max() < 1e-4 * abs(there).max()


def test_weights_that_others_read_stay_for_them_and_are_copied_only_where_memory_is_plenty(
    folder: Path, gains: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def model() -> Any:
        parts = torch.nn.ModuleDict({"words": torch.nn.Embedding(50, 16), "head": torch.nn.Linear(16, 50, bias=False)})
        parts["head"].weight = parts["words"].weight
        return parts

    spacious = model()
    assert pack(spacious) == 1
    assert torch.equal(spacious["head"].weight, spacious["words"].weight)
    monkeypatch.setattr(packed_linear, "SPARE", 10**12)
    assert pack(model()) == 0


@pytest.mark.parametrize(
    ("gain", "packed"), [({64: 1.5, 512: 1.0}, 1), ({64: 1.1, 512: 3.0}, 0), ({64: 1.5, 512: 0.8}, 0)]
)
def test_layers_are_packed_where_that_is_faster_in_decoding_and_no_slower_in_reading(
    folder: Path, gains: SimpleNamespace, gain: dict[int, float], packed: int
) -> None:
    gains.gain = gain
    assert pack(torch.nn.Sequential(torch.nn.Linear(16, 16))) == packed


def test_only_usual_float32_layers_of_some_size_are_packed(
    folder: Path, gains: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(torch.nn.Linear):
        """A layer that may do anything with its weights."""

    assert pack(torch.nn.Sequential(Other(16, 16), torch.nn.Linear(16, 16, dtype=torch.bfloat16))) == 0
    monkeypatch.setattr(packed_linear, "SMALLEST", 1000)
    assert pack(torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.Linear(64, 64))) == 1


def test_the_verdict_is_kept_and_a_damaged_one_found_anew(folder: Path, gains: SimpleNamespace) -> None:
    def packed() -> int:
        return pack(torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.Linear(16, 16)))

    assert packed() == 2 and gains.asked == [((16, 16), 64), ((16, 16), 512)]
    gains.gain = 0.5
    assert packed() == 2 and len(gains.asked) == 2
    (file,) = folder.glob("*.json")
    assert json.loads(file.read_text())["times as fast"] == {"64": 2.0, "512": 2.0}
    file.write_text('{"pack')
    assert packed() == 0 and len(gains.asked) == 4


def test_a_verdict_that_cannot_be_kept_changes_nothing(folder: Path, gains: SimpleNamespace) -> None:
    folder.write_text("a file stands where the folder would be")
    assert pack(torch.nn.Sequential(torch.nn.Linear(16, 16))) == 0


def test_timing_compares_the_two_ways() -> None:
    assert 0.02 < packed_linear._gain((64, 64), 8) < 50
