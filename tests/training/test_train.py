"""The whole training program, on a small random model."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from mindgap.backends.local import LocalEndpoint  # noqa: E402
from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.core.errors import ConfigError  # noqa: E402
from mindgap.sae import catalogue, native_format  # noqa: E402
from mindgap.sae.sae import SAE  # noqa: E402
from mindgap.training.quality import cross_entropy, measure  # noqa: E402
from mindgap.training.settings import TrainSettings  # noqa: E402
from mindgap.training.train import main, train  # noqa: E402


@pytest.fixture(scope="module")
def endpoint(small_model: SimpleNamespace) -> LocalEndpoint:
    return LocalEndpoint(Engine(small_model.model, small_model.tokenizer, max_rows=16), "local/small@1/float32")


def settings(out: Path, **changes: object) -> TrainSettings:
    small = {"layer": 2, "texts": 40, "max_tokens": 24, "features": 64, "k": 6, "epochs": 4, "batch": 128}
    return TrainSettings.of({**small, "held_out": 0.2, "out": str(out), **changes})


def test_it_ends_with_an_sae_its_catalogue_and_a_card_and_goes_on_from_where_it_was(
    endpoint: LocalEndpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(endpoint, settings(tmp_path))
    sae, described = native_format.load(tmp_path / "sae.safetensors"), catalogue.load(tmp_path / "catalogue.parquet")
    assert (sae.features, sae.d_model, sae.layer, sae.architecture) == (64, 32, 2, "jumprelu")
    assert described.sae == sae.identity
    assert sae.scale is not None and torch.allclose(sae.scale, torch.from_numpy(described.scale))
    quality = json.loads((tmp_path / "quality.json").read_text())
    assert f"{quality['explained']:.3f}" in (tmp_path / "README.md").read_text()
    assert quality["explained"] > 0.3 and 0 < quality["l0"] < 64

    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".unfinished"}
    deaf = LocalEndpoint(endpoint.engine, endpoint.identity)
    object.__setattr__(deaf, "generate", None)
    train(deaf, settings(tmp_path))
    again = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".unfinished"}
    assert again["sae.safetensors"] == before["sae.safetensors"] and again["texts.jsonl"] == before["texts.jsonl"]


def test_texts_of_files_are_enough(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("\n\n".join(f"Paragraph {number} is about boat number {number * 7}." for number in range(40)))
    train(endpoint, settings(tmp_path / "out", texts=0, data=str(file)))
    described = catalogue.load(tmp_path / "out" / "catalogue.parquet")
    assert described.features == 64 and described.live.any()


def test_a_perfect_sae_loses_nothing(endpoint: LocalEndpoint) -> None:
    """One feature for each direction of the stream and its opposite: nothing is left out, and nothing is lost."""
    from mindgap.training.corpus import Text

    texts = [Text((), f"some text, number {number}") for number in range(12)]
    both = torch.cat([torch.eye(32), -torch.eye(32)])
    sae = SAE("both@1", 2, "relu", both, torch.zeros(64), both, torch.zeros(32))
    plain = cross_entropy(endpoint.engine, texts, 2, lambda x: x)
    import numpy as np

    streams = np.random.default_rng(0).standard_normal((200, 32)).astype(np.float16)
    quality = measure(endpoint.engine, sae, streams, streams, texts)
    assert quality.explained == pytest.approx(1, abs=1e-5)
    assert quality.recovered == pytest.approx(1, abs=1e-3)
    assert quality.cross_entropy == pytest.approx(plain)
    assert quality.cross_entropy_mean != pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["textz=5"], "Did you mean texts?"),
        (["texts=0"], "nothing to train on"),
        (["held_out=0.9"], "held_out=0.9"),
        (["5"], "name=value"),
    ],
)
def test_a_mistake_is_one_message(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def test_a_layer_that_is_not_there_is_refused(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="blocks 0 to 3"):
        train(endpoint, settings(tmp_path, layer=4))
