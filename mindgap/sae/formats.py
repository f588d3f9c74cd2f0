"""Sparse autoencoders in other people's files, read as our `SAE` without copying the file into memory.

*Goodfire* (`.pth`, `.pt`): the state dict of two `torch.nn.Linear`, ReLU between them. The file does not say which
block it reads; its name does ("…-SAE-l19" reads the output of block 19, that is `model.layers.19`).

*SAELens* (`sae_weights.safetensors` with `cfg.json` beside it), as written up to version 6: standard, topk, jumprelu,
gated, and batchtopk, which is jumprelu once trained.

*Gemma Scope* and *Llama Scope* are read in modules of their own. What cannot be said in the settings of `SAE` is
refused by name: a wrong activation would look like a right one.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from mindgap.core.errors import UnavailableError
from mindgap.sae import gemma_scope, llama_scope, native_format
from mindgap.sae.identity import hook_of, identity_of, mapped_tensors, require, settings_in
from mindgap.sae.sae import SAE, Architecture

GOODFIRE_SUFFIXES = (".pth", ".pt")
SAELENS_WEIGHTS, SAELENS_SETTINGS = "sae_weights.safetensors", "cfg.json"

GOODFIRE_TENSORS = ("encoder_linear.weight", "encoder_linear.bias", "decoder_linear.weight", "decoder_linear.bias")
GATED_TENSORS = ("W_enc", "b_gate", "r_mag", "b_mag", "W_dec", "b_dec")
SAELENS_TENSORS = ("W_enc", "b_enc", "W_dec", "b_dec")


def read_sae(path: Path, cache: Path | None = None) -> SAE:
    """The SAE in the file `path`, whose name tells the format. Raises UnavailableError where it cannot be read.

    Args:
        cache: Where the hash of the file is remembered; None = the user's cache folder.
    """
    try:
        if path.suffix in GOODFIRE_SUFFIXES:
            return read_goodfire(path, cache)
        if path.name == SAELENS_WEIGHTS:
            return read_saelens(path, cache)
        if path.suffix == ".npz":
            return gemma_scope.read_npz(path, cache)
        if path.name == gemma_scope.WEIGHTS_2:
            return gemma_scope.read_second(path, cache)
        if (settings := llama_scope.settings_beside(path)) is not None:
            return llama_scope.read_llama_scope(path, settings, cache)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UnavailableError(f"{path} cannot be read as an SAE: {error}") from error
    return native_format.load(path, cache)


def read_goodfire(path: Path, cache: Path | None = None) -> SAE:
    """The SAE in a state dict with `encoder_linear` and `decoder_linear`. Raises ValueError, saying what is wrong."""
    named = re.search(r"[-_.]l(?:ayer)?[-_]?(\d+)$", path.stem)
    if named is None:
        raise ValueError(
            f"the file does not say which block it reads, so its name must: rename it to {path.stem}-l19{path.suffix} "
            "if that is the output of block 19"
        )
    layer = int(named[1])
    tensors = _state_dict(path)
    require(tensors, GOODFIRE_TENSORS)
    return SAE(
        identity=identity_of(path.stem, path, cache, layer),
        layer=layer,
        architecture="relu",
        encoder=tensors["encoder_linear.weight"],
        encoder_bias=tensors["encoder_linear.bias"],
        decoder=tensors["decoder_linear.weight"].T,
        decoder_bias=tensors["decoder_linear.bias"],
        centred=False,
    )


def read_saelens(path: Path, cache: Path | None = None) -> SAE:
    """The SAE in SAELens' weights file `path`, with `cfg.json` beside it. Raises ValueError, saying what is wrong."""
    settings = settings_in(path.with_name(SAELENS_SETTINGS))
    # Up to version 5 all keys stood in one dictionary, some under other names; then "metadata" took a part of them.
    settings = settings | (settings.get("metadata") or {})
    hook, layer = hook_of(settings)
    architecture, k = _architecture(settings)
    centred = bool(settings.get("apply_b_dec_to_input", True))
    rescaled = _rescaled(settings)
    input_scale = _input_scale(settings)
    tensors = mapped_tensors(path)
    factor = tensors.pop("scaling_factor", None)
    if factor is not None and not bool((factor == 1).all()):
        raise ValueError("its activations were rescaled in finetuning (scaling_factor), which is not supported")
    threshold = None
    if settings.get("architecture") == "gated":
        threshold = _ungated(tensors)
    elif architecture == "jumprelu":
        threshold = _threshold(tensors)
    require(tensors, SAELENS_TENSORS)

    encoder, encoder_bias, decoder = tensors["W_enc"].T, tensors["b_enc"], tensors["W_dec"]
    if rescaled:  # activations count in lengths of their direction; the only kind whose weights must be copied
        lengths = decoder.norm(dim=1).clamp(min=1e-8)
        encoder, encoder_bias = encoder * lengths[:, None], encoder_bias * lengths
        decoder = decoder / lengths[:, None]
    name = f"{settings.get('model_name') or path.parent.name}.{hook}".rpartition("/")[2]
    return SAE(
        identity=identity_of(name, path, cache, layer, architecture, k, centred, rescaled, input_scale),
        layer=layer,
        architecture=architecture,
        encoder=encoder,
        encoder_bias=encoder_bias,
        decoder=decoder,
        # SAELens subtracts the bias from the scaled input, we scale what the bias was subtracted from
        decoder_bias=tensors["b_dec"] / input_scale if centred else tensors["b_dec"],
        centred=centred,
        threshold=threshold,
        k=k,
        input_scale=input_scale,
    )


def _state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file that torch wrote, mapped, not read. Nothing in it is executed."""
    with path.open("rb") as file:
        complete = zipfile.is_zipfile(file)
    if not complete:
        raise ValueError(
            "it is no state dict in torch's present format. If the download is complete, write it anew: "
            "torch.save(torch.load(file, weights_only=True), file)"
        )
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            "it holds more than tensors, and loading that could run any code. Ask its maker for a plain state dict"
        ) from error
    except (RuntimeError, EOFError) as error:
        raise ValueError(f"it is damaged ({str(error).splitlines()[0]})") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise ValueError("it is no plain state dict: names with a tensor each")
    return {str(name): tensor.detach() for name, tensor in tensors.items()}


def _architecture(settings: dict[str, Any]) -> tuple[Architecture, int | None]:
    """Our name of the architecture, and k where it has one."""
    name = settings.get("architecture") or "standard"
    function = settings.get("activation_fn", settings.get("activation_fn_str")) or "relu"
    if name == "topk" or (name == "standard" and function == "topk"):
        k = settings.get("k") or (settings.get("activation_fn_kwargs") or {}).get("k")
        if not isinstance(k, int):
            raise ValueError(f"it is a topk SAE without a k ({SAELENS_SETTINGS}: k={k!r})")
        return "topk", k
    if function != "relu":
        raise ValueError(f"activation_fn={function!r} of a {name} SAE is not supported")
    if name == "standard":
        return "relu", None
    if name in ("jumprelu", "gated", "batchtopk", "matryoshka_batchtopk"):
        return "jumprelu", None
    raise ValueError(f"architecture={name!r} is not supported: standard, topk, jumprelu, gated and batchtopk are")


def _rescaled(settings: dict[str, Any]) -> bool:
    """Whether activations are multiplied by the length of the feature's direction before they are compared."""
    in_training = settings.get("architecture") in ("batchtopk", "matryoshka_batchtopk")  # there it is the default
    return bool(settings.get("rescale_acts_by_decoder_norm", in_training))


def _input_scale(settings: dict[str, Any]) -> float:
    """What the residual stream is multiplied by, if that is one number for all tokens."""
    kind = settings.get("normalize_activations")
    if kind in (None, False, "none"):
        return 1.0
    if kind in (True, "expected_average_only_in"):
        factor = settings.get("norm_scaling_factor")
        if not isinstance(factor, int | float):
            raise ValueError(
                "it was trained on activations times one factor (normalize_activations=expected_average_only_in), "
                "which its files do not hold. Copy them to a folder of yours and add norm_scaling_factor to the "
                f"{SAELENS_SETTINGS} there: square root of d_in over the mean norm of the activations"
            )
        return float(factor)
    raise ValueError(f"normalize_activations={kind!r} is another for every token, which is not supported")


def _ungated(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """The thresholds by which a gated SAE is a jumprelu one, whose tensors take the place of its own.

    Where x·w + b_gate > 0 its activation is max(exp(r_mag) x·w + b_mag, 0) (Rajamanoharan et al. 2024, arXiv
    2404.16014, section 3.2): with p = exp(r_mag) x·w + b_mag that is p where p > b_mag - exp(r_mag) b_gate and p > 0.
    """
    require(tensors, GATED_TENSORS)
    gain, magnitude, gate = tensors.pop("r_mag").exp(), tensors.pop("b_mag"), tensors.pop("b_gate")
    tensors |= {"W_enc": tensors["W_enc"] * gain, "b_enc": magnitude}
    return (magnitude - gain * gate).clamp(min=0)


def _threshold(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """Take the thresholds out of `tensors`. SAELens applies ReLU too, so a negative one is as good as zero."""
    thresholds = [name for name in ("threshold", "log_threshold", "topk_threshold") if name in tensors]
    if len(thresholds) != 1:
        raise ValueError(f"it must hold one of threshold, log_threshold and topk_threshold, not {thresholds}")
    threshold = tensors.pop(thresholds[0])
    if thresholds[0] == "log_threshold":
        threshold = threshold.exp()
    if "b_enc" in tensors:
        threshold = threshold.to(torch.float32).expand(tensors["b_enc"].shape)
    return threshold.clamp(min=0)
