"""Auto Steer and what is built on it, on a small random model with a random SAE."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from random_sae import random_sae  # noqa: E402

from mindgap.backends.local import CAN, LocalEndpoint  # noqa: E402
from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.core.build import build  # noqa: E402
from mindgap.core.edits import Declined, FeatureEdit  # noqa: E402
from mindgap.core.errors import ConfigError  # noqa: E402
from mindgap.core.model import ModelSpec  # noqa: E402
from mindgap.core.records import Query  # noqa: E402
from mindgap.sae import native_format  # noqa: E402
from mindgap.steering.agentic import Agentic, picks_in  # noqa: E402
from mindgap.steering.autosteer import AutoSteer, along_directions  # noqa: E402
from mindgap.steering.bench import SteeringBench  # noqa: E402
from mindgap.steering.damage import NEAR, at_damage, damages  # noqa: E402
from mindgap.steering.features import Chosen, Features, feature_edit  # noqa: E402
from mindgap.steering.passages import passages  # noqa: E402
from mindgap.steering.random_features import RandomFeatures  # noqa: E402
from mindgap.steering.specific import BANK_PASSAGES, bank, specific  # noqa: E402
from mindgap.steering.strength import relative_dose  # noqa: E402
from mindgap.steering.vectors import reference_norm  # noqa: E402
from mindgap.steering.wanted import directions  # noqa: E402
from mindgap.storage.store import Store  # noqa: E402
from mindgap.training.corpus import Text  # noqa: E402
from mindgap.training.describe import describe  # noqa: E402

QUERIES = [Query("be funny", ""), Query("be sad", "")]
STEER = AutoSteer(passages=4)


@pytest.fixture(autouse=True)
def few_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bank of three behaviours, which takes a random model less time than one of fifty."""
    monkeypatch.setattr("mindgap.steering.specific.behaviours_of_the_bank", lambda: ("be calm", "be loud", "use slang"))
    monkeypatch.setattr("mindgap.steering.specification.BEYOND", 1e9)


@pytest.fixture(scope="module")
def endpoint(small_model: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> LocalEndpoint:
    folder = tmp_path_factory.mktemp("sae")
    native_format.save(
        random_sae(32, "jumprelu", features=40, layer=1), folder / "sae.safetensors", dtype=torch.float32
    )
    sae = native_format.load(folder / "sae.safetensors")
    engine = Engine(small_model.model, small_model.tokenizer, max_rows=8, open_sae=lambda: sae)
    texts = [Text((), f"text {number} about nothing, in so many words") for number in range(20)]
    described = describe(engine, sae, texts, lambda done: None)
    described.save(folder / "catalogue.parquet")
    return LocalEndpoint(engine, "local/small", CAN | {"features"}, ModelSpec("small", hf_id="small", sae=str(folder)))


def bench(endpoint: Any, folder: Path, seed: int = 0) -> SteeringBench:
    return SteeringBench(endpoint, Store(folder / "store.sqlite"), seed)


def made(method: Any, on: SteeringBench, queries: list[Query] = QUERIES) -> list[tuple[FeatureEdit, ...]]:
    """A method's edits, none of them declined."""
    chosen = method.edits(queries, on)
    assert not any(isinstance(edits, Declined) for edits in chosen)
    return chosen


def test_edits_are_few_bounded_explained_and_the_same_every_time(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    on = bench(endpoint, tmp_path)
    chosen = made(STEER, on)
    for edits in chosen:
        assert 1 <= len(edits) <= 8
        assert len({edit.feature for edit in edits}) == len(edits)
        assert relative_dose(edits, lambda layer: reference_norm(on, layer)) <= STEER.dose + 1e-5
        for edit in edits:
            assert endpoint.scales[edit.feature] > 0
            assert edit.label == endpoint.label(edit.feature)
            assert "direction" in str(edit) and "meaning" in str(edit) and f"feature {edit.feature} " in str(edit)
    elsewhere = made(STEER, bench(endpoint, tmp_path / "elsewhere"), QUERIES[::-1])[::-1]
    assert [[edit.key for edit in edits] for edits in elsewhere] == [[edit.key for edit in edits] for edits in chosen]


def test_what_was_measured_once_is_not_measured_again(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    first = made(STEER, bench(endpoint, tmp_path))
    deaf = replace(endpoint)
    for name in ("generate", "loglikelihood", "residuals", "likelihood_gradients", "residual_norms"):
        object.__setattr__(deaf, name, None)
    again = made(STEER, bench(deaf, tmp_path))
    assert [[edit.key for edit in edits] for edits in again] == [[edit.key for edit in edits] for edits in first]


def test_away_from_a_behaviour_is_the_opposite_of_towards_it(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    on = bench(endpoint, tmp_path)
    asked = ["be funny", "don't be funny", "be odd", "be odd, don't be funny"]
    funny, away, odd, both = (known.direction for known in directions(asked, 4, endpoint.sae_layer, on, on))
    np.testing.assert_allclose(away, -funny, atol=1e-6)
    np.testing.assert_allclose(both, (odd - funny) / np.linalg.norm(odd - funny), atol=1e-6)


def test_what_all_behaviours_share_is_no_part_of_a_direction(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    on, layer = bench(endpoint, tmp_path), endpoint.sae_layer
    shown = passages(["be calm", "be loud", "use slang"], BANK_PASSAGES, on, on)
    residuals = np.stack([on.residuals(texts, layer).mean(0) for texts in shown])
    np.testing.assert_allclose(bank(layer, on).residual, residuals.mean(0), atol=1e-5)
    gradients = np.stack([on.likelihood_gradients(texts, layer).mean(0) for texts in shown])
    parts = [rows[0] - rows.mean(0) for rows in (residuals, gradients)]
    total = sum(part / np.linalg.norm(part) for part in parts)
    np.testing.assert_allclose(
        specific(shown[0], bank(layer, on), layer, on).direction, total / np.linalg.norm(total), atol=1e-4
    )


@pytest.mark.parametrize("text", ["", "be funny and not funny"])
def test_what_cannot_be_followed_is_declined_and_the_rest_is_steered(
    text: str, endpoint: LocalEndpoint, tmp_path: Path
) -> None:
    nothing, edits = STEER.edits([Query(text, ""), QUERIES[0]], bench(endpoint, tmp_path))
    assert isinstance(nothing, Declined) and "Auto Steer" in nothing.reason
    assert not isinstance(edits, Declined) and edits


def test_the_strength_is_the_largest_that_keeps_within_the_damage_allowed(
    endpoint: LocalEndpoint, tmp_path: Path
) -> None:
    on = bench(endpoint, tmp_path)
    some = [(feature_edit(endpoint, feature, 0.1),) for feature in (3, 5)]
    for tried in at_damage(some, 0.05, on, 1.0):
        taken = tried[-1]
        assert taken.damage <= 0.05 * NEAR or taken.dose == min(dosed.dose for dosed in tried)
        assert all(dosed.dose <= taken.dose for dosed in tried if dosed.damage <= 0.05 * NEAR)
        assert damages([taken.edits], on) == pytest.approx([taken.damage], abs=1e-5)
    assert [tried[-1].dose for tried in at_damage(some, 100.0, on, 0.2)] == pytest.approx([0.2, 0.2])


def test_an_intensity_sets_every_edit_and_keeps_its_sign(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    on = bench(endpoint, tmp_path)
    (plain, _), (scaled, _) = made(STEER, on), made(replace(STEER, intensity=0.3), on)
    assert [np.sign(edit.offset) * 0.3 for edit in plain] == [edit.offset for edit in scaled]


def test_random_features_match_in_number_and_dose_and_in_nothing_else(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    on = bench(endpoint, tmp_path)
    for steered, random in zip(made(STEER, on), made(RandomFeatures(STEER), on), strict=True):
        assert len(random) == len(steered)
        assert not {edit.feature for edit in random} & {edit.feature for edit in steered}
        assert all(endpoint.scales[edit.feature] > 0 for edit in random)
        doses = [relative_dose(edits, lambda layer: reference_norm(on, layer)) for edits in (steered, random)]
        assert doses[0] == pytest.approx(doses[1], rel=1e-4)
    other = made(RandomFeatures(STEER), bench(endpoint, tmp_path / "other", seed=1))
    assert [e.feature for e in other[0]] != [e.feature for e in made(RandomFeatures(STEER), on)[0]]


def test_named_features_are_applied_as_named(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    on = bench(endpoint, tmp_path)
    first, second = Features((Chosen(3, 0.5), Chosen(4, mode="ablate"), Chosen(5, 0.2, "pin"))).edits(QUERIES, on)
    assert first == second
    assert [(edit.feature, edit.gain, edit.offset) for edit in first] == [(3, 1, 0.5), (4, 0, 0), (5, 0, 0.2)]
    with pytest.raises(ConfigError, match="features 0 to 39"):
        Features((Chosen(40, 0.5),)).edits(QUERIES, on)
    with pytest.raises(ConfigError, match="name some"):
        Features()


def test_without_a_key_agentic_steering_picks_by_the_direction(
    endpoint: LocalEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    agentic = Agentic(search=10, like=STEER)
    for edits in made(agentic, bench(endpoint, tmp_path)):
        assert len(edits) == 3 and {abs(edit.offset) for edit in edits} == {0.6}
    assert "picks without an LLM: gpt-4o-mini lacks" in caplog.text


def test_what_a_picker_may_answer() -> None:
    agreed: dict[str, Any] = {"most": 8, "strongest": 0.6, "picker": "a model"}
    assert picks_in('Here: [{"feature": 7, "strength": -0.4}]', [7, 9], **agreed) == [(7, -0.4)]
    for answer in (
        "none",
        "[]",
        '[{"feature": 8, "strength": 0.1}]',
        '[{"feature": 7, "strength": 0.9}]',
        '[{"feature": Infinity, "strength": 0.1}]',
        '[{"feature": 7, "strength": NaN}]',
    ):
        with pytest.raises(ConfigError, match="agentic steering: a model"):
            picks_in(answer, [7, 9], **agreed)


def test_shares_are_the_same_however_many_directions_are_looked_at_together(
    endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    direction = np.random.default_rng(0).standard_normal(endpoint.d_model).astype(np.float32)
    whole = along_directions(endpoint, direction)
    asked: list[int] = []
    decoder = type(endpoint).directions

    def counted(self: LocalEndpoint, features: Any) -> np.ndarray:
        asked.append(len(features))
        return decoder(self, features)

    monkeypatch.setattr(type(endpoint), "directions", counted)
    monkeypatch.setattr("mindgap.steering.autosteer.DIRECTIONS_AT_ONCE", 7)
    np.testing.assert_allclose(along_directions(endpoint, direction), whole, rtol=1e-5, atol=1e-6)
    assert max(asked) == 7 and sum(asked) == endpoint.features


def test_who_writes_and_who_picks_are_reached_as_the_settings_say() -> None:
    provider = {"api_base": "http://127.0.0.1:9/v1", "key_env": None}
    node = {"_target_": "mindgap.steering.agentic.Agentic", "picker": "openai/x", "provider": provider}
    agentic = build(node, "method.interventions.0")
    assert agentic.provider.api_base == "http://127.0.0.1:9/v1" and agentic.provider.key_env is None
    node = {"_target_": "mindgap.steering.autosteer.AutoSteer", "writer": "openai/x", "provider": provider}
    steer = build(node, "method.interventions.0")
    assert steer.provider == agentic.provider
