"""Run one cell: steer, generate, score, judge, measure. The paper's method section, in order."""

from __future__ import annotations

from mindgap.backends.fetch import completions, option_scores
from mindgap.core.records import Record
from mindgap.judges.fetch import judgement_key, judgements
from mindgap.measures.base import measured
from mindgap.storage.store import Store
from mindgap.study.experiment import Experiment
from mindgap.study.observe import judge_request, measure_perplexity, record
from mindgap.study.plan import plan, steer
from mindgap.study.progress import Progress


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
