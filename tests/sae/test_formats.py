"""Files laid out exactly as Goodfire and SAELens publish them, made small here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402

from mindgap.core.errors import UnavailableError  # noqa: E402
from mindgap.sae import native_format  # noqa: E402
from mindgap.sae.formats import read_sae  # noqa: E402
from mindgap.sae.sae import SAE  # noqa: E402

FEATURES, D_MODEL = 40, 8
X = torch.randn(3, 5, D_MODEL, generator=torch.Generator().manual_seed(1))

OLD = {  # one dictionary, as up to version 5
    "model_name": "gpt2-small",
    "hook_point": "blocks.8.hook_resid_pre",
    "hook_point_layer": 8,
    "hook_point_head_index": None,
    "d_in": D_MODEL,
    "d_sae": FEATURES,
    "dtype": "torch.float32",
    "device": "cpu",
    "activation_fn_str": "relu",
}
NEW = {  # as from version 6
    "d_in": D_MODEL,
    "d_sae": FEATURES,
    "dtype": "float32",
    "device": "cpu",
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
    "reshape_activations": "none",
    "metadata": {
        "sae_lens_version": "6.20.1",
        "model_name": "org/some-model",
        "hook_name": "blocks.12.hook_resid_post",
        "hook_head_index": None,
    },
    "architecture": "standard",
}


def weights(*, seed: int = 0, **more: torch.Tensor) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (D_MODEL, FEATURES), "b_enc": (FEATURES,), "W_dec": (FEATURES, D_MODEL), "b_dec": (D_MODEL,)}
    return {name: torch.randn(*shape, generator=generator) for name, shape in shapes.items()} | more


def saelens(folder: Path, settings: dict[str, Any], tensors: dict[str, torch.Tensor] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cfg.json").write_text(json.dumps(settings))
    save_file(weights() if tensors is None else tensors, folder / "sae_weights.safetensors")
    return folder / "sae_weights.safetensors"


def read(path: Path) -> SAE:
    return read_sae(path, path.parent / "cache")


def new(**changes: Any) -> dict[str, Any]:
    return NEW | changes


def hooked(**changes: Any) -> dict[str, Any]:
    return NEW | {"metadata": NEW["metadata"] | changes}


# -- Goodfire --------------------------------------------------------------------------------------------------------


class GoodfireModule(torch.nn.Module):
    """The published module: two linear layers and ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder_linear = torch.nn.Linear(D_MODEL, FEATURES)
        self.decoder_linear = torch.nn.Linear(FEATURES, D_MODEL)


@pytest.mark.parametrize(("name", "layer"), [("Some-8B-SAE-l19.pth", 19), ("Some-70B-SAE-l50.pt", 50)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_goodfire_is_its_module(tmp_path: Path, name: str, layer: int, dtype: torch.dtype) -> None:
    module = GoodfireModule().to(dtype)
    torch.save(module.state_dict(), tmp_path / name)
    sae = read(tmp_path / name)
    assert (sae.layer, sae.architecture, sae.features, sae.d_model) == (layer, "relu", FEATURES, D_MODEL)
    assert sae.scale is None
    module = module.float()
    expected = module.encoder_linear(X).relu()
    torch.testing.assert_close(sae.encode(X), expected)
    torch.testing.assert_close(sae.decode(expected), module.decoder_linear(expected))
    torch.testing.assert_close(sae.directions([3, 1]), module.decoder_linear.weight.T[[3, 1]])


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def test_a_pickle_that_would_run_code_is_refused_unrun(tmp_path: Path) -> None:
    torch.save(GoodfireModule().state_dict() | {"x": Trap(tmp_path / "sprung")}, tmp_path / "evil-l1.pth")
    with pytest.raises(UnavailableError, match="more than tensors"):
        read(tmp_path / "evil-l1.pth")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"encoder_linear.weight": torch.zeros(2, 2)}, "lacks encoder_linear.bias"),
        ({**GoodfireModule().state_dict(), "threshold": torch.zeros(2)}, "holds threshold"),
        ({"state_dict": GoodfireModule().state_dict()}, "plain state dict"),
        ([torch.zeros(2)], "plain state dict"),
        ({**GoodfireModule().state_dict(), "decoder_linear.weight": torch.zeros(FEATURES, D_MODEL)}, "decoder"),
    ],
)
def test_other_contents_are_refused_by_name(tmp_path: Path, content: object, complaint: str) -> None:
    torch.save(content, tmp_path / "odd-l1.pth")
    with pytest.raises(UnavailableError, match=complaint):
        read(tmp_path / "odd-l1.pth")


def test_a_file_whose_name_says_no_block_is_refused(tmp_path: Path) -> None:
    torch.save(GoodfireModule().state_dict(), tmp_path / "sae.pth")
    with pytest.raises(UnavailableError, match=r"rename it to sae-l19\.pth"):
        read(tmp_path / "sae.pth")


def test_files_that_are_not_torchs_are_refused(tmp_path: Path) -> None:
    pointer, old, cut = (tmp_path / f"{name}-l1.pth" for name in ("pointer", "old", "cut"))
    pointer.write_text("version https://git-lfs.github.com/spec/v1\nsize 2147764677\n")
    torch.save(GoodfireModule().state_dict(), old, _use_new_zipfile_serialization=False)
    torch.save(GoodfireModule().state_dict(), cut)
    cut.write_bytes(cut.read_bytes()[:-300])
    for path in (pointer, old, cut):
        with pytest.raises(UnavailableError, match="present format"):
            read(path)
    with pytest.raises(UnavailableError, match="No such file"):
        read(tmp_path / "absent-l1.pth")


# -- SAELens: what is read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "layer"),
    [
        (OLD, 7),
        (OLD | {"hook_point": "blocks.{layer}.hook_resid_pre"}, 7),
        ({**OLD, "hook_point": None, "hook_name": "blocks.3.hook_resid_post", "hook_layer": 3}, 3),
        (NEW, 12),
        (hooked(hook_name="blocks.12.hook_resid_pre"), 11),
        (hooked(hook_name="model.layers.19"), 19),
        (hooked(hook_name="transformer.h.4"), 4),
    ],
)
def test_the_hook_says_which_blocks_output_is_read(tmp_path: Path, settings: dict, layer: int) -> None:
    assert read(saelens(tmp_path, settings)).layer == layer


@pytest.mark.parametrize("settings", [OLD, NEW])
def test_standard_subtracts_the_bias_first_unless_told_otherwise(tmp_path: Path, settings: dict) -> None:
    w = weights()
    centred = read(saelens(tmp_path / "centred", settings))
    plain = read(saelens(tmp_path / "plain", settings | {"apply_b_dec_to_input": False}))
    torch.testing.assert_close(centred.encode(X), ((X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu())
    torch.testing.assert_close(plain.encode(X), (X @ w["W_enc"] + w["b_enc"]).relu())
    a = plain.encode(X)
    for sae in (centred, plain):
        torch.testing.assert_close(sae.decode(a), a @ w["W_dec"] + w["b_dec"])
    assert centred.identity != plain.identity


@pytest.mark.parametrize(
    "settings",
    [OLD | {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5}}, new(architecture="topk", k=5)],
)
def test_topk_in_old_and_new_words(tmp_path: Path, settings: dict) -> None:
    sae = read(saelens(tmp_path, settings))
    assert (sae.architecture, sae.k) == ("topk", 5)
    assert int((sae.encode(X) != 0).sum(-1).max()) == 5


def test_jumprelu_applies_relu_too(tmp_path: Path) -> None:
    w = weights(threshold=torch.linspace(-1, 1, FEATURES))
    sae = read(saelens(tmp_path, new(architecture="jumprelu"), w))
    pre = (X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    torch.testing.assert_close(sae.encode(X), pre.relu() * (pre > w["threshold"]))


def test_batchtopk_before_and_after_it_was_made_inference_ready(tmp_path: Path) -> None:
    """A training checkpoint has one threshold, and compares activations times the length of their direction."""
    w = weights(topk_threshold=torch.tensor(0.8, dtype=torch.float64))
    trained = read(saelens(tmp_path / "trained", new(architecture="batchtopk", k=12.5), w))
    norm = w["W_dec"].norm(dim=1)
    ready = {"W_enc": w["W_enc"] * norm, "b_enc": w["b_enc"] * norm, "W_dec": w["W_dec"] / norm[:, None]}
    ready |= {"b_dec": w["b_dec"], "threshold": torch.full((FEATURES,), 0.8)}
    exported = read(saelens(tmp_path / "exported", new(architecture="jumprelu"), ready))
    assert exported.encode(X).any()
    torch.testing.assert_close(trained.encode(X), exported.encode(X))
    torch.testing.assert_close(trained.decode(trained.encode(X)), exported.decode(exported.encode(X)))


@pytest.mark.parametrize("centred", [True, False])
def test_one_factor_for_all_tokens_is_folded_in(tmp_path: Path, centred: bool) -> None:
    w, settings = weights(), new(normalize_activations="expected_average_only_in", apply_b_dec_to_input=centred)
    sae = read(saelens(tmp_path, settings | {"norm_scaling_factor": 0.25}))
    inputs = X * 0.25 - (w["b_dec"] if centred else 0)
    expected = (inputs @ w["W_enc"] + w["b_enc"]).relu()
    torch.testing.assert_close(sae.encode(X), expected)
    torch.testing.assert_close(sae.decode(expected), (expected @ w["W_dec"] + w["b_dec"]) / 0.25)


def test_a_gated_sae_is_its_formula(tmp_path: Path) -> None:
    """Active where x·w + b_gate > 0, and then max(exp(r_mag) x·w + b_mag, 0); x less the decoder's bias."""
    tensors = weights()
    tensors |= {name: torch.randn(FEATURES) for name in ("b_gate", "r_mag", "b_mag")}
    del tensors["b_enc"]
    sae = read(saelens(tmp_path, new(architecture="gated"), {name: t.contiguous() for name, t in tensors.items()}))
    projected = (X - tensors["b_dec"]) @ tensors["W_enc"]
    gate = (projected + tensors["b_gate"] > 0).float()
    expected = gate * torch.relu(projected * tensors["r_mag"].exp() + tensors["b_mag"])
    torch.testing.assert_close(sae.encode(X), expected, atol=1e-5, rtol=1e-5)
    assert 0 < float((expected > 0).float().mean()) < 1
    torch.testing.assert_close(sae.decode(expected), expected @ tensors["W_dec"] + tensors["b_dec"])


# -- SAELens: what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "tensors", "complaint"),
    [
        (hooked(hook_name="blocks.3.hook_mlp_out"), {}, "hook_mlp_out"),
        (hooked(hook_name="blocks.3.attn.hook_z"), {}, "hook_z"),
        (hooked(hook_name="blocks.3.hook_resid_mid"), {}, "hook_resid_mid"),
        (hooked(hook_name="blocks.0.hook_resid_pre"), {}, "embeddings"),
        (hooked(hook_name=None), {}, "unknown place"),
        (hooked(hook_head_index=2), {}, "one head"),
        (new(normalize_activations="layer_norm"), {}, "layer_norm"),
        (new(normalize_activations="constant_norm_rescale"), {}, "constant_norm_rescale"),
        (new(normalize_activations="covariance_whitening"), {}, "covariance_whitening"),
        (new(normalize_activations="expected_average_only_in"), {}, "norm_scaling_factor"),
        (OLD | {"normalize_activations": True}, {}, "norm_scaling_factor"),
        (new(architecture="temporal"), {}, "temporal"),
        (new(architecture="gated"), {}, "lacks b_gate, r_mag, b_mag"),
        (new(architecture="transcoder"), {}, "transcoder"),
        (OLD | {"activation_fn_str": "tanh-relu"}, {}, "tanh-relu"),
        (new(architecture="topk"), {}, "without a k"),
        (new(architecture="jumprelu"), {}, "threshold"),
        (NEW, {"scaling_factor": torch.full((FEATURES,), 2.0)}, "scaling_factor"),
        (NEW, {"r_mag": torch.zeros(FEATURES)}, "r_mag"),
        (NEW, {"b_enc": torch.zeros(3)}, "encoder_bias"),
    ],
)
def test_what_our_settings_cannot_say_is_refused_by_name(
    tmp_path: Path, settings: dict, tensors: dict, complaint: str
) -> None:
    with pytest.raises(UnavailableError, match=complaint):
        read(saelens(tmp_path, settings, weights() | tensors))


def test_a_scaling_factor_of_ones_means_nothing(tmp_path: Path) -> None:
    sae = read(saelens(tmp_path, OLD, weights(scaling_factor=torch.ones(FEATURES))))
    assert sae.encode(X).any()


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    path = saelens(tmp_path, NEW, {"W_enc": torch.zeros(D_MODEL, FEATURES)})
    with pytest.raises(UnavailableError, match="lacks b_enc, W_dec, b_dec"):
        read(path)
    path.write_bytes(b"not safetensors")
    with pytest.raises(UnavailableError, match="no safetensors file"):
        read(path)
    (tmp_path / "cfg.json").write_text("{")
    with pytest.raises(UnavailableError, match=r"cfg\.json beside it is not JSON"):
        read(path)
    (tmp_path / "cfg.json").unlink()
    with pytest.raises(UnavailableError, match=r"No such file.*cfg\.json"):
        read(path)


# -- beside sae-lens' own loader -------------------------------------------------------------------------------------

ALIKE = {
    "standard": (NEW, {}),
    "standard, old": ({**OLD, "normalize_activations": "none"}, {}),
    "bias not subtracted": (new(apply_b_dec_to_input=False), {}),
    "topk": (new(architecture="topk", k=5), {}),
    "topk, old": (OLD | {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5}}, {}),
    "topk by decoder norm": (new(architecture="topk", k=5, rescale_acts_by_decoder_norm=True), {}),
    "jumprelu": (new(architecture="jumprelu"), {"threshold": torch.linspace(-1, 3, FEATURES)}),
}


@pytest.mark.parametrize("kind", ALIKE)
def test_encodes_and_decodes_as_sae_lens_does(tmp_path: Path, kind: str) -> None:
    sae_lens = pytest.importorskip("sae_lens")
    settings, tensors = ALIKE[kind]
    path = saelens(tmp_path, settings, weights(**tensors))
    theirs, ours = sae_lens.SAE.load_from_disk(tmp_path), read(path)
    with torch.no_grad():
        activations = theirs.encode(X)
        torch.testing.assert_close(ours.encode(X), activations, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.decode(activations), theirs.decode(activations), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["standard", "topk", "jumprelu"])
def test_reads_what_sae_lens_writes(tmp_path: Path, kind: str) -> None:
    sae_lens = pytest.importorskip("sae_lens")
    settings, tensors = ALIKE[kind]
    saelens(tmp_path / "by hand", settings, weights(**tensors))
    theirs = sae_lens.SAE.load_from_disk(tmp_path / "by hand")
    theirs.fold_activation_norm_scaling_factor(0.5)
    theirs.save_model(tmp_path / "by them")
    ours = read(tmp_path / "by them" / "sae_weights.safetensors")
    with torch.no_grad():
        activations = theirs.encode(X)
        torch.testing.assert_close(ours.encode(X), activations, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.decode(activations), theirs.decode(activations), atol=1e-5, rtol=1e-5)


# -- memory ----------------------------------------------------------------------------------------------------------

MEASURE = """
import json, sys, torch
from pathlib import Path
from mindgap.sae.formats import read_sae

def memory():
    lines = (line.split() for line in open("/proc/self/status"))
    return {words[0][:-1]: int(words[1]) * 1024 for words in lines if words[0] in ("VmHWM:", "RssAnon:")}

torch.set_num_threads(1)
x = torch.randn(4, 512)
x @ torch.randn(512, 2)  # the first product of all sets up buffers
path = Path(sys.argv[1])
figures = [memory()]
sae = read_sae(path, path.parent / "cache")
figures.append(memory())
sae.directions([5, 16000]), sae.activations(x, [5, 16000])
figures.append(memory())
sae.decode(sae.encode(x))
figures.append(memory())
print(json.dumps(figures))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account of memory")
@pytest.mark.parametrize("kind", ["goodfire", "saelens", "ours"])
def test_a_large_file_takes_no_more_memory_than_it_holds(tmp_path: Path, kind: str) -> None:
    features, d_model = 16_384, 512
    big = OrderedDict(
        [
            ("encoder_linear.weight", torch.rand(features, d_model)),
            ("encoder_linear.bias", torch.rand(features)),
            ("decoder_linear.weight", torch.rand(d_model, features)),
            ("decoder_linear.bias", torch.rand(d_model)),
        ]
    )
    path = tmp_path / "big-l1.pth"
    torch.save(big, path)
    if kind == "ours":
        native_format.save(read(path), tmp_path / "sae.safetensors")
        path = tmp_path / "sae.safetensors"
    elif kind == "saelens":
        tensors = {"W_enc": big["encoder_linear.weight"].T, "W_dec": big["decoder_linear.weight"].T}
        tensors |= {"b_enc": big["encoder_linear.bias"], "b_dec": big["decoder_linear.bias"]}
        path = saelens(tmp_path / "big", NEW, {name: tensor.contiguous() for name, tensor in tensors.items()})
    size = path.stat().st_size
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    start, loaded, few, all_of_it = json.loads(done.stdout)
    megabyte = 2**20
    assert loaded["RssAnon"] - start["RssAnon"] < 4 * megabyte  # nothing of it was copied
    assert loaded["VmHWM"] - start["VmHWM"] < 8 * megabyte  # nor looked at
    assert few["RssAnon"] - start["RssAnon"] < 4 * megabyte
    assert all_of_it["RssAnon"] - start["RssAnon"] < 24 * megabyte  # ROWS rows at a time, where a type is converted
    assert all_of_it["VmHWM"] - start["VmHWM"] < size + 24 * megabyte
