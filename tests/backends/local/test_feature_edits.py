"""What each kind of feature edit does to the residual stream, token by token, and what it touches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mindgap.backends.local import LocalBackend, LocalEndpoint
from mindgap.core.edits import AddVector, Comparison, Condition, Edit, FeatureEdit
from mindgap.core.errors import UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding, Message, Request

torch = pytest.importorskip("torch")

from random_sae import random_sae  # noqa: E402

from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.backends.local.residuals import response_residuals  # noqa: E402
from mindgap.backends.local.session import generate  # noqa: E402
from mindgap.sae.sae import SAE  # noqa: E402

D_MODEL = 32
ARCHITECTURES = ("relu", "jumprelu", "topk")
SCALE = 2.0
"""Of every feature here: not 1, so that a forgotten scale shows."""


@pytest.fixture(params=ARCHITECTURES)
def sae(request: pytest.FixtureRequest) -> SAE:
    return random_sae(D_MODEL, request.param)


def engine_with(small: SimpleNamespace, sae: SAE | None) -> Engine:
    return Engine(small.model, small.tokenizer, max_rows=8, open_sae=(lambda: sae) if sae else None)


def edit(sae: SAE, number: int, **change: object) -> FeatureEdit:
    return FeatureEdit(sae.identity, sae.layer, number, SCALE, None, **change)  # type: ignore[arg-type]


def stream(rows: int, tokens: int = 40) -> torch.Tensor:
    return 3 * torch.randn(rows, tokens, D_MODEL, generator=torch.Generator().manual_seed(1))


def steered(engine: Engine, edits: Sequence[Sequence[Edit]], x: torch.Tensor, *, response: bool = True) -> torch.Tensor:
    """The output of block 1 under the edits of each row, where it would be `x` `[rows, tokens, d_model]`."""
    steering = engine.steering(edits)
    steering.rows_are(torch.arange(len(edits)), response=response)
    hook = steering._hook(1)
    (in_tuple,) = hook(None, None, (x,))
    after = hook(None, None, x)
    assert torch.equal(after, in_tuple)
    return after


def test_each_kind_adds_what_its_definition_says(small_model: SimpleNamespace, sae: SAE) -> None:
    """All kinds mixed in one pass, one row each; the change lies along the direction, so all else of x stays."""
    kinds = {
        "nudge": (edit(sae, 0, offset=0.5), lambda a: 1.0),
        "negative nudge": (edit(sae, 1, offset=-0.7), lambda a: -1.4),
        "pin": (edit(sae, 2, gain=0, offset=1.5), lambda a: 3.0 - a),
        "ablation": (edit(sae, 3, gain=0), lambda a: -a),
        "gain": (edit(sae, 4, gain=2.5, offset=0.1), lambda a: 1.5 * a + 0.2),
    }
    x = stream(len(kinds) + 1)
    engine = engine_with(small_model, sae)
    change = steered(engine, [*((kind,) for kind, _ in kinds.values()), ()], x) - x
    for row, (kind, amount) in enumerate(kinds.values()):
        active = sae.encode(x[row])[:, kind.feature]
        assert 0 < (active > 0).sum() < len(active)  # the feature is active at some tokens and silent at others
        expected = torch.as_tensor(amount(active)).expand(len(active))[:, None] * sae.directions([kind.feature])[0]
        torch.testing.assert_close(change[row], expected, rtol=1e-5, atol=1e-5)
    assert not change[-1].any()


def test_a_pin_sets_the_activation_and_an_ablation_silences_it(small_model: SimpleNamespace) -> None:
    """Encoding the edited stream gives the value asked for, if the encoder reads the feature's own direction alone.

    Feature 2 is active at every token here: of a silent one the edit cannot know how far it is from its threshold.
    """
    sae = random_sae(D_MODEL)
    basis = torch.linalg.qr(sae.decoder.T).Q.T  # orthonormal rows: editing one feature is not seen by another
    sae = replace(
        sae, decoder=basis, encoder=basis, encoder_bias=sae.encoder_bias.index_fill(0, torch.tensor([2]), 20.0)
    )
    pin, ablation, other = edit(sae, 2, gain=0, offset=1.5), edit(sae, 2, gain=0), edit(sae, 5, offset=1)
    x = stream(2)
    pinned, ablated = steered(engine_with(small_model, sae), [(pin, other), (ablation,)], x)
    before, after_pin, after_ablation = sae.encode(x), sae.encode(pinned), sae.encode(ablated)
    assert before[..., 2].min() > 5
    torch.testing.assert_close(after_pin[:, 2], torch.full((40,), 3.0), rtol=0, atol=1e-4)
    torch.testing.assert_close(after_ablation[:, 2], torch.zeros(40), rtol=0, atol=1e-4)
    others = [feature for feature in range(sae.features) if feature not in (2, 5)]
    torch.testing.assert_close(after_pin[:, others], before[0][:, others], rtol=0, atol=1e-4)
    error, error_after = x[1] - sae.decode(before[1]), ablated - sae.decode(after_ablation)
    torch.testing.assert_close(error_after, error, rtol=0, atol=1e-4)  # what the SAE does not explain is untouched


@pytest.mark.parametrize("operator", ["<", "<=", "==", "!=", ">=", ">"])
def test_a_conditional_edit_acts_only_at_tokens_where_its_condition_holds(
    small_model: SimpleNamespace, sae: SAE, operator: str
) -> None:
    compare = {
        "<": torch.lt, "<=": torch.le, "==": torch.eq, "!=": torch.ne, ">=": torch.ge, ">": torch.gt,
    }[operator]  # fmt: skip
    value = 0.0 if operator in ("==", "!=", ">", "<=") else 0.2
    first, second = Comparison(6, operator, value, SCALE), Comparison(7, operator, value, SCALE)  # type: ignore[arg-type]
    conditions = [Condition((first,)), Condition((first, second)), Condition((first, second), join="or")]
    x = stream(len(conditions) + 1)
    changes = {"nudge": {"offset": 0.5}, "ablation": {"gain": 0}}
    for change in changes.values():
        edits = [(edit(sae, 3, when=when, **change),) for when in conditions]  # type: ignore[arg-type]
        changed = steered(engine_with(small_model, sae), [*edits, ()], x) - x
        everywhere = steered(engine_with(small_model, sae), [(edit(sae, 3, **change),)] * 4, x) - x  # type: ignore[arg-type]
        a = sae.encode(x)
        first, second = compare(a[..., 6], value * SCALE), compare(a[..., 7], value * SCALE)
        holds = torch.stack([first[0], (first & second)[1], (first | second)[2], torch.zeros(40, dtype=torch.bool)])
        assert 0 < holds[0].sum() < 40
        torch.testing.assert_close(changed, everywhere * holds[..., None], rtol=1e-5, atol=1e-5)


def test_edits_of_one_request_all_read_the_unedited_stream(small_model: SimpleNamespace, sae: SAE) -> None:
    """Together they change what each changes alone, also beside a vector; their order is of no account."""
    vector = AddVector(1, np.linspace(-2, 2, D_MODEL))
    seen = Condition((Comparison(2, ">", 0.1, SCALE),))
    edits: list[Edit] = [
        edit(sae, 2, gain=0),
        vector,
        edit(sae, 3, offset=1, when=seen),
        edit(sae, 4, gain=0, offset=1),
    ]
    engine, x = engine_with(small_model, sae), stream(1)
    alone = sum(steered(engine, [(single,)], x) - x for single in edits)
    together, backward = steered(engine, [edits], x) - x, steered(engine, [edits[::-1]], x) - x
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(backward, alone, rtol=1e-5, atol=1e-5)


def test_an_edit_of_the_response_leaves_the_prompt(small_model: SimpleNamespace, sae: SAE) -> None:
    engine, x = engine_with(small_model, sae), stream(2)
    edits = [(edit(sae, 2, gain=0, offset=1, positions="response"), edit(sae, 3, gain=0)), ()]
    prompt, response = (steered(engine, edits, x, response=response) for response in (False, True))
    torch.testing.assert_close(prompt, steered(engine, [(edit(sae, 3, gain=0),), ()], x))
    pin = replace(edits[0][0], positions="all")
    torch.testing.assert_close(response, steered(engine, [(pin, edits[0][1]), ()], x))


def test_a_passes_result_does_not_depend_on_how_a_wide_sae_is_cut_up(
    small_model: SimpleNamespace, sae: SAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mindgap.backends.local import feature_edits

    x, edits = stream(5), [(edit(sae, n, gain=0),) for n in range(5)]
    whole = steered(engine_with(small_model, sae), edits, x)
    monkeypatch.setattr(feature_edits, "ACTIVATIONS_PER_STEP", 1)
    torch.testing.assert_close(steered(engine_with(small_model, sae), edits, x), whole)


@pytest.mark.parametrize("architecture", ["relu", "jumprelu"])
def test_only_the_features_concerned_are_read(small_model: SimpleNamespace, architecture: str) -> None:
    """Every other row of encoder and decoder is NaN here: one read would show everywhere."""
    sae = random_sae(D_MODEL, architecture)  # type: ignore[arg-type]
    seen = Condition((Comparison(6, ">", 0.1, SCALE),))
    edits = [(edit(sae, 2, gain=0),), (edit(sae, 3, offset=1, when=seen), edit(sae, 5, offset=1)), ()]
    x = stream(3)
    expected = steered(engine_with(small_model, sae), edits, x)
    rest = torch.tensor([feature for feature in range(sae.features) if feature not in (2, 3, 5, 6)])
    holed = replace(
        sae, encoder=sae.encoder.index_fill(0, rest, torch.nan), decoder=sae.decoder.index_fill(0, rest, torch.nan)
    )
    torch.testing.assert_close(steered(engine_with(small_model, holed), edits, x), expected)


def test_a_model_in_half_precision_keeps_its_type(small_model: SimpleNamespace, sae: SAE) -> None:
    x = stream(1).bfloat16()
    after = steered(engine_with(small_model, sae), [(edit(sae, 2, gain=0, offset=1),)], x)
    assert after.dtype == torch.bfloat16
    exact = steered(engine_with(small_model, sae), [(edit(sae, 2, gain=0, offset=1),)], x.float())
    torch.testing.assert_close(after.float(), exact, rtol=1e-2, atol=1e-2)


def test_what_the_endpoint_cannot_take_is_refused(small_model: SimpleNamespace) -> None:
    sae = random_sae(D_MODEL)

    def answer(edit: FeatureEdit, sae: SAE | None = sae) -> None:
        request = Request("x", (Message("user", "a"),), Decoding(2, 0), 0, (edit,))
        list(generate(engine_with(small_model, sae), [request]))

    with pytest.raises(ValueError, match=r"of the SAE other@1.*is random-relu@0"):
        answer(replace(edit(sae, 1), sae="other@1"))
    with pytest.raises(ValueError, match=r"of the SAE random-relu@0.*none: name one in model\.sae"):
        answer(edit(sae, 1), sae=None)
    with pytest.raises(ValueError, match="its SAE reads block 1"):
        answer(replace(edit(sae, 1), layer=2))
    for wrong in (edit(sae, 24), edit(sae, 1, when=Condition((Comparison(-1, ">", 0, 1),)))):
        with pytest.raises(ValueError, match="features 0 to 23"):
            answer(wrong)
    with pytest.raises(UnavailableError, match="reads 16 numbers at block 1; the model has width 32"):
        answer(edit(sae, 1), sae=random_sae(16))


def test_the_endpoint_measures_features_over_response_tokens(small_model: SimpleNamespace, sae: SAE) -> None:
    engine = engine_with(small_model, sae)
    endpoint = LocalEndpoint(engine, "x", frozenset({"generate", "features"}))
    assert (endpoint.sae_identity, endpoint.sae_layer, endpoint.features) == (sae.identity, 1, 24)
    texts = [((Message("user", "Why?"),), reply) for reply in ("Because it is.", "", "no")]
    means, maxima = endpoint.feature_means(texts), endpoint.feature_maxima(texts)
    assert means.shape == maxima.shape == (3, 24) and means.dtype == np.float32
    assert np.isnan(means[1]).all() and np.isnan(maxima[1]).all()
    for index, residual in response_residuals(engine, texts, 1):
        if index != 1:
            active = sae.encode(torch.tensor(residual)).numpy()
            assert (active == 0).any() and (active > 0).any()
            np.testing.assert_allclose(means[index], active.mean(0), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(maxima[index], active.max(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(endpoint.directions([3, 1]), sae.directions([3, 1]).numpy())


def test_an_sae_is_opened_when_it_is_needed_and_not_before(small_model: SimpleNamespace) -> None:
    def explode() -> SAE:
        raise UnavailableError("opened")

    engine = Engine(small_model.model, small_model.tokenizer, max_rows=8, open_sae=explode)
    vector = AddVector(1, np.ones(D_MODEL))
    assert list(generate(engine, [Request("x", (Message("user", "a"),), Decoding(2, 0), 0, (vector,))]))
    with pytest.raises(UnavailableError, match="opened"):
        _ = LocalEndpoint(engine, "x").features


def test_what_stands_between_a_model_and_its_features_is_said() -> None:
    backend, needs = LocalBackend(), frozenset({"generate", "features"})
    tiny = ModelSpec(name="tiny", embedded=True)
    without = set(backend.lacks(tiny, needs)) - set(backend.lacks(tiny, frozenset({"generate"})))  # type: ignore[arg-type]
    assert without == {"an SAE for model=tiny: name one in model.sae"}
    (missing,) = set(backend.lacks(replace(tiny, sae="/no/such/file"), needs)) - set(backend.lacks(tiny, frozenset()))  # type: ignore[arg-type]
    assert "/no/such/file" in missing
