"""Fitting a sparse autoencoder to data whose features are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mindgap.core.errors import ConfigError

torch = pytest.importorskip("torch")

from mindgap.training.fit import Fit  # noqa: E402
from mindgap.training.settings import FitSettings  # noqa: E402

D_MODEL, FEATURES, K = 24, 48, 3
SETTINGS = FitSettings(features=FEATURES, k=K, epochs=12, batch=256, check_every=50, learning_rate=4e-3)


@pytest.fixture(scope="module")
def truth() -> tuple[np.ndarray, np.ndarray]:
    """Unit directions, and tokens `[8192, 24]` made of about three of them each, far from the origin."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((FEATURES, D_MODEL))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    active = rng.random((8192, FEATURES)) < K / FEATURES
    return directions, ((active * rng.gamma(4, 1, active.shape)) @ directions * 20 + 70).astype(np.float16)


@pytest.fixture(scope="module")
def fitted(truth, tmp_path_factory) -> Fit:  # type: ignore[no-untyped-def]
    fit = Fit(truth[1], SETTINGS, torch.device("cpu"))
    fit.run(lambda step, unexplained: None, tmp_path_factory.mktemp("fit") / "checkpoint.safetensors")
    return fit


def test_it_finds_most_of_the_directions_that_the_data_are_made_of(truth, fitted: Fit) -> None:  # type: ignore[no-untyped-def]
    sae = fitted.sae("known", layer=0)
    learned = torch.nn.functional.normalize(sae.decoder, dim=1).numpy()
    assert ((truth[0] @ learned.T).max(1) > 0.9).mean() > 0.6


def test_what_it_leaves_needs_no_batch_and_has_k_features_a_token(truth, fitted: Fit) -> None:  # type: ignore[no-untyped-def]
    sae = fitted.sae("known", layer=0)
    x = torch.tensor(truth[1].astype(np.float32))
    activations = sae.encode(x)
    assert float((activations > 0).sum(1).float().mean()) == pytest.approx(K, abs=0.5)
    torch.testing.assert_close(sae.encode(x[:1]), activations[:1])
    unexplained = (sae.decode(activations) - x).square().sum() / (x - x.mean(0)).square().sum()
    assert float(unexplained) < 0.25
    torch.testing.assert_close(sae.directions(range(FEATURES)) * fitted.input_scale, sae.decoder)


def test_a_fit_that_was_stopped_ends_as_one_that_was_not(truth, fitted: Fit, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "checkpoint.safetensors"

    def stop(step: int, unexplained: float) -> None:
        if step == 130:
            raise KeyboardInterrupt

    first = Fit(truth[1], SETTINGS, torch.device("cpu"))
    with pytest.raises(KeyboardInterrupt):
        first.run(stop, path, every=60)
    again = Fit(truth[1], SETTINGS, torch.device("cpu"))
    assert again.restore(path) and again.step == 120
    again.run(lambda step, unexplained: None, path)
    for name, value in again.parameters.items():
        torch.testing.assert_close(value, fitted.parameters[name])
    assert not Fit(truth[1][:4096], SETTINGS, torch.device("cpu")).restore(path)  # other tokens: another fit


def test_too_little_text_is_refused(truth) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="fewer than a batch"):
        Fit(truth[1][:100], SETTINGS, torch.device("cpu"))
    with pytest.raises(ConfigError, match="k=48 must be smaller"):
        FitSettings(features=48, k=48)
