"""How far the proxy judge agrees with recorded scores that it has not seen.

    python benchmarks/proxy_judge.py FILE=MAP [FILE=MAP ...] [doses=FOLDER ...] [--resamples 300] [--without-embeddings]

Recordings, column maps and sweeps over doses as in `python -m mindgap.judge.calibrate`. Everything that sees scores
is refitted for every fold, so no response is scored by a calibration that saw its score. Splits: `queries` = every
query (and its rewordings) left out in turn; `questions` = every fifth of the questions left out, queries known;
`methods` = every method left out in turn; `files` = trained on the files of another release, judged on this one (the
release is the file's name up to its second `_`). Printed per split and file: Spearman's rank correlation with its 95
% interval (queries and items resampled), the same within queries, that is after each query's mean rank is taken away,
and quadratic-weighted kappa. Then rank correlation by method, and the mean score of each method as recorded and as
judged.

With sweeps over doses every calibration knows their order, and a first table says what that is worth on doses that it
was not fitted to: the share of pairs of replies, at least 0.4 apart in dose alone, of which the one at the higher
dose scores lower in coherence, and mean coherence by dose. Fitted to no dose; to the doses of half of the queries and
half of the items, judging the other halves, in turn; and to the doses of all other methods.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from mindgap.judge.calibrate import read_scored, told_apart
from mindgap.judge.doses import read_dosed
from mindgap.judges.proxy_design import describe_responses, normal
from mindgap.judges.proxy_doses import DosedResponse, ordered_pairs, share_in_order
from mindgap.judges.proxy_fit import Fitting, ScoredResponse, family, question_folds
from mindgap.stats.agreement import agreement, quadratic_kappa
from mindgap.text.embedding import Embedder, embedder, embedder_lacks
from mindgap.text.words import words

TARGETS = ("coherence", "behaviour")


def within_queries(ours: np.ndarray, theirs: np.ndarray, queries: np.ndarray) -> float:
    """Rank correlation after each query's mean rank is taken away."""
    from scipy import stats

    a, b = stats.rankdata(ours), stats.rankdata(theirs)
    for query in np.unique(queries):
        of_query = queries == query
        a[of_query] -= a[of_query].mean()
        b[of_query] -= b[of_query].mean()
    return float(np.corrcoef(a, b)[0, 1])


class Table:
    """Agreement of one list of scores with the recorded ones, printed file by file."""

    def __init__(self, scored: tuple[ScoredResponse, ...], resamples: int) -> None:
        self.scored, self.resamples = scored, resamples
        self.files = np.array([sample.source for sample in scored])
        self.methods = np.array([sample.method for sample in scored])
        self.queries = np.array([normal(sample.request.query) for sample in scored])
        self.items = np.array([sample.request.question for sample in scored])

    def rows(self, title: str, target: str, ours: np.ndarray) -> None:
        theirs = np.array([getattr(sample, target) for sample in self.scored])
        for file in dict.fromkeys(self.files):
            kept = (self.files == file) & ~np.isnan(ours) & ~np.isnan(theirs)
            a, b, queries = ours[kept], theirs[kept], self.queries[kept]
            agreed = agreement(a, b, queries, self.items[kept], resamples=self.resamples)
            rho, kappa = agreed.spearman, agreed.kappa
            line = f"{target:10} {title:24} {file:30} {kept.sum():5} "
            if rho.value is None or kappa.value is None or rho.low is None:
                print(f"{line}{'-':>6} {'':14} {'-':>7} {quadratic_kappa(a, b):6.2f}")
                continue
            interval = f"[{rho.low:.2f}, {rho.high:.2f}]"
            inside = within_queries(a, b, queries)
            print(f"{line}{rho.value:6.2f} {interval:14} {inside:7.2f} {kappa.value:6.2f}", flush=True)

    def by_method(self, target: str, ours: np.ndarray) -> None:
        theirs = np.array([getattr(sample, target) for sample in self.scored])
        for file in dict.fromkeys(self.files):
            for method in dict.fromkeys(self.methods[self.files == file]):
                kept = (self.files == file) & (self.methods == method) & ~np.isnan(theirs)
                a, b = ours[kept], theirs[kept]
                inside = within_queries(a, b, np.zeros(len(a)))
                print(
                    f"{target:10} {file:30} {method:12} {kept.sum():5} {inside:8.2f} {b.mean():10.2f} {a.mean():8.2f}",
                    flush=True,
                )


class Remembering(Embedder):
    """Embeds every text once, however many calibrations ask for it."""

    @cached_property
    def _known(self) -> dict[str, np.ndarray]:
        return {}

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(new, super().embed(new), strict=True))
        return np.array([self._known[text] for text in texts])


def halves(names: Sequence[str]) -> np.ndarray:
    """0 or 1 for each name, the same for equal ones, as many distinct names of each."""
    distinct = sorted(set(names))
    random.Random(0).shuffle(distinct)
    place = {name: index % 2 for index, name in enumerate(distinct)}
    return np.array([place[name] for name in names])


def report_doses(scored: tuple[ScoredResponse, ...], dosed: tuple[DosedResponse, ...], model: Embedder | None) -> None:
    everybody = np.ones(len(dosed), dtype=bool)
    half = 2 * halves([one.request.query for one in dosed]) + halves([one.request.question for one in dosed])
    methods = np.array([one.method for one in dosed])
    splits = {
        "no dose": [(~everybody, everybody)],
        "other queries and items": [(half == 3 - quarter, half == quarter) for quarter in range(4)],
        "other methods": [(methods != method, methods == method) for method in dict.fromkeys(methods)],
    }
    pairs, doses = ordered_pairs(dosed), np.array([round(one.dose, 1) for one in dosed])
    described = describe_responses([one.request for one in dosed], model)
    print(
        f"{'fitted to':26} {'in order':>8}  coherence at dose " + " ".join(f"{dose:5.1f}" for dose in np.unique(doses))
    )
    for split, folds in splits.items():
        scores = np.zeros(len(dosed))
        for fitted, judged in folds:
            fit = Fitting(scored, model, tuple(one for one, kept in zip(dosed, fitted, strict=True) if kept))
            scores[judged] = fit.map_of("coherence")(fit.frame.columns(described))[judged]
        means = " ".join(f"{scores[doses == dose].mean():5.2f}" for dose in np.unique(doses))
        print(f"{split:26} {share_in_order(scores, pairs):8.3f}  {'':17} {means}", flush=True)
        for method in dict.fromkeys(methods):
            own = pairs[methods[pairs[:, 0]] == method]
            print(f"  {method:24} {share_in_order(scores, own):8.3f}", flush=True)


def release(source: str) -> str:
    return "_".join(source.split("_")[:2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", metavar="FILE=MAP")
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--without-embeddings", action="store_true")
    arguments = parser.parse_args()
    recordings, sweeps = told_apart(arguments.recordings)
    scored, dosed = read_scored(recordings), read_dosed(sweeps)
    model = None
    if not arguments.without_embeddings and not embedder_lacks():
        loaded = embedder()
        model = Remembering(loaded.identity, loaded.folder)
    if dosed:
        for variant in [None, model] if model else [None]:
            print("with embeddings" if variant else "without embeddings")
            report_doses(scored, dosed, variant)
    report(scored, dosed, arguments.resamples, model)


def report(
    scored: tuple[ScoredResponse, ...], dosed: tuple[DosedResponse, ...], resamples: int, model: Embedder | None
) -> None:
    table = Table(scored, resamples)
    fits = {"words": Fitting(scored, None, dosed), **({"embeddings": Fitting(scored, model, dosed)} if model else {})}
    splits = {
        "queries": [family(sample.request.query) for sample in scored],
        "questions": question_folds(scored),
        "methods": [sample.method for sample in scored],
        "files": [release(sample.source) for sample in scored],
    }
    heads = f"{'n':>5} {'rank':>6} {'95 %':14} {'within':>7} {'kappa':>6}"
    print(f"{'score':10} {'judge, left out':24} {'file':30} {heads}")
    length = np.array([-float(len(words(sample.request.response))) for sample in scored])
    for target in TARGETS:
        table.rows("constant", target, np.full(len(scored), 4.0))
        table.rows("length (shorter)", target, length)
        for name, fit in fits.items():
            for split, groups in splits.items():
                if len(set(groups)) > 1:
                    table.rows(f"{name}, {split}", target, fit.held_out(target, groups))
    best = list(fits.values())[-1]
    for split in ("queries", "questions"):
        print(f"\nby method, {split} left out\n{'':53} {'n':>6} {'rank':>8} {'recorded':>10} {'judged':>8}")
        for target in TARGETS:
            table.by_method(target, best.held_out(target, splits[split]))
    print()


if __name__ == "__main__":
    started = time.process_time()
    main()
    print(f"{time.process_time() - started:.0f} s of CPU")
