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

from mindgap.backends.fetch import option_scores  # noqa: E402
from mindgap.backends.local import CAN, LocalEndpoint  # noqa: E402
from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.core.build import build  # noqa: E402
from mindgap.core.edits import AddVector  # noqa: E402
from mindgap.core.errors import ConfigError  # noqa: E402
from mindgap.core.model import ModelSpec  # noqa: E402
from mindgap.core.records import Message, OptionsRequest, Query  # noqa: E402
from mindgap.sae import native_format  # noqa: E402
from mindgap.steering.agentic import Agentic, picks_in  # noqa: E402
from mindgap.steering.autosteer import AutoSteer, Trial, choose, evidence  # noqa: E402
from mindgap.steering.bench import SteeringBench  # noqa: E402
from mindgap.steering.features import Chosen, Features  # noqa: E402
from mindgap.steering.random_features import RandomFeatures  # noqa: E402
from mindgap.steering.stimulus import Stimulus, stimuli  # noqa: E402
from mindgap.steering.strength import relative_dose  # noqa: E402
from mindgap.steering.vectors import reference_norm  # noqa: E402
from mindgap.storage.store import Store  # noqa: E402
from mindgap.training.corpus import Text  # noqa: E402
from mindgap.training.describe import describe  # noqa: E402

QUERIES = [Query("be funny", ""), Query("be sad", "")]
STEER = AutoSteer(prompts=6, damage=5.0)


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


def test_edits_are_few_bounded_explained_and_the_same_every_time(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    on = bench(endpoint, tmp_path)
    chosen = STEER.edits(QUERIES, on)
    for edits in chosen:
        assert 1 <= len(edits) <= 8
        assert len({edit.feature for edit in edits}) == len(edits)
        assert relative_dose(edits, lambda layer: reference_norm(on, layer)) <= STEER.dose + 1e-5
        for edit in edits:
            assert endpoint.scales[edit.feature] > 0
            assert edit.label == endpoint.label(edit.feature)
            assert "contrast" in str(edit) and "causal" in str(edit) and f"feature {edit.feature} " in str(edit)
    elsewhere = STEER.edits(QUERIES[::-1], bench(endpoint, tmp_path / "elsewhere"))[::-1]
    assert [[edit.key for edit in edits] for edits in elsewhere] == [[edit.key for edit in edits] for edits in chosen]


def test_what_was_measured_once_is_not_measured_again(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    first = STEER.edits(QUERIES, bench(endpoint, tmp_path))
    deaf = replace(endpoint)
    for name in ("generate", "loglikelihood", "feature_means", "likelihood_gradients", "residual_norms"):
        object.__setattr__(deaf, name, None)
    again = STEER.edits(QUERIES, bench(deaf, tmp_path))
    assert [[edit.key for edit in edits] for edits in again] == [[edit.key for edit in edits] for edits in first]


def test_the_causal_score_is_what_a_small_nudge_does(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    on = bench(endpoint, tmp_path)
    shown = stimuli(on, ["be funny"], prompts=6, instruction=STEER.instruction, writer=on)[0]
    measured = evidence(shown, on, "be funny", 1)
    strongest = int(np.abs(measured.causal).argmax())
    direction = endpoint.directions([strongest])[0]
    dose = 0.01
    step = direction / np.linalg.norm(direction) * dose * reference_norm(on, endpoint.sae_layer)

    def ratio(edits: tuple[AddVector, ...]) -> float:
        requests = [
            OptionsRequest(endpoint.identity, messages, (behaving, neutral), edits)
            for (messages, behaving), (_, neutral) in zip(shown.behaving, shown.neutral, strict=True)
        ]
        scores = option_scores(requests, endpoint, on.store)
        return float(np.mean([np.subtract(*scores[request.key].per_token()) for request in requests]))

    rise = ratio((AddVector(endpoint.sae_layer, step),)) - ratio(())
    assert rise == pytest.approx(dose * measured.causal[strongest], rel=0.15)


def test_away_from_a_behaviour_is_the_opposite_of_towards_it(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    on = bench(endpoint, tmp_path)
    shown = stimuli(on, ["be funny"], prompts=6, instruction=STEER.instruction, writer=on)[0]
    towards, away = evidence(shown, on, "be funny", 1), evidence(shown, on, "be funny", -1)
    np.testing.assert_allclose(away.causal, -towards.causal)
    np.testing.assert_allclose(away.contrast, -towards.contrast)
    trial = STEER.steer("don't be funny", on)
    assert trial.edits and {edit.key for edit in trial.edits} != {e.key for e in STEER.steer("be funny", on).edits}


@pytest.mark.parametrize("text", ["", "be funny and not funny"])
def test_what_cannot_be_followed_is_refused(text: str, endpoint: LocalEndpoint, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Auto Steer"):
        STEER.edits([Query(text, "")], bench(endpoint, tmp_path))


def test_the_largest_gain_within_the_damage_allowed_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    mild, strong, wild = (Trial((), 0.1, 0.1, 0.1), Trial((), 0.3, 0.4, 0.4), Trial((), 0.5, 0.9, 2.0))
    assert choose([mild, strong, wild], 0.5, "x") is strong
    assert choose([mild, strong, wild], 0.05, "x") is mild
    assert not caplog.records
    assert choose([Trial((), 0.1, -0.2, 0.0)], 0.5, "be x").gain < 0
    assert "nothing that makes 'be x' likelier" in caplog.text


def test_an_intensity_sets_every_edit_and_keeps_its_sign(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    on = bench(endpoint, tmp_path)
    (plain, _), (scaled, _) = STEER.edits(QUERIES, on), replace(STEER, intensity=0.3).edits(QUERIES, on)
    assert [np.sign(edit.offset) * 0.3 for edit in plain] == [edit.offset for edit in scaled]


def test_random_features_match_in_number_and_dose_and_in_nothing_else(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    on = bench(endpoint, tmp_path)
    for steered, random in zip(STEER.edits(QUERIES, on), RandomFeatures(STEER).edits(QUERIES, on), strict=True):
        assert len(random) == len(steered)
        assert not {edit.feature for edit in random} & {edit.feature for edit in steered}
        assert all(endpoint.scales[edit.feature] > 0 for edit in random)
        doses = [relative_dose(edits, lambda layer: reference_norm(on, layer)) for edits in (steered, random)]
        assert doses[0] == pytest.approx(doses[1], rel=1e-4)
    other = RandomFeatures(STEER).edits(QUERIES, bench(endpoint, tmp_path / "other", seed=1))
    assert [e.feature for e in other[0]] != [e.feature for e in RandomFeatures(STEER).edits(QUERIES, on)[0]]


def test_named_features_are_applied_as_named(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    on = bench(endpoint, tmp_path)
    first, second = Features((Chosen(3, 0.5), Chosen(4, mode="ablate"), Chosen(5, 0.2, "pin"))).edits(QUERIES, on)
    assert first == second
    assert [(edit.feature, edit.gain, edit.offset) for edit in first] == [(3, 1, 0.5), (4, 0, 0), (5, 0, 0.2)]
    with pytest.raises(ConfigError, match="features 0 to 39"):
        Features((Chosen(40, 0.5),)).edits(QUERIES, on)
    with pytest.raises(ConfigError, match="name some"):
        Features()


def test_without_a_key_agentic_steering_picks_by_causal_effect(
    endpoint: LocalEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    agentic = Agentic(search=10, stimulus=STEER)
    for edits in agentic.edits(QUERIES, bench(endpoint, tmp_path)):
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


@pytest.mark.parametrize("prompts", [0, 1, 2, 3])
def test_too_few_answered_prompts_are_refused_in_words_and_not_by_nan(prompts: int) -> None:
    text = ((Message("user", "What is tea?"),), "A drink.")
    few = Stimulus((text,) * prompts, (text,) * prompts, (text,) * prompts, (text,) * prompts)
    with pytest.raises(ConfigError, match=f"4 contrast prompts at least, and {prompts} of them"):
        few.parted(2 / 3)


def test_each_part_of_a_stimulus_has_two_prompts_at_least() -> None:
    text = ((Message("user", "What is tea?"),), "A drink.")
    for prompts in (4, 5, 6, 24):
        whole = Stimulus((text,) * prompts, (text,) * prompts, (text,) * prompts, (text,) * prompts)
        for share in (0.01, 2 / 3, 0.99):
            first, rest = whole.parted(share)
            assert len(first.asked) >= 2 and len(rest.asked) >= 2 and len(first.asked) + len(rest.asked) == prompts


def test_causal_effects_are_the_same_however_many_directions_are_looked_at_together(
    endpoint: LocalEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = bench(endpoint, tmp_path)
    shown = stimuli(on, ["be funny"], prompts=6, instruction=STEER.instruction, writer=on)[0]
    whole = evidence(shown, on, "be funny", 1).causal
    asked: list[int] = []
    directions = type(endpoint).directions

    def counted(self: LocalEndpoint, features: Any) -> np.ndarray:
        asked.append(len(features))
        return directions(self, features)

    monkeypatch.setattr(type(endpoint), "directions", counted)
    monkeypatch.setattr("mindgap.steering.autosteer.DIRECTIONS_AT_ONCE", 7)
    np.testing.assert_allclose(evidence(shown, on, "be funny", 1).causal, whole, rtol=1e-6)
    assert max(asked) == 7 and sum(asked) == endpoint.features


def test_who_writes_and_who_picks_are_reached_as_the_settings_say() -> None:
    provider = {"api_base": "http://127.0.0.1:9/v1", "key_env": None}
    node = {"_target_": "mindgap.steering.agentic.Agentic", "picker": "openai/x", "provider": provider}
    agentic = build(node, "method.interventions.0")
    assert agentic.provider.api_base == "http://127.0.0.1:9/v1" and agentic.provider.key_env is None
    node = {"_target_": "mindgap.steering.autosteer.AutoSteer", "writer": "openai/x", "provider": provider}
    steer = build(node, "method.interventions.0")
    assert steer.provider == agentic.provider
