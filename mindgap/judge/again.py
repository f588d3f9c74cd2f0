"""One judge for all cells of a sweep, through the store: a stop costs nothing twice."""

from __future__ import annotations

from collections import Counter

from rich.console import Console

from mindgap.core.records import Judgement, Score
from mindgap.judges.base import Judge
from mindgap.judges.fetch import judgement_key, judgements
from mindgap.results.judgements import forget_others, judge_requests, write_judgements
from mindgap.results.sweep import Sweep
from mindgap.storage.store import Store
from mindgap.study.progress import Progress


def judge_again(sweep: Sweep, judge: Judge, store: Store, console: Console) -> int:
    """Have `judge` score every reply of the sweep, and write its judgements cell by cell.

    Returns how many replies it could not be reached for: they are missing with the reason, and asked for again the next
    time. Whatever the store knows, from this sweep or another, is not asked for.
    """
    cells = [(group.name(cell), cell) for group in sweep.groups for cell in group.finished]
    asked = {cell.name: judge_requests(cell) for _, cell in cells}
    for _, cell in cells:
        forget_others(cell.folder, judge)
    progress = Progress(console, "")
    spent: list[float] = []
    missing: Counter[str] = Counter()
    for title, cell in cells:
        requests = asked[cell.name]
        unique = {judgement_key(judge, request): request for request in requests.values()}
        with progress.counting(f"{title}: judging ({judge.name})", len(unique)) as done:

            def told(key: str, judgement: Judgement, known: bool, done=done) -> None:  # type: ignore[no-untyped-def]
                if not known and judgement.cost_usd is not None:
                    spent.append(judgement.cost_usd)
                done(key, known)

            made = judgements(list(unique.values()), judge, store, told)
        by_sample = {key: made[judgement_key(judge, request)] for key, request in requests.items()}
        missing.update(one.behaviour.missing or "" for one in made.values() if one.transient)
        reasons = {one.key: Score(None, f"not judged: {one.error}") for one in cell.records if one.error is not None}
        no_reply = {key: Judgement(behaviour=reason, coherence=reason) for key, reason in reasons.items()}
        write_judgements(cell.folder, judge, {one.key: (by_sample | no_reply)[one.key] for one in cell.records})
    counts = progress.counts
    cost = f"; {sum(spent):.4f} USD" if spent else ""
    console.print(
        f"{judge.name}: {counts.get('made', 0)} judged, {counts.get('cached', 0)} known from before{cost}",
        markup=False,
        soft_wrap=True,
    )
    for reason, count in missing.most_common(3):
        console.print(
            f"  {count} not judged, to be asked again by the same command: {reason}", markup=False, soft_wrap=True
        )
    return missing.total()
