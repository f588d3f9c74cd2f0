"""Where a change comes from: the parts of a combination, and the kinds of accuracy lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mindgap.core.errors import MindgapError
from mindgap.core.estimate import Estimate
from mindgap.stats.bootstrap import UNBOUNDED
from mindgap.stats.samples import CellId, Samples
from mindgap.stats.significance import no_difference


@dataclass(frozen=True)
class Interaction:
    """Whether a combination does more than the sum of its parts.

    Attributes:
        metric: Its name.
        estimate: (combined - reference) - (first - reference) - (second - reference), over samples that all four have.
        together: Combined - reference, over the same samples.
        first: First part - reference, over the same samples.
        second: Second part - reference, over the same samples.
        unpaired: Samples that some but not all of the four have.
        p: Two-sided, of no interaction; None where it cannot be tested.
        test: Which test that is, or why there is none.
    """

    metric: str
    estimate: Estimate
    together: Estimate
    first: Estimate
    second: Estimate
    unpaired: int
    p: float | None
    test: str


@dataclass(frozen=True)
class AccuracyAccount:
    """The accuracy lost against the reference, in parts that add up to it. Positive is a loss.

    Attributes:
        cell: Whose accuracy.
        reference: What it is compared with.
        total: All of the loss.
        format: Lost on samples of which only one of the two replies could be read.
        wrong: Lost on samples of which both could be read.
        knowledge: Part of `wrong`: the answer preferred by log-likelihood changed in the same way. None without
            log-likelihoods.
        expression: Part of `wrong`: the reply changed though the preferred answer did not. None without
            log-likelihoods.
        loglik: Accuracy by log-likelihood lost, over all samples; not a part of the sum.
    """

    cell: CellId
    reference: CellId
    total: Estimate
    format: Estimate
    wrong: Estimate
    knowledge: Estimate | None
    expression: Estimate | None
    loglik: Estimate | None


def interaction(
    samples: Samples,
    combined: CellId,
    parts: tuple[CellId, CellId],
    reference: CellId,
    metric: str,
    *,
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Interaction:
    """What the combination does beyond its two parts, on the metric's own scale, paired on (query, item, epoch).

    Args:
        samples: Of a sweep.
        combined: The cell with both parts.
        parts: The cells with one of them each.
        reference: The cell with neither.
        metric: Its name.
        seed: Of the bootstrap.
        resamples: How many.
        level: Of the intervals.
    """
    cells = (combined, *parts, reference)
    samples.require_one_judge(cells, [metric])
    values, due = samples.paired(metric, cells)
    present = samples.present[[samples.row(cell) for cell in cells]]
    values = np.where(np.isnan(values).any(0), np.nan, values)
    missing = int((due & np.isnan(values[0])).sum())
    low, high = samples.metric(metric).scale.bounds

    def mean(weights: tuple[int, ...]) -> Estimate:
        half_span = sum(map(abs, weights)) / 2
        bounds = UNBOUNDED if low is None or high is None else (-half_span * (high - low), half_span * (high - low))
        contrast = np.array(weights) @ values
        return samples.mean(contrast, missing, bounds=bounds, seed=seed, resamples=resamples, level=level)

    beyond = samples.table(np.array([1, -1, -1, 1]) @ values)
    test = no_difference(beyond)
    return Interaction(
        metric,
        mean((1, -1, -1, 1)),
        mean((1, 0, 0, -1)),
        mean((0, 1, 0, -1)),
        mean((0, 0, 1, -1)),
        int((present.any(0) & ~present.all(0)).sum()),
        test.p,
        test.method,
    )


def accuracy_account(
    samples: Samples,
    cell: CellId,
    reference: CellId,
    *,
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
) -> AccuracyAccount:
    """Split the accuracy lost into format, knowledge and expression, sample by sample, so that the parts add up.

    Args:
        samples: Of a sweep, with the metrics `accuracy` and `answered`, and `loglik_accuracy` for knowledge and
            expression.
        cell: Whose accuracy.
        reference: What it is compared with.
        seed: Of the bootstrap.
        resamples: How many.
        level: Of the intervals.

    Raises:
        MindgapError: A metric lacks.
    """

    def lost(metric: str) -> tuple[np.ndarray, np.ndarray]:
        values, due = samples.paired(metric, [cell, reference])
        return values[1] - values[0], due

    def mean(values: np.ndarray, due: np.ndarray) -> Estimate:
        missing = int((due & np.isnan(values)).sum())
        return samples.mean(values, missing, bounds=(-1, 1), seed=seed, resamples=resamples, level=level)

    for metric in ("accuracy", "answered"):
        if metric not in samples.metrics:
            raise MindgapError(f"an account of accuracy needs the metric {metric!r} of every sample")
    (total, due), (readable, _) = lost("accuracy"), lost("answered")
    in_format = np.where(readable != 0, total, 0.0) + 0 * total
    wrong = total - in_format
    knowledge = expression = loglik = None
    if "loglik_accuracy" in samples.metrics:
        preferred, scored = lost("loglik_accuracy")
        known = ~np.isnan(preferred)
        in_knowledge = np.where(known & ~np.isnan(wrong), np.where(preferred == wrong, wrong, 0.0), np.nan)
        if known.any():
            knowledge = mean(in_knowledge, due)
            expression = mean(wrong - in_knowledge, due)
            loglik = mean(preferred, scored)
    return AccuracyAccount(
        cell, reference, mean(total, due), mean(in_format, due), mean(wrong, due), knowledge, expression, loglik
    )
