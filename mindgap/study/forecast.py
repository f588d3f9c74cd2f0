"""Forecasts for `plan=true` what a cell would make: how much is known already, how long it takes and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NoReturn, cast

from mindgap.backends.base import Endpoint
from mindgap.core.records import Completion
from mindgap.judges.fetch import judgement_key
from mindgap.results.files import finished_cells, read_config
from mindgap.storage.store import Store
from mindgap.study.experiment import Experiment
from mindgap.study.observe import judge_request, reply_to
from mindgap.study.plan import QuerySteering, Sample, plan, steer

CHARACTERS_PER_TOKEN = 4
"""Of English text under the usual vocabularies; good enough for a forecast."""

JUDGE_TOKENS = (500, 150)
"""Tokens a judgement reads beside question and response, and tokens it writes: about what our prompt comes to."""

LOOKED_AT = 100_000
"""Samples of a sweep that its forecast looks at; of a larger one, every so many-th item."""


class _WouldSpend(Exception):
    """Raised where the real run would generate."""


SPENDING = frozenset(
    [
        "generate",
        "loglikelihood",
        "residuals",
        "residual_norms",
        "read",
        "stream",
        "likelihood_under",
        "reft_objective",
        "feature_means",
        "feature_maxima",
        "likelihood_gradients",
        "auto_edits",
    ]
)
"""What an endpoint does that costs time or money; everything else only tells what is there."""


class _Frozen:
    """An endpoint that tells what it is and refuses to make anything."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._endpoint, name)
        return _refuse if name in SPENDING else value


def _refuse(*arguments: object) -> NoReturn:
    raise _WouldSpend


@dataclass(frozen=True)
class Forecast:
    """What a cell would take.

    Attributes:
        samples: How many there are.
        requests: Distinct generations.
        known: Those of them that are in the store.
        judgements: How many there are.
        judged: Those of them that are in the store.
        prompt_tokens: Tokens to be read, estimated.
        reply_tokens: Tokens to be generated, at most.
        seconds: For what is not in the store; None without an earlier cell to tell by.
        usd: In US dollars, for what is not in the store; None where a price is not known.
        every: Of how many items one was looked at; above 1, the counts are estimates.
        vectors_missing: Whether steering vectors have to be made first, so that nothing can be said of what is known.
    """

    samples: int
    requests: int
    known: int
    judgements: int
    judged: int
    prompt_tokens: int
    reply_tokens: int
    seconds: float | None
    usd: float | None
    vectors_missing: bool
    every: int = 1


@dataclass(frozen=True)
class Earlier:
    """A cell that ran earlier: what of, and the seconds that each of its answers took."""

    model: str
    task: str | None
    pace: float


def earlier_cells(outputs: Path) -> list[Earlier]:
    """The finished cells in the outputs folder of which most was made, and not known."""
    return [
        Earlier(cell["model"], _task_name(folder), cell["seconds"] / cell["counts"]["made"])
        for folder, cell in finished_cells(outputs)
        if cell["counts"].get("made", 0) >= cell["counts"].get("samples", 1)
    ]


def forecasts(experiments: Sequence[Experiment]) -> list[Forecast]:
    """The forecast of each cell of a sweep; of a large one, from some of its items."""
    first = experiments[0]
    samples = len(experiments) * len(first.query_set.queries) * len(first.task.load()) * first.epochs
    earlier = earlier_cells(first.outputs)
    return [forecast(experiment, earlier, -(-samples // LOOKED_AT)) for experiment in experiments]


def forecast(experiment: Experiment, earlier: Sequence[Earlier], every: int = 1) -> Forecast:
    """The forecast of a cell. Opens the model for its identity and generates nothing.

    Args:
        experiment: The cell.
        earlier: Cells that tell how long it takes.
        every: Look at every so many-th item, and take the others to be like them.
    """
    endpoint = experiment.backend.open(experiment.model)
    store = Store(experiment.store, reads_only=True)
    try:
        frozen = cast(Endpoint, _Frozen(endpoint))
        try:
            steering = steer(experiment, frozen, store)
            missing = False
        except _WouldSpend:
            steering, missing = [QuerySteering()] * len(experiment.query_set.queries), True
        samples = plan(experiment, endpoint, steering, every)
        keys = {request.key for sample in samples for request in sample.requests}
        completions = {} if missing else store.completions(keys)
        requests = len(samples) if missing else len(keys)
        judged = _judged(experiment, samples, completions, store)
    finally:
        store.close()
    left = [request for sample in samples for request in sample.requests if request.key not in completions]
    items = len(experiment.task.load())
    scale = items / max(1, len(range(0, items, every)))
    number, requests = round(scale * len(samples)), round(scale * requests)
    known, judged = round(scale * len(completions)), round(scale * judged)
    prompt_tokens = round(scale * _tokens(message.content for request in left for message in request.messages))
    reply_tokens = (requests - known) * experiment.decoding.max_tokens
    pace = _seconds_per_request(experiment, earlier)
    return Forecast(
        samples=number,
        requests=requests,
        known=known,
        judgements=number,
        judged=judged,
        prompt_tokens=prompt_tokens,
        reply_tokens=reply_tokens,
        seconds=None if pace is None else pace * (requests - known),
        usd=_usd(experiment, samples, number - judged, prompt_tokens, reply_tokens),
        vectors_missing=missing,
        every=every,
    )


def _judged(experiment: Experiment, samples: Sequence[Sample], completions: dict[str, Completion], store: Store) -> int:
    """How many samples have a judgement in the store: those whose reply is there and was judged."""
    replied = [sample for sample in samples if sample.request and sample.request.key in completions]
    requests = [judge_request(sample, reply_to(sample, completions)) for sample in replied]
    keys = [judgement_key(experiment.judge, request) for request in requests if request]
    judgements = store.judgements(keys)
    return sum(key in judgements for key in keys)


def _seconds_per_request(experiment: Experiment, earlier: Sequence[Earlier]) -> float | None:
    """Median over earlier cells of the same model and task; None without one."""
    task = getattr(experiment.task, "name", None)
    paces = [cell.pace for cell in earlier if (cell.model, cell.task) == (experiment.model.name, task)]
    # A cell makes three things a sample: a reply, option scores, a judgement.
    return 3 * median(paces) if paces else None


def _task_name(cell_folder: Path) -> str | None:
    """Name of the task that a finished cell was run on, as its configuration says."""
    name = (read_config(cell_folder).get("task") or {}).get("name")
    return None if name is None else str(name)


def _prices(model: str) -> tuple[float, float] | None:
    """See `providers.chat.prices`, which is imported where somebody is paid."""
    from mindgap.providers.chat import prices

    return prices(model)


def _usd(
    experiment: Experiment, samples: Sequence[Sample], judgements: int, prompt_tokens: int, reply_tokens: int
) -> float | None:
    """Estimated price of what is left: generations and judgements behind an API. 0 where all of it runs here."""
    total = 0.0
    if experiment.backend.name == "litellm":
        if (price := _prices(experiment.model.litellm_id or "")) is None:
            return None
        total += prompt_tokens * price[0] + reply_tokens * price[1]
    for judge in getattr(experiment.judge, "judges", (experiment.judge,)):  # a panel's members
        if (judge_model := getattr(judge, "api_model", None)) is not None:
            if (price := _prices(judge_model)) is None:
                return None
            questions = _tokens(sample.item.asked for sample in samples) / max(1, len(samples))
            read = JUDGE_TOKENS[0] + questions + experiment.decoding.max_tokens
            calls = getattr(judge, "api_calls", 1)
            total += judgements * calls * (read * price[0] + JUDGE_TOKENS[1] * price[1])
    return total


def _tokens(texts: Iterable[str]) -> int:
    return sum(len(text) for text in texts) // CHARACTERS_PER_TOKEN
