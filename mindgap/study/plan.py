"""Plan a cell: which edits each query gets, and every sample that is to be generated, before anything is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from mindgap.backends.base import Endpoint, SteerableEndpoint
from mindgap.core.edits import Declined, Edit
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


@dataclass(frozen=True)
class QuerySteering:
    """What is done inside the model for one query.

    Attributes:
        edits: At the experiment's strength.
        dose: Their relative dose; None where nothing is steered.
        declined: Why the method makes no edits for this query; None where it does.
    """

    edits: tuple[Edit, ...] = ()
    dose: float | None = None
    declined: str | None = None


def steer(
    experiment: Experiment, endpoint: Endpoint, store: Store, advance: Callable[[str], None] | None = None
) -> list[QuerySteering]:
    """The steering of each query.

    Args:
        experiment: The cell.
        endpoint: Its model.
        store: Where all that is made on the way is kept.
        advance: Told of each reply and each measurement that the steering is made of.
    """
    queries = experiment.query_set.queries
    if not experiment.method.steers:
        return [QuerySteering()] * len(queries)
    bench = SteeringBench(cast(SteerableEndpoint, endpoint), store, experiment.seed, advance)
    norm = lru_cache(lambda layer: reference_norm(bench, layer))
    native = experiment.method.edits(queries, bench)
    steering = []
    for edits in native:
        if isinstance(edits, Declined):
            steering.append(QuerySteering(declined=edits.reason))
        else:
            applied = experiment.strength.apply(edits, norm)
            steering.append(QuerySteering(applied, relative_dose(applied, norm)))
    return steering


def plan(experiment: Experiment, endpoint: Endpoint, steering: Sequence[QuerySteering]) -> list[Sample]:
    """The cell's samples. A sample's seed depends on its item and epoch alone: common random numbers across cells."""
    method, task = experiment.method, experiment.task
    replace = task.instruction_mode == "replace"
    scoring = experiment.model.option_scoring if "loglikelihood" in endpoint.can else "none"
    samples = []
    items = task.load()
    for query, steered in zip(experiment.query_set.queries, steering, strict=True):
        for item in items:
            messages = method.messages(task.messages(item), query, replace=replace)
            options = None
            if item.options and scoring != "none":
                asked, texts = task.option_request(item, scoring)
                asked = method.messages(asked, query, replace=replace)
                options = OptionsRequest(endpoint.identity, asked, texts, steered.edits, declined=steered.declined)
            for epoch in range(experiment.epochs):
                seed = int(content_key("seed", seed=experiment.seed, item=item.id, epoch=epoch), 16) % 2**63
                request = Request(
                    endpoint.identity,
                    messages,
                    experiment.decoding,
                    seed,
                    steered.edits,
                    declined=steered.declined,
                )
                samples.append(Sample(query, item, epoch, steered.dose, request, options))
    return samples
