"""Plan a cell: which edits each query gets, and every sample that is to be generated, before anything is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from mindgap.backends.base import Endpoint, SteerableEndpoint
from mindgap.core.edits import Edit
from mindgap.core.keys import content_key
from mindgap.core.records import Item, OptionsRequest, Query, Request
from mindgap.steering.bench import SteeringBench
from mindgap.steering.strength import relative_dose
from mindgap.steering.vectors import reference_norm
from mindgap.storage.store import Store
from mindgap.study.experiment import Experiment


@dataclass(frozen=True)
class Sample:
    """One generation to make. `options` is the log-likelihood question about the same item, where it has options."""

    query: Query
    item: Item
    epoch: int
    dose: float | None
    request: Request
    options: OptionsRequest | None

    @property
    def key(self) -> str:
        """Content key of the sample: of its request, and of what it is judged for."""
        return content_key(
            "sample", request=self.request.key, query=self.query.text, item=self.item.id, epoch=self.epoch
        )


def steer(experiment: Experiment, endpoint: Endpoint, store: Store) -> list[tuple[tuple[Edit, ...], float | None]]:
    """For each query: the edits at the experiment's strength, and their relative dose (None if unsteered)."""
    queries = experiment.query_set.queries
    if not experiment.method.steers:
        return [((), None)] * len(queries)
    bench = SteeringBench(cast(SteerableEndpoint, endpoint), store, experiment.seed)
    norm = lru_cache(lambda layer: reference_norm(bench, layer))
    native = experiment.method.edits(queries, bench)
    applied = [experiment.strength.apply(edits, norm) for edits in native]
    return [(edits, relative_dose(edits, norm)) for edits in applied]


def plan(
    experiment: Experiment, endpoint: Endpoint, steering: Sequence[tuple[tuple[Edit, ...], float | None]]
) -> list[Sample]:
    """The cell's samples. A sample's seed depends on its item and epoch alone: common random numbers across cells."""
    method, task = experiment.method, experiment.task
    replace = task.instruction_mode == "replace"
    scoring = experiment.model.option_scoring if "loglikelihood" in endpoint.can else "none"
    samples = []
    items = task.load()
    for query, (edits, dose) in zip(experiment.query_set.queries, steering, strict=True):
        for item in items:
            messages = method.messages(task.messages(item), query, replace=replace)
            options = None
            if item.options and scoring != "none":
                asked, texts = task.option_request(item, scoring)
                asked = method.messages(asked, query, replace=replace)
                options = OptionsRequest(endpoint.identity, asked, texts, edits)
            for epoch in range(experiment.epochs):
                seed = int(content_key("seed", seed=experiment.seed, item=item.id, epoch=epoch), 16) % 2**63
                request = Request(endpoint.identity, messages, experiment.decoding, seed, edits)
                samples.append(Sample(query, item, epoch, dose, request, options))
    return samples
