"""Run one cell: plan its samples, steer, generate, score, judge, and write down what came out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from mindgap.backends.base import Endpoint, SteerableEndpoint
from mindgap.backends.fetch import completions, option_scores
from mindgap.core.edits import Edit
from mindgap.core.keys import content_key
from mindgap.core.records import (
    Answer,
    Completion,
    Item,
    Judgement,
    JudgeRequest,
    Message,
    OptionScores,
    OptionsRequest,
    Query,
    Record,
    Request,
)
from mindgap.judges.fetch import judgement_key, judgements
from mindgap.measures.base import measured
from mindgap.steering.bench import SteeringBench
from mindgap.steering.strength import relative_dose
from mindgap.steering.vectors import reference_norm
from mindgap.storage.store import Store
from mindgap.study.experiment import Experiment
from mindgap.study.progress import Progress


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


def run_cell(experiment: Experiment, store: Store, progress: Progress) -> list[Record]:
    """All samples of one cell, in the order of the plan. Whatever the store knows is not made again."""
    with progress.stage("loading the model"):
        endpoint = experiment.backend.open(experiment.model)
        progress.source = endpoint.identity
    with progress.stage("steering vectors"):
        steering = steer(experiment, endpoint, store)
    samples = plan(experiment, endpoint, steering)

    requests = [sample.request for sample in samples]
    with progress.counting("generating", len({r.key for r in requests})) as done:
        replies = completions(requests, endpoint, store, lambda c, known: done(known, c.completion_tokens or 0))
    asked = [sample.options for sample in samples if sample.options]
    with progress.counting("scoring options", len({r.key for r in asked})) as done:
        scores = option_scores(asked, endpoint, store, lambda _, known: done(known))
    with progress.stage("perplexity"):
        perplexities = measure_perplexity(experiment, samples, replies, endpoint, store)
    to_judge = {sample.key: judge_request(sample, replies[sample.request.key]) for sample in samples}
    wanted = [request for request in to_judge.values() if request]
    with progress.counting(f"judging ({experiment.judge.name})", len(wanted)) as done:
        judged = judgements(wanted, experiment.judge, store, lambda j, known: done(known, usd=j.cost_usd))

    records = []
    for sample in samples:
        reply = replies[sample.request.key]
        request = to_judge[sample.key]
        records.append(
            record(
                experiment,
                sample,
                reply,
                scores[sample.options.key] if sample.options else None,
                judged[judgement_key(experiment.judge, request)] if request else None,
                perplexities.get(sample.key),
            )
        )
    with progress.stage("measuring"):
        return measured(records, list(experiment.measures.values()))


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


def measure_perplexity(
    experiment: Experiment,
    samples: Sequence[Sample],
    replies: Mapping[str, Completion],
    endpoint: Endpoint,
    store: Store,
) -> dict[str, float]:
    """Perplexity of each response under the unsteered, uninstructed model, by sample key; absent where it has none."""
    if "loglikelihood" not in endpoint.can:
        return {}
    asked: dict[str, OptionsRequest] = {}
    for sample in samples:
        text = replies[sample.request.key].text
        if text.strip():
            neutral: tuple[Message, ...] = experiment.task.messages(sample.item)
            asked[sample.key] = OptionsRequest(endpoint.identity, neutral, (text,))
    scores = option_scores(list(asked.values()), endpoint, store)
    per_token = {key: scores[request.key].per_token()[0] for key, request in asked.items()}
    return {key: perplexity(mean) for key, mean in per_token.items() if mean > float("-inf")}


def perplexity(mean_logprob: float) -> float:
    """Perplexity from the mean log-likelihood per token, in nats."""
    return math.exp(-mean_logprob)


def judge_request(sample: Sample, reply: Completion) -> JudgeRequest | None:
    """What the judge is shown of a sample: nothing of method, strength or steering. None where there is no reply."""
    if reply.error is not None:
        return None
    return JudgeRequest(sample.query.text, sample.query.rubric, sample.item.question, reply.text)


def record(
    experiment: Experiment,
    sample: Sample,
    reply: Completion,
    options: OptionScores | None,
    judgement: Judgement | None,
    perplexity: float | None,
) -> Record:
    """One sample with all that is known of it. What is not known says why."""
    item, request = sample.item, sample.request
    failed = reply.error is not None
    answer = experiment.task.read(item, reply.text) if item.options and not failed else None
    likeliest = None
    if options is not None:
        per_token = options.per_token()
        likeliest = per_token.index(max(per_token))
    no_judgement = f"not judged: {reply.error}" if judgement is None else None
    system = next((message.content for message in request.messages if message.role == "system"), "")
    return Record(
        key=sample.key,
        model=experiment.model.name,
        method=experiment.method.name,
        strength=strength_label(experiment),
        dose=sample.dose,
        query=sample.query.text,
        item=item.id,
        subject=item.subject,
        epoch=sample.epoch,
        system_prompt=system,
        prompt=request.messages[-1].content,
        response=reply.text,
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        error=reply.error,
        gold=None if item.gold is None else item.options[item.gold],
        answer=_option(item, answer),
        unparsed=answer.unparsed if answer else None,
        correct=None if item.gold is None or answer is None else answer.choice == item.gold,
        loglik_answer=None if likeliest is None else item.options[likeliest],
        loglik_correct=None if likeliest is None or item.gold is None else likeliest == item.gold,
        option_logprobs=options.logprobs if options else (),
        judge=experiment.judge.name,
        behaviour=judgement.behaviour.value if judgement else None,
        behaviour_missing=judgement.behaviour.missing if judgement else no_judgement,
        coherence=judgement.coherence.value if judgement else None,
        coherence_missing=judgement.coherence.missing if judgement else no_judgement,
        analysis=judgement.analysis if judgement else "",
        perplexity=perplexity,
        perplexity_missing=None if perplexity is not None else _why_no_perplexity(reply),
        edits=tuple(str(edit) for edit in request.edits),
    )


def strength_label(experiment: Experiment) -> str:
    """The strength's label; `none` where the method steers nothing, whatever strength is set."""
    return experiment.strength.label if experiment.method.steers else "none"


def _option(item: Item, answer: Answer | None) -> str | None:
    return item.options[answer.choice] if answer and answer.choice is not None else None


def _why_no_perplexity(reply: Completion) -> str:
    if reply.error is not None:
        return reply.error
    return "empty response" if not reply.text.strip() else "the backend gives no log-likelihoods"
