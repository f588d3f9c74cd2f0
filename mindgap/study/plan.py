"""Plan a cell: which edits each query gets, and every sample that is to be generated, before anything is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import cast

from mindgap.backends.base import Endpoint, SteerableEndpoint, TextEndpoint
from mindgap.core.edits import Declined, Edit
from mindgap.core.keys import content_key
from mindgap.core.records import Item, Message, OptionsRequest, Query, Request
from mindgap.steering.asking import Asked
from mindgap.steering.bench import SteeringBench
from mindgap.steering.damage import at_strength
from mindgap.steering.strength import relative_dose
from mindgap.steering.vectors import reference_norm
from mindgap.storage.store import Store
from mindgap.study.experiment import Experiment
from mindgap.tasks.trials import Likelihoods, SelfScoring


@dataclass(frozen=True)
class Sample:
    """What is asked of the model about one item, for one query.

    Attributes:
        query: The behaviour asked for.
        item: The question.
        epoch: 0, 1, … for repeated generations.
        dose: Relative dose of the steering; None where there is none.
        request: The reply that is judged; None where the task asks for none.
        options: The log-likelihood question about the same item, where it has options.
        trials: All that a task which scores items itself asks, in its order; the reply that is judged among it.
    """

    query: Query
    item: Item
    epoch: int
    dose: float | None
    request: Request | None
    options: OptionsRequest | None
    trials: tuple[Request | OptionsRequest, ...] = ()

    @property
    def requests(self) -> list[Request]:
        """All replies that are asked for."""
        return [asked for asked in (self.request, *self.trials) if isinstance(asked, Request)]

    @property
    def questions(self) -> list[OptionsRequest]:
        """All log-likelihoods that are asked for."""
        return [asked for asked in (self.options, *self.trials) if isinstance(asked, OptionsRequest)]

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What is done inside the model."""
        asked: list[Request | OptionsRequest] = [*self.requests, *self.questions]
        return asked[0].edits if asked else ()

    @property
    def keys(self) -> set[str]:
        """Content keys of all that is asked for."""
        return {request.key for request in self.requests} | {question.key for question in self.questions}

    @cached_property
    def key(self) -> str:
        """Content key of the sample: of its request, or all its trials, and of what it is judged for."""
        asked = self.request.key if self.request else [trial.key for trial in self.trials]
        return content_key("sample", request=asked, query=self.query.text, item=self.item.id, epoch=self.epoch)


@dataclass(frozen=True)
class QuerySteering:
    """What is done inside the model for one query.

    Attributes:
        edits: At the experiment's strength.
        dose: Their relative dose; None where nothing is steered.
        declined: Why the method makes no edits, or no words, for this query; None where it does.
        asked: The words by which the behaviour is asked for, where the method makes them.
    """

    edits: tuple[Edit, ...] = ()
    dose: float | None = None
    declined: str | None = None
    asked: Asked | None = None


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
    queries, method = experiment.query_set.queries, experiment.method
    bench = SteeringBench(cast(SteerableEndpoint, endpoint), store, experiment.seed, advance)
    steering = _edits(experiment, bench) if method.steers else [QuerySteering()] * len(queries)
    if method.asking is None:
        return steering
    return [
        replace(steered, declined=steered.declined or asked.reason)
        if isinstance(asked, Declined)
        else replace(steered, asked=asked)
        for steered, asked in zip(steering, method.asking.asked(queries, bench), strict=True)
    ]


def _edits(experiment: Experiment, bench: SteeringBench) -> list[QuerySteering]:
    """What the interventions make for each query, at the experiment's strength."""
    norm = lru_cache(lambda layer: reference_norm(bench, layer))
    made = experiment.method.edits(experiment.query_set.queries, bench)
    return [
        QuerySteering(declined=edits.reason)
        if isinstance(edits, Declined)
        else QuerySteering(edits, relative_dose(edits, norm))
        for edits in at_strength(experiment.strength, made, bench, norm)
    ]


def plan(experiment: Experiment, endpoint: Endpoint, steering: Sequence[QuerySteering], every: int = 1) -> list[Sample]:
    """The cell's samples. A sample's seed depends on its item and epoch alone: common random numbers across cells.

    Args:
        experiment: The cell.
        endpoint: Its model.
        steering: Of each query.
        every: Only every so many-th item; 1 = all.
    """
    method, task = experiment.method, experiment.task
    in_place = task.instruction_mode == "replace"
    scoring = experiment.model.option_scoring if "loglikelihood" in endpoint.can else "none"
    samples = []
    items = task.load()[::every]
    for query, steered in zip(experiment.query_set.queries, steering, strict=True):
        for item in items:
            if experiment.scores_itself:
                samples += [
                    _self_scored(experiment, endpoint, query, item, epoch, steered)
                    for epoch in range(experiment.epochs)
                ]
                continue
            messages = method.messages(task.messages(item), query, replace=in_place, asked=steered.asked)
            options = None
            if item.options and scoring != "none":
                asked, texts = task.option_request(item, scoring)
                asked = method.messages(asked, query, replace=in_place, asked=steered.asked)
                options = OptionsRequest(endpoint.identity, asked, texts, steered.edits, declined=steered.declined)
            for epoch in range(experiment.epochs):
                request = Request(
                    endpoint.identity,
                    messages,
                    experiment.decoding,
                    _seed(experiment, item, epoch),
                    steered.edits,
                    declined=steered.declined,
                )
                samples.append(Sample(query, item, epoch, steered.dose, request, options))
    return samples


def as_text(messages: tuple[Message, ...], endpoint: Endpoint, *, chat: bool) -> tuple[Message, ...]:
    """Messages as the one that holds all of a prompt's text; none stay none."""
    if not messages:
        return ()
    text = (
        cast(TextEndpoint, endpoint).render(messages) if chat else "\n\n".join(message.content for message in messages)
    )
    return (Message("user", text),)


def _self_scored(
    experiment: Experiment, endpoint: Endpoint, query: Query, item: Item, epoch: int, steered: QuerySteering
) -> Sample:
    """The sample of a task that scores items itself."""
    trials: list[Request | OptionsRequest] = []
    for trial in cast(SelfScoring, experiment.task).trials(item):
        asked = experiment.method.messages(trial.messages, query, asked=steered.asked) if trial.messages else ()
        prompt = as_text(asked, endpoint, chat=trial.chat)
        if isinstance(trial, Likelihoods):
            trials.append(
                OptionsRequest(
                    endpoint.identity, prompt, trial.texts, steered.edits, declined=steered.declined, as_text=True
                )
            )
        else:
            trials.append(
                Request(
                    endpoint.identity,
                    prompt,
                    trial.decoding,
                    _seed(experiment, item, epoch, **({"repeat": trial.repeat} if trial.repeat else {})),
                    steered.edits,
                    declined=steered.declined,
                    as_text=True,
                    until=trial.until,
                )
            )
    request = next((trial for trial in trials if isinstance(trial, Request)), None)
    return Sample(query, item, epoch, steered.dose, request, None, tuple(trials))


def _seed(experiment: Experiment, item: Item, epoch: int, **again: int) -> int:
    """Of a sample, or of one of the replies to it: the same in all cells."""
    return int(content_key("seed", seed=experiment.seed, item=item.id, epoch=epoch, **again), 16) % 2**63
