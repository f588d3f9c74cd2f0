"""The vector of what is specific to a behaviour: what it is made of, how long it is, and which models it needs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mindgap.backends.local import CAN, LocalEndpoint  # noqa: E402
from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.core.edits import Declined  # noqa: E402
from mindgap.core.errors import ConfigError  # noqa: E402
from mindgap.core.records import Query  # noqa: E402
from mindgap.steering.bench import SteeringBench  # noqa: E402
from mindgap.steering.damage import NEAR, damages  # noqa: E402
from mindgap.steering.passages import passages  # noqa: E402
from mindgap.steering.specific import BANK_PASSAGES, bank  # noqa: E402
from mindgap.steering.specific_vector import SpecificVector  # noqa: E402
from mindgap.steering.vectors import block_at  # noqa: E402
from mindgap.storage.store import Store  # noqa: E402


@pytest.fixture
def without_sae(small_model: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SteeringBench:
    """A random model that has no SAE, and a bank of three behaviours."""
    monkeypatch.setattr("mindgap.steering.specific.behaviours_of_the_bank", lambda: ("be calm", "be loud", "use slang"))
    monkeypatch.setattr("mindgap.steering.specification.BEYOND", 1e9)
    engine = Engine(small_model.model, small_model.tokenizer, max_rows=8)
    return SteeringBench(LocalEndpoint(engine, "local/small", CAN), Store(tmp_path / "store.sqlite"), 0)


@pytest.mark.parametrize("estimate", ["mean", "gradient"])
def test_it_is_what_the_passages_have_and_the_bank_has_not(estimate: str, without_sae: SteeringBench) -> None:
    method = SpecificVector(depth=0.5, estimate=estimate, passages=BANK_PASSAGES)
    (edits,) = method.edits([Query("be calm", "")], without_sae)
    assert not isinstance(edits, Declined)
    layer = block_at(0.5, without_sae.layers)
    (shown,) = passages(["be calm"], BANK_PASSAGES, without_sae, without_sae)
    others = bank(layer, without_sae)
    expected = (
        without_sae.residuals(shown, layer).mean(0) - others.residual
        if estimate == "mean"
        else without_sae.likelihood_gradients(shown, layer).mean(0) - others.gradient
    )
    (edit,) = edits
    assert edit.layer == layer
    np.testing.assert_allclose(
        edit.vector / np.linalg.norm(edit.vector), expected / np.linalg.norm(expected), atol=1e-4
    )


def test_it_is_as_long_as_the_damage_allowed(without_sae: SteeringBench) -> None:
    made = SpecificVector(depth=0.5, passages=4, damage=0.2).edits([Query("be calm", "")], without_sae)
    further = SpecificVector(depth=0.5, passages=4, damage=1.0).edits([Query("be calm", "")], without_sae)
    lengths = [float(np.linalg.norm(edits[0].vector)) for edits in (*made, *further)]  # type: ignore[index]
    assert lengths[0] < lengths[1]
    assert damages(made, without_sae)[0] <= 0.2 * NEAR  # type: ignore[arg-type]


def test_what_cannot_be_followed_is_declined_and_the_rest_is_steered(without_sae: SteeringBench) -> None:
    nothing, edits = SpecificVector(passages=4).edits(
        [Query("be cheerful and gloomy", ""), Query("be loud", "")], without_sae
    )
    assert isinstance(nothing, Declined) and "opposites" in nothing.reason
    assert not isinstance(edits, Declined)


@pytest.mark.parametrize(
    ("settings", "said"), [({"estimate": "median"}, "both, mean, gradient"), ({"damage": 0}, "above 0")]
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SpecificVector(**settings)  # type: ignore[arg-type]
