"""Asks a judge about all cells of a finished sweep, through the store: a stop costs nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rich.console import Console

from mindgap.core.records import Judgement, JudgeRequest, Score
from mindgap.judges.base import Judge
from mindgap.judges.fetch import judgement_key, judgements_by_key
from mindgap.judges.proxy import share_outside
from mindgap.results.cell import CellResult
from mindgap.results.judgements import forget_others, judge_requests, write_judgements
from mindgap.results.sweep import SweepResults
from mindgap.storage.store import Store
from mindgap.study.progress import Progress


def judge_again(sweep: SweepResults, judge: Judge, store: Store, console: Console) -> int:
    """Have `judge` score every reply of the sweep, and write its judgements cell by cell.

    Whatever the store knows, from this sweep or another, is not asked for.

    Args:
        sweep: A finished sweep.
        judge: Who is asked.
        store: Where judgements are kept.
        console: Where the stages and the count are shown.

    Returns:
        How many replies the judge could not be reached for: they are missing with the reason, and asked for again the
        next time.
    """
    cells = [
        (f"{group.name(cell)}{f' [{run.name}]' if len(cell.runs) > 1 else ''}", run)
        for group in sweep.groups
        for cell in group.finished
        for run in cell.runs
    ]
    requests_by_cell = {cell.name: judge_requests(cell) for _, cell in cells}
    for _, cell in cells:
        forget_others(cell.folder, judge)
    progress = Progress(console, "")
    spent: list[float] = []
    unreached: Counter[str] = Counter()
    analyses: list[str] = []
    for title, cell in cells:
        requests = requests_by_cell[cell.name]
        keys = {sample: judgement_key(judge, request) for sample, request in requests.items()}
        distinct = {keys[sample]: request for sample, request in requests.items()}
        by_request, costs = _ask(judge, distinct, store, progress, title)
        spent += costs
        analyses += [judgement.analysis for judgement in by_request.values()]
        unreached.update(judgement.behaviour.missing or "" for judgement in by_request.values() if judgement.transient)
        by_sample = {sample: by_request[key] for sample, key in keys.items()}
        by_sample |= _without_reply(cell)
        write_judgements(cell.folder, judge, {record.key: by_sample[record.key] for record in cell.records})
    counts = progress.counts
    cost = f"; {sum(spent):.4f} USD" if spent else ""
    console.print(
        f"{judge.name}: {counts.get('made', 0)} judged, {counts.get('cached', 0)} known from before{cost}",
        markup=False,
        soft_wrap=True,
    )
    if outside := share_outside(analyses):
        console.print(f"  {outside}", markup=False, soft_wrap=True)
    for reason, count in unreached.most_common(3):
        console.print(
            f"  {count} not judged, to be asked again by the same command: {reason}", markup=False, soft_wrap=True
        )
    return unreached.total()


def _ask(
    judge: Judge, requests: Mapping[str, JudgeRequest], store: Store, progress: Progress, title: str
) -> tuple[Mapping[str, Judgement], list[float]]:
    """The judgements by `judgement_key`, and what those cost, in US dollars, that were not known from before."""
    costs: list[float] = []
    with progress.counting(f"{title}: judging ({judge.name})", len(requests)) as done:

        def report(key: str, judgement: Judgement, known: bool) -> None:
            if not known and judgement.cost_usd is not None:
                costs.append(judgement.cost_usd)
            done(key, known)

        return judgements_by_key(requests, judge, store, report), costs


def _without_reply(cell: CellResult) -> dict[str, Judgement]:
    """Judgements of samples without a reply, by sample key: both scores are missing for the sample's own reason."""
    reasons = {
        record.key: Score(None, f"not judged: {record.no_reply}")
        for record in cell.records
        if record.no_reply is not None
    }
    return {key: Judgement(behaviour=reason, coherence=reason) for key, reason in reasons.items()}
