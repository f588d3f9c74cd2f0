"""A model that cannot be loaded is refused in one sentence; an identity covers everything that shapes the answers."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from mindgap.backends.local import LocalBackend, LocalEndpoint  # noqa: E402
from mindgap.backends.local.load import load  # noqa: E402
from mindgap.core.errors import UnavailableError  # noqa: E402
from mindgap.core.model import ModelSpec  # noqa: E402
from mindgap.core.records import Decoding, Message, Request  # noqa: E402


@pytest.fixture(scope="module")
def saved(small_model: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `save_pretrained` leaves it."""
    folder = tmp_path_factory.mktemp("saved") / "small"
    small_model.model.save_pretrained(folder)
    small_model.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may break."""
    return Path(shutil.copytree(saved, tmp_path / "small"))


def lacks(folder: Path, **settings: object) -> list[str]:
    spec = ModelSpec("small", hf_id=str(folder), **settings)  # type: ignore[arg-type]
    return LocalBackend(device="cpu").lacks(spec, frozenset())


def refusal(folder: Path, **settings: object) -> str:
    """What opening the folder is refused with: one line."""
    with pytest.raises(UnavailableError) as caught:
        LocalBackend(device="cpu").open(ModelSpec("small", hf_id=str(folder), **settings))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700
    return str(caught.value)


def change_config(folder: Path, **settings: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def change_weights(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def opened(folder: Path, **settings: object) -> LocalEndpoint:
    return LocalBackend(device="cpu").open(ModelSpec("small", hf_id=str(folder), **settings))  # type: ignore[arg-type]


def reply(endpoint: LocalEndpoint) -> str:
    ((_, completion),) = endpoint.generate([Request("x", (Message("user", "why?"),), Decoding(8, 0.0), 0)])
    return completion.text


def test_a_folder_that_is_whole_is_opened(folder: Path) -> None:
    assert lacks(folder) == []
    assert opened(folder).identity.startswith("local1/small@")


# What the files themselves say: before anything is opened, and so under plan=true as well.


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("config.json", "a configuration: {folder} holds no config.json"),
        ("model.safetensors", "weights: {folder} holds no .safetensors file"),
        ("tokenizer*", "a tokenizer: {folder} holds none of the files that one is read from (tokenizer.json …)"),
    ],
)
def test_a_file_that_is_missing_is_named(folder: Path, missing: str, sentence: str) -> None:
    for path in folder.glob(missing):
        path.unlink()
    assert lacks(folder) == [sentence.format(folder=folder)]
    assert sentence.format(folder=folder) in refusal(folder)


def test_a_mistyped_folder_is_named_with_the_nearest_one(folder: Path) -> None:
    (phrase,) = lacks(folder.with_name("smal"))
    assert phrase == f"the model: model.hf_id={folder.with_name('smal')} is no folder here (did you mean {folder}?)"


def test_a_file_cut_off_is_named_with_its_size(folder: Path) -> None:
    file = folder / "model.safetensors"
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.truncate(size - 100)
    (phrase,) = lacks(folder)
    assert f"model.safetensors is cut off: {size - 100} bytes are there of {size}" in phrase
    file.write_bytes(b"not weights at all")
    assert "model.safetensors is damaged: it has no header of safetensors" in lacks(folder)[0]


def test_a_shard_that_is_missing_is_named(folder: Path, small_model: SimpleNamespace) -> None:
    (folder / "model.safetensors").unlink()
    small_model.model.save_pretrained(folder, max_shard_size="20KB")
    assert lacks(folder) == []
    shards = sorted(folder.glob("*.safetensors"))
    shards[1].unlink()
    (phrase,) = lacks(folder)
    assert phrase == f"weights: 1 of {len(shards)} files are missing in {folder}, the first of them {shards[1].name}"


def test_other_formats_are_refused_with_the_way_to_convert_them(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    assert "is a GGUF file, which is not loaded as it is: convert it once" in lacks(file)[0]
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "holds pytorch_model.bin, which is not loaded as it is (save it with" in lacks(folder)[0]


class Trap:
    """Pickled, it leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "training_args.bin", "optimizer.pt", "consolidated.00.pth"])
def test_pickles_beside_the_weights_are_never_opened(name: str, folder: Path, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    (folder / name).write_bytes(pickle.dumps(Trap(sprung)))
    assert reply(opened(folder)) is not None
    (folder / "model.safetensors").unlink()
    assert f"holds {name}, which is not loaded as it is" in refusal(folder)
    assert not sprung.exists()


def test_a_model_type_that_transformers_does_not_know_is_named(folder: Path) -> None:
    change_config(folder, model_type="quokka")
    (phrase,) = lacks(folder)
    assert phrase.startswith("code for model_type 'quokka': transformers ") and "a newer version may" in phrase
    change_config(folder, auto_map={"AutoModelForCausalLM": "modeling_quokka.Quokka"})
    assert "model.trust_remote_code=true runs the code that comes with it: read that first" in lacks(folder)[0]
    assert "quokka" in refusal(folder)


def test_a_model_that_is_no_causal_language_model_is_refused(folder: Path) -> None:
    change_config(folder, model_type="t5")
    assert lacks(folder) == ["a causal language model: in transformers, model_type 't5' is none"]


@pytest.mark.parametrize(
    ("settings", "package"),
    [
        ({"quant_method": "gptq", "bits": 4}, "packages optimum and gptqmodel"),
        ({"quant_method": "awq", "bits": 4}, "package gptqmodel"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "package bitsandbytes"),
        ({"load_in_8bit": True}, "package bitsandbytes"),
        ({"quant_method": "compressed-tensors"}, "package compressed-tensors"),
        ({"quant_method": "hqq"}, "package hqq"),
        ({"quant_method": "torchao"}, "package torchao"),
    ],
)
def test_quantised_weights_name_the_package_they_need(
    folder: Path, settings: dict[str, object], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", _without("optimum", *package.split(" ")[1:]))
    change_config(folder, quantization_config=settings)
    (phrase,) = lacks(folder)
    assert f"the {package}, which its weights, quantised by " in phrase


def _without(*packages: str) -> Callable[..., object]:
    """`importlib.util.find_spec` where some packages are not installed."""
    from importlib.util import find_spec

    names = {name.replace("-", "_") for name in packages}
    return lambda name, *rest: None if name.partition(".")[0] in names else find_spec(name, *rest)


def test_quantisation_that_nobody_knows_is_refused(folder: Path) -> None:
    change_config(folder, quantization_config={"quant_method": "origami"})
    assert "they are quantised as 'origami'" in lacks(folder)[0]


@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_weights_are_opened_where_their_package_is(tmp_path: Path, small_model: Any, bits: int) -> None:
    pytest.importorskip("bitsandbytes", reason="needs the package bitsandbytes: pip install bitsandbytes")
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = LlamaConfig(**sizes, vocab_size=len(small_model.tokenizer), max_position_embeddings=256)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "whole")
    how = BitsAndBytesConfig(load_in_4bit=bits == 4, load_in_8bit=bits == 8)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "whole", quantization_config=how, device_map="cpu")
    model.save_pretrained(tmp_path / "quantised")
    small_model.tokenizer.save_pretrained(tmp_path / "quantised")
    endpoint = opened(tmp_path / "quantised")
    assert endpoint.engine.quantised and endpoint.engine.way == "slots"
    assert any(f"{bits}bit" in type(module).__name__ for module in endpoint.engine.model.modules())
    assert reply(endpoint) == reply(endpoint)


# What shows when the weights are read.


def test_weights_that_are_missing_are_refused_and_not_made_up(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.pop("lm_head.weight"))
    assert "its files lack weights: lm_head.weight. Random numbers would stand in their place" in refusal(folder)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    change_config(folder, intermediate_size=48)
    assert "small: its weights could not be loaded" in refusal(folder) or "other shapes" in refusal(folder)


def test_weights_that_the_configuration_leaves_out_are_refused(folder: Path) -> None:
    change_weights(folder, lambda w: w.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}))
    assert "makes no use of: model.layers.0.self_attn.q_proj.bias" in refusal(folder)


def test_a_configuration_with_fewer_layers_than_the_files_is_refused(folder: Path) -> None:
    change_config(folder, num_hidden_layers=3)
    assert "makes no use of: model.layers.3." in refusal(folder)


def test_parts_that_are_not_opened_may_lie_in_the_files(folder: Path) -> None:
    change_weights(folder, lambda w: w.update({"vision_tower.patch.weight": torch.ones(3)}))
    assert opened(folder).layers == 4


def test_a_model_that_failed_is_not_loaded_again_until_its_files_change(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    change_weights(folder, lambda weights: weights.pop("lm_head.weight"))
    first, loads = refusal(folder), 0

    def counted(*arguments: object, **settings: object) -> object:
        nonlocal loads
        loads += 1
        return load(*arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr("mindgap.backends.local.load.load", counted)
    assert refusal(folder) == first and loads == 0
    (folder / "model.safetensors").write_bytes(weights)
    assert opened(folder).layers == 4 and loads == 1


# Whose answers they are.


def test_the_identity_covers_every_file_that_shapes_the_answers(folder: Path) -> None:
    identities = {opened(folder).identity}
    for name, text in {
        "merges.txt": "#version: 0.2",
        "vocab.txt": "a",
        "chat_template.jinja": "{{ messages[0]['content'] }}",
        "generation_config.json": json.dumps({"eos_token_id": [0, 7]}),
        "additional_chat_templates/tools.jinja": "{{ messages }}",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        identities.add(opened(folder).identity)
    assert len(identities) == 6
    (folder / "README.md").write_text("says nothing to the model")
    (folder / "modeling.py").write_text("raise SystemExit")  # is not run, so it decides nothing
    assert opened(folder).identity in identities


def test_the_embedded_models_identity_is_what_it_was(tiny: LocalEndpoint) -> None:
    assert tiny.identity.startswith("local1/SmolLM2-135M-Instruct@")
    assert tiny.identity.endswith("/float32")


CODE = """
from transformers import LlamaConfig, LlamaForCausalLM
class QuokkaConfig(LlamaConfig):
    model_type = "quokka"
class Quokka(LlamaForCausalLM):
    config_class = QuokkaConfig
"""


def test_code_that_comes_with_a_model_is_run_only_by_name_and_is_part_of_the_identity(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    (folder / "quokka.py").write_text(CODE)
    auto_map = {"AutoConfig": "quokka.QuokkaConfig", "AutoModelForCausalLM": "quokka.Quokka"}
    change_config(folder, model_type="quokka", auto_map=auto_map)
    monkeypatch.setattr("builtins.input", lambda *prompt: pytest.fail("asked on the terminal"))
    assert "model.trust_remote_code=true" in refusal(folder)
    endpoint = opened(folder, trust_remote_code=True)
    assert type(endpoint.engine.model).__name__ == "Quokka" and "+code:" in endpoint.identity
    (folder / "quokka.py").write_text(CODE + "# changed\n")
    assert load(ModelSpec("q", str(folder), trust_remote_code=True), device="cpu", dtype="auto").identity not in (
        endpoint.identity.removeprefix("local1/"),
    )


# Adapters.


@pytest.fixture
def adapter(saved: Path, tmp_path: Path) -> Path:
    """A LoRA adapter of the small model, whose numbers are not zero."""
    peft = pytest.importorskip("peft", reason="needs the package peft: pip install peft")
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(saved)
    settings = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    folder = tmp_path / "adapter"
    peft.get_peft_model(model, settings).save_pretrained(folder)
    return folder


def test_an_adapter_is_loaded_on_its_base(adapter: Path, saved: Path) -> None:
    import peft
    from transformers import AutoModelForCausalLM

    endpoint, base = opened(adapter), opened(saved)
    assert (
        endpoint.identity.startswith("local1/adapter@") and base.identity.removeprefix("local1/") in endpoint.identity
    )
    tokens = torch.tensor([[5, 6, 7, 8]])
    expected = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(saved), adapter)(tokens).logits
    actual = endpoint.engine.model(tokens).logits
    assert torch.allclose(actual, expected, atol=1e-5)
    assert not torch.allclose(actual, base.engine.model(tokens).logits, atol=1e-2)


def test_an_adapter_that_a_model_names_is_loaded_onto_it(adapter: Path, saved: Path) -> None:
    named, own, base = opened(saved, adapter=str(adapter)), opened(adapter), opened(saved)
    tokens = torch.tensor([[5, 6, 7, 8]])
    assert torch.equal(named.engine.model(tokens).logits, own.engine.model(tokens).logits)
    assert named.identity == own.identity != base.identity


def test_an_adapter_that_is_not_there_or_is_none_is_refused(saved: Path, tmp_path: Path) -> None:
    for name in (str(saved), str(tmp_path / "nowhere"), "somebody/nothing"):
        assert any(f"model.adapter={name}" in phrase for phrase in lacks(saved, adapter=name))


def test_backends_that_load_no_adapters_say_so(adapter: Path) -> None:
    from mindgap.backends.goodfire import GoodfireBackend
    from mindgap.backends.litellm import LiteLLMBackend
    from mindgap.backends.vllm import VllmBackend

    spec = ModelSpec("m", hf_id="a/b", litellm_id="m", goodfire_id="m", adapter=str(adapter))
    for backend in (GoodfireBackend(), LiteLLMBackend(), VllmBackend()):
        assert "model.adapter" in " ".join(backend.lacks(spec, frozenset({"generate"})))


def test_another_adapter_is_another_model(adapter: Path) -> None:
    before = opened(adapter).identity
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({name: weight * 2 for name, weight in weights.items()}, adapter / "adapter_model.safetensors")
    assert opened(adapter).identity != before


def test_an_adapter_without_all_its_weights_is_refused(adapter: Path) -> None:
    weights = load_file(adapter / "adapter_model.safetensors")
    weights.pop(next(iter(weights)))
    save_file(weights, adapter / "adapter_model.safetensors")
    assert "the adapter lacks weights: base_model.model." in refusal(adapter)


def test_an_adapter_that_puts_tokens_before_the_prompt_is_refused(saved: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="needs the package peft: pip install peft")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(saved)
    settings = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    peft.get_peft_model(model, settings).save_pretrained(tmp_path / "soft")
    assert "PROMPT_TUNING puts tokens before the prompt, which cannot be steered here" in refusal(tmp_path / "soft")


def test_an_adapter_names_the_package_or_the_base_it_lacks(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": str(tmp_path / "nowhere")}))
    assert f"for the adapter's base model {tmp_path / 'nowhere'}: the model: model.hf_id=" in lacks(adapter)[0]
    monkeypatch.setattr("importlib.util.find_spec", _without("peft"))
    assert lacks(adapter) == [f"the package peft: {adapter} is an adapter (pip install peft)"]


# A repository of the hub, as its cache keeps it.


def test_a_model_in_the_hubs_cache_is_known_by_its_commit(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "hub"
    repository = cache / "models--owner--small"
    shutil.copytree(saved, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    for name in ("huggingface_hub.constants.HF_HUB_CACHE", "huggingface_hub.file_download.HF_HUB_CACHE"):
        monkeypatch.setattr(name, str(cache), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    spec = ModelSpec("small", hf_id="owner/small")
    assert LocalBackend(device="cpu").lacks(spec, frozenset()) == []
    loaded = load(spec, device="cpu", dtype="auto")
    assert loaded.identity == f"owner/small@{commit}/float32"
    assert LocalBackend(device="cpu").lacks(ModelSpec("x", hf_id="owner/other"), frozenset()) == [
        "the weights: hf download owner/other, or model.hf_id=/folder/with/them"
    ]


def test_the_reason_is_told_without_a_word_from_transformers(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    change_weights(folder, lambda weights: weights.pop("lm_head.weight"))
    refusal(folder)
    assert not caplog.records


def test_a_mixture_of_experts_may_have_parts_that_are_not_opened(tmp_path: Path, small_model: Any) -> None:
    """Experts are numbered beyond the number of layers: they are no further layers."""
    from tiny_models import tiny_model

    folder = tmp_path / "experts"
    tiny_model("gpt_oss", len(small_model.tokenizer)).save_pretrained(folder)
    small_model.tokenizer.save_pretrained(folder)
    change_weights(folder, lambda w: w.update({"model.layers.0.mlp.experts.99.up.weight": torch.ones(3)}))
    assert opened(folder).layers == 4
