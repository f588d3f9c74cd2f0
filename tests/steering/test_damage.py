"""Equal damage: every method as strong as moves the model equally far from itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mindgap.core.build import build  # noqa: E402
from mindgap.core.compose import composed, config_folder  # noqa: E402
from mindgap.core.directions import DirectionEdit, Gate  # noqa: E402
from mindgap.core.edits import AddVector, Declined, Edit  # noqa: E402
from mindgap.core.errors import ConfigError, UnavailableError  # noqa: E402
from mindgap.steering.bench import SteeringBench  # noqa: E402
from mindgap.steering.damage import NEAR, Damage, at_strength, damages, dose_of  # noqa: E402
from mindgap.steering.strength import Scaled  # noqa: E402
from mindgap.study.check import check  # noqa: E402
from mindgap.study.experiment import Experiment, build_experiment  # noqa: E402


def directions(count: int) -> list[np.ndarray]:
    return list(np.linalg.qr(np.random.default_rng(0).standard_normal((32, count)))[0].T.astype(np.float32))


def test_methods_of_every_kind_come_to_the_same_damage_at_doses_of_their_own(bench: SteeringBench) -> None:
    u, v, *_ = directions(3)
    made: list[tuple[Edit, ...] | Declined] = [
        (AddVector(1, u),),
        (AddVector(2, 300 * v, "response"), AddVector(1, v)),
        Declined("not this"),
        (DirectionEdit(1, 2 * u, "add_constant_norm"),),
        (DirectionEdit(1, 2 * u, half_life=5.0),),
    ]
    reached = Damage(0.2, dose=20.0).reached(made, bench)
    assert reached[2] == Declined("not this")
    edits = [one for one in reached if not isinstance(one, Declined)]
    assert damages(edits, bench) == pytest.approx([0.2] * 4, rel=0.15)
    assert len({round(dose_of(one, bench) or 0, 2) for one in edits}) > 1
    ratio = edits[1][0].norm / edits[1][1].norm  # type: ignore[operator]
    assert ratio == pytest.approx(300, rel=1e-3)  # what belongs together keeps its proportions


def test_what_does_too_little_damage_stays_at_the_largest_dose(bench: SteeringBench) -> None:
    (edits,) = Damage(50.0, dose=0.2).reached([(AddVector(1, directions(1)[0]),)], bench)
    assert dose_of(edits, bench) == pytest.approx(0.2)  # type: ignore[arg-type]
    assert damages([edits], bench)[0] < 50 * NEAR  # type: ignore[list-item]


def test_a_condition_is_measured_as_if_it_held_and_stays(bench: SteeringBench) -> None:
    u = directions(1)[0]
    never = Gate(0, u, 1.0)
    plain, gated = Damage(0.2, dose=20.0).reached([(DirectionEdit(1, u),), (DirectionEdit(1, u, gate=never),)], bench)
    assert gated[0].gate == never  # type: ignore[index, union-attr]
    assert replace(gated[0], gate=None).key == plain[0].key  # type: ignore[index, type-var]
    assert damages([gated], bench) == pytest.approx([0.0], abs=1e-5)  # type: ignore[list-item]


def test_edits_that_change_nothing_are_refused(bench: SteeringBench) -> None:
    with pytest.raises(ConfigError, match="change nothing that has one"):
        Damage().reached([(AddVector(1, np.zeros(32)),)], bench)


def test_the_other_strengths_are_as_before(bench: SteeringBench) -> None:
    (edits, declined) = at_strength(Scaled(2.0), [(AddVector(1, np.ones(32)),), Declined("no")], bench, lambda _: 1.0)
    assert np.allclose(edits[0].vector, 2.0) and declined == Declined("no")  # type: ignore[index]


@pytest.mark.parametrize("setting", ["nats=0", "dose=-1", "nats=inf"])
def test_a_limit_that_means_nothing_is_refused(setting: str) -> None:
    node = composed(["strength=damage", f"strength.{setting}"], config_folder())["strength"]
    with pytest.raises(ConfigError, match=r"strength\..*must be a number above 0"):
        build(node, "strength", Damage)


def experiment(tmp_path: Path, *settings: str) -> Experiment:
    places = [f"outputs={tmp_path}", "tracker=none", "sweep=s"]
    return build_experiment(composed(["strength=damage", *places, *settings], config_folder()))


def test_a_backend_that_tells_no_likelihoods_is_refused_for_what_steers(tmp_path: Path) -> None:
    settings = ["backend=goodfire", "model=8b", "judge=proxy"]
    with pytest.raises(UnavailableError, match=r"lacks .*log-likelihood"):
        check([experiment(tmp_path, "method=autosteer", *settings)])
    words = experiment(tmp_path, "method=prompt")
    assert words.strength_label == "none"
    assert experiment(tmp_path, "method=vector", "strength.nats=0.5").strength_label == "damage0.5"


def test_files_that_travel_with_mindgap_are_pairs_and_vectors_that_can_be_read() -> None:
    from mindgap.steering.pairs import read_pairs
    from mindgap.steering.vector_formats import read_vectors
    from mindgap.storage.named import named_file

    assert len(read_pairs(named_file("mindgap:pairs/nature.jsonl"))) == 16
    assert list(read_vectors(named_file("mindgap:vectors/feeling.safetensors")).by_layer) == [11]
    assert named_file("~/a") == Path.home() / "a"
