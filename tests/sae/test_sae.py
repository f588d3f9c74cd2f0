"""An SAE computes what its docstring says, whatever type its weights are stored in."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from mindgap.sae import sae as module  # noqa: E402
from mindgap.sae.sae import SAE  # noqa: E402

FEATURES, D_MODEL = 24, 6


def make(architecture: str = "relu", **settings: object) -> SAE:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return SAE(
        identity="test@0",
        layer=3,
        architecture=architecture,  # type: ignore[arg-type]
        encoder=random(FEATURES, D_MODEL),
        encoder_bias=random(FEATURES),
        decoder=random(FEATURES, D_MODEL),
        decoder_bias=random(D_MODEL),
        threshold=torch.full((FEATURES,), 0.7) if architecture == "jumprelu" else None,
        k=4 if architecture == "topk" else None,
        **settings,  # type: ignore[arg-type]
    )


X = torch.randn(2, 5, D_MODEL, generator=torch.Generator().manual_seed(1))


def pre_activations(sae: SAE) -> torch.Tensor:
    inputs = (X - sae.decoder_bias if sae.centred else X) * sae.input_scale
    return torch.einsum("btd,fd->btf", inputs, sae.encoder) + sae.encoder_bias


@pytest.mark.parametrize("centred", [True, False])
def test_relu_keeps_what_is_positive(centred: bool) -> None:
    sae = make(centred=centred, input_scale=0.5)
    torch.testing.assert_close(sae.encode(X), pre_activations(sae).clamp(min=0))


def test_jumprelu_keeps_what_exceeds_the_threshold_unshrunk() -> None:
    sae = make("jumprelu")
    pre = pre_activations(sae)
    torch.testing.assert_close(sae.encode(X), pre * (pre > 0.7))


def test_topk_keeps_the_largest_and_no_negative_one() -> None:
    sae = make("topk")
    activations = sae.encode(X)
    best = pre_activations(sae).sort(dim=-1, descending=True).values[..., :4].clamp(min=0)
    torch.testing.assert_close(activations.sort(dim=-1, descending=True).values[..., :4], best)
    assert int((activations != 0).sum(-1).max()) == 4
    assert not replace(sae, encoder_bias=torch.full((FEATURES,), -1e3)).encode(X).any()


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("input_scale", [1.0, 0.25])
def test_a_direction_is_what_one_more_unit_of_activation_adds(centred: bool, input_scale: float) -> None:
    sae = make(centred=centred, input_scale=input_scale)
    activations = sae.encode(X)
    more = activations.clone()
    more[..., 7] += 1
    added = sae.decode(more) - sae.decode(activations)
    torch.testing.assert_close(added, sae.directions([7])[0].expand_as(added), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("centred", [True, False])
def test_scaling_the_stream_and_its_input_scale_changes_no_activation(centred: bool) -> None:
    sae = make("jumprelu", centred=centred)
    bias = sae.decoder_bias * 8 if centred else sae.decoder_bias
    other = replace(sae, input_scale=1 / 8, decoder_bias=bias)
    torch.testing.assert_close(other.encode(X * 8), sae.encode(X))
    torch.testing.assert_close(other.decode(sae.encode(X)), 8 * sae.decode(sae.encode(X)))


@pytest.mark.parametrize("architecture", ["relu", "jumprelu", "topk"])
def test_some_activations_are_those_of_all(architecture: str) -> None:
    sae, some = make(architecture), [11, 2, 2]
    torch.testing.assert_close(sae.activations(X, some), sae.encode(X)[..., some])
    assert sae.activations(X, []).shape == (2, 5, 0)
    assert sae.directions([]).shape == (0, D_MODEL)


@pytest.mark.parametrize("architecture", ["relu", "jumprelu", "topk"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_type_are_converted_in_parts_to_the_same_result(
    architecture: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS", 7)
    stored = make(architecture).to("cpu", dtype)
    exact = stored.to("cpu", torch.float32)
    torch.testing.assert_close(stored.encode(X), exact.encode(X))
    torch.testing.assert_close(stored.decode(exact.encode(X)), exact.decode(exact.encode(X)))
    torch.testing.assert_close(stored.activations(X, [1, 5]), exact.activations(X, [1, 5]))
    assert stored.directions([1]).dtype == torch.float32


def test_a_stream_in_half_precision_is_encoded_in_float32() -> None:
    """Rounding pre-activations instead of the results would move features over their threshold."""
    sae, x = make("jumprelu"), X.bfloat16()
    activations = sae.encode(x)
    assert activations.dtype == torch.bfloat16
    assert torch.equal(activations, sae.encode(x.float()).bfloat16())
    assert torch.equal(sae.activations(x, [3]), activations[..., [3]])


def test_moving_nowhere_copies_nothing() -> None:
    sae = make("jumprelu", scale=torch.ones(FEATURES))
    same = sae.to("cpu")
    assert same.encoder.data_ptr() == sae.encoder.data_ptr() and same.threshold is sae.threshold
    half = sae.to("cpu", torch.float16)
    assert half.decoder.dtype == torch.float16 and half.threshold.dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"architecture": "gated"}, "gated"),
        ({"threshold": torch.zeros(FEATURES)}, "thresholds"),
        ({"k": 3}, "topk"),
        ({"architecture": "topk", "k": FEATURES + 1}, "k=25"),
        ({"decoder": torch.zeros(D_MODEL, FEATURES)}, "decoder"),
        ({"encoder_bias": torch.zeros(1)}, "encoder_bias"),
        ({"decoder_bias": torch.zeros(FEATURES)}, "decoder_bias"),
        ({"scale": torch.zeros(3)}, "scale"),
        ({"layer": -1}, "layer"),
        ({"input_scale": 0.0}, "input_scale"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(make(), **changes)
