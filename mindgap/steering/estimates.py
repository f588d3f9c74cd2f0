"""One direction from pairs of activations: the estimators that the field uses, as plain functions of arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from mindgap.steering.sources import perpendicular


def mean_difference(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Mean of the differences: CAA (Rimsky et al. 2024, arXiv 2312.06681). In units of the activations."""
    return (positive - negative).mean(0)


def pca(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """First principal axis of the differences, about 0: unit vector, towards positive on average.

    RepE (Zou et al. 2023, arXiv 2310.01405); the same as steering-vectors' `pca_aggregator` and repeng's `pca_center`.
    """
    differences = positive - negative
    axis = np.linalg.svd(differences, full_matrices=False)[2][0]
    return axis * _sign(float((differences @ axis).mean()))


def pca_centred(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """First principal axis of the differences about their mean: unit vector. repeng's default, `pca_diff`.

    What all pairs have in common is taken away, so it is the axis along which pairs differ most from each other; it is
    turned towards positive by the majority of pairs.
    """
    differences = positive - negative
    axis = np.linalg.svd(differences - differences.mean(0), full_matrices=False)[2][0]
    projected = differences @ axis
    return axis * _sign(float((projected > 0).mean() - (projected < 0).mean()))


def logistic(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Direction of a linear probe that tells positive from negative about each pair's mean: unit vector.

    Logistic regression with an L2 penalty of weight 1 and without intercept, as steering-vectors'
    `logistic_aggregator` and scikit-learn's default have it: minimises |w|²/2 + Σ log(1 + exp(-y w·x)).
    """
    halves = ((positive - negative) / 2).astype(np.float64)  # the negatives are their mirror images

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins = halves @ weights
        gradient = weights - 2 * halves.T @ (1 / (1 + np.exp(np.clip(margins, -500, 500))))
        return float(weights @ weights / 2 + 2 * np.logaddexp(0, -margins).sum()), gradient

    start = np.zeros(halves.shape[1])
    weights: np.ndarray = minimize(loss, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 1e-14}).x
    return weights / max(float(np.linalg.norm(weights)), 1e-12)


def mass_mean(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Direction of the difference in means, as long as activations spread along it (their standard deviation).

    ITI's mass-mean shift (Li et al. 2023, arXiv 2306.03341, their σ θ), here on the residual stream, not on heads.
    """
    difference = positive.mean(0) - negative.mean(0)
    axis = difference / max(float(np.linalg.norm(difference)), 1e-12)
    return axis * float((np.concatenate([positive, negative]) @ axis).std())


ESTIMATES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mean": mean_difference,
    "pca": pca,
    "pca_centred": pca_centred,
    "logistic": logistic,
    "mass_mean": mass_mean,
}
"""By the name in YAML. Each takes activations `[pairs, d_model]`, positive and negative, and gives `[d_model]`."""


def plane(vector: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """The unit vector that spans a plane of rotation with `vector` `[d_model]`.

    Angular Steering (Vu and Nguyen 2025, arXiv 2510.26243): the first principal axis of the candidates
    `[blocks, d_model]`, directions of length 1 of all blocks, made perpendicular; here turned to their side.
    """
    candidates = candidates / np.maximum(np.linalg.norm(candidates, axis=1, keepdims=True), 1e-12)
    axis = np.linalg.svd(candidates - candidates.mean(0), full_matrices=False)[2][0]
    return perpendicular(axis * _sign(float((candidates @ axis).mean())), vector)


def _sign(value: float) -> float:
    return -1.0 if value < 0 else 1.0
