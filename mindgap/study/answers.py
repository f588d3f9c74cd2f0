"""Ask for all that cells need, in the order of a study: replies, option scores, perplexities, judgements.

One cell or many: those that share a model are one batch, and whatever the store knows is not asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mindgap.backends.base import Endpoint
from mindgap.backends.fetch import completions, option_scores
from mindgap.core.measurement import Value
from mindgap.core.records import Completion, Judgement, JudgeRequest, OptionScores
from mindgap.judges.fetch import judgement_key, judgements_by_key
from mindgap.storage.store import Store
from mindgap.study.experiment import Experiment
from mindgap.study.observe import judge_request, perplexity, perplexity_request, reply_to
from mindgap.study.plan import Sample, plan, steer
from mindgap.study.progress import Progress


@dataclass(frozen=True)
class PlannedCell:
    """A cell with its model opened, its steering made, and every sample planned."""

    experiment: Experiment
    endpoint: Endpoint
    samples: Sequence[Sample]

    @cached_property
    def judge_group(self) -> str:
        """Cells of one judge with the same settings can be judged together."""
        return f"{self.experiment.judge.name} {self.experiment.judge.identity}"


@dataclass(frozen=True)
class Answers:
    """What came back, for every sample of the cells that were asked about.

    Attributes:
        replies: By key of the request.
        options: Log-likelihoods, by key of the question about options.
        perplexities: By key of the sample, or why there is none; absent where nothing was asked.
        judgements: By `judgement_key`.
        judged: That key, by the cell's `judge_group` and the key of the sample; absent where there is no reply.
    """

    replies: Mapping[str, Completion]
    options: Mapping[str, OptionScores]
    perplexities: Mapping[str, Value]
    judgements: Mapping[str, Judgement]
    judged: Mapping[tuple[str, str], str]

    def judgement(self, cell: PlannedCell, sample: Sample) -> Judgement | None:
        """What the cell's judge says of a sample; None where there is no reply."""
        key = self.judged.get((cell.judge_group, sample.key))
        return None if key is None else self.judgements[key]


def plan_cell(experiment: Experiment, store: Store, progress: Progress) -> PlannedCell:
    """Open the model, make the steering vectors, and plan the samples."""
    with progress.stage("loading the model"):
        endpoint = experiment.backend.open(experiment.model)
        progress.source = endpoint.identity
    with progress.stage(f"steering, {experiment.method.label}") as advance:
        steering = steer(experiment, endpoint, store, advance)
    return PlannedCell(experiment, endpoint, plan(experiment, endpoint, steering))


def answer(cells: Sequence[PlannedCell], store: Store, progress: Progress) -> Answers:
    """All that `cells`, which share an endpoint, have to know. Each answer is in the store the moment it exists."""
    endpoint = cells[0].endpoint
    samples = [sample for cell in cells for sample in cell.samples]
    requests = [request for sample in samples for request in sample.requests]
    with progress.counting("generating", len({request.key for request in requests})) as done:
        replies = completions(
            requests,
            endpoint,
            store,
            lambda key, completion, known: done(key, known, completion.completion_tokens or 0),
        )
    questions = [question for sample in samples for question in sample.questions]
    with progress.counting("scoring options", len({question.key for question in questions})) as done:
        options = option_scores(questions, endpoint, store, lambda key, _, known: done(key, known))
    perplexities = _perplexities(cells, replies, store, progress)
    judged: dict[tuple[str, str], str] = {}
    scored: dict[str, Judgement] = {}
    for group in dict.fromkeys(cell.judge_group for cell in cells):
        keys, judgements = _judgements([cell for cell in cells if cell.judge_group == group], replies, store, progress)
        judged |= {(group, sample): key for sample, key in keys.items()}
        scored |= judgements
    return Answers(replies, options, perplexities, scored, judged)


def _perplexities(
    cells: Sequence[PlannedCell], replies: Mapping[str, Completion], store: Store, progress: Progress
) -> dict[str, Value]:
    """Perplexity of each reply under the unsteered, uninstructed model, by sample key, or why there is none."""
    endpoint = cells[0].endpoint
    if "loglikelihood" not in endpoint.can:
        return {}
    asked = {
        sample.key: request
        for cell in cells
        for sample in cell.samples
        if (request := perplexity_request(cell.experiment, sample, reply_to(sample, replies), endpoint)) is not None
    }
    requests = {request.key: request for request in asked.values()}
    with progress.watching("perplexity", len(requests)) as advance:
        scores = option_scores(list(requests.values()), endpoint, store, lambda *told: advance(""))
    return {key: perplexity(scores[request.key]) for key, request in asked.items()}


def _judgements(
    cells: Sequence[PlannedCell], replies: Mapping[str, Completion], store: Store, progress: Progress
) -> tuple[dict[str, str], dict[str, Judgement]]:
    """Keys of judgements by sample key, and judgements by those, of cells with one judge."""
    judge = cells[0].experiment.judge
    keys: dict[str, str] = {}
    requests: dict[str, JudgeRequest] = {}
    for sample in (sample for cell in cells for sample in cell.samples):
        if (request := judge_request(sample, reply_to(sample, replies))) is not None:
            keys[sample.key] = judgement_key(judge, request)
            requests.setdefault(keys[sample.key], request)
    with progress.counting(f"judging ({judge.name})", len(requests)) as done:
        return keys, judgements_by_key(
            requests, judge, store, lambda key, judgement, known: done(key, known, usd=judgement.cost_usd)
        )
