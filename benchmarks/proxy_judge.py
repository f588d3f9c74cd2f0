"""How far the proxy judge agrees with recorded scores that it has not seen.

    python benchmarks/proxy_judge.py FILE=MAP [FILE=MAP ...] [--resamples 300] [--without-embeddings]

Recordings and column maps as in `python -m mindgap.judge.calibrate`. Everything that sees scores is refitted for
every fold, so no response is scored by a calibration that saw its score. Splits: `queries` = every query (and its
rewordings) left out in turn; `questions` = every fifth of the questions left out, queries known; `methods` = every
method left out in turn; `files` = trained on the files of another release, judged on this one (the release is the
file's name up to its second `_`). Printed per split and file: Spearman's rank correlation with its 95 % interval
(queries and items resampled), the same within queries, that is after each query's mean rank is taken away, and
quadratic-weighted kappa. Then rank correlation by method, and the mean score of each method as recorded and as
judged.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from mindgap.judge.calibrate import read_scored
from mindgap.judges.proxy_design import normal
from mindgap.judges.proxy_fit import Fitting, ScoredResponse, family, question_folds
from mindgap.stats.agreement import agreement, quadratic_kappa
from mindgap.text.embedding import embedder, embedder_lacks
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


def release(source: str) -> str:
    return "_".join(source.split("_")[:2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", metavar="FILE=MAP")
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--without-embeddings", action="store_true")
    arguments = parser.parse_args()
    scored = read_scored(arguments.recordings)
    report(scored, arguments.resamples, not arguments.without_embeddings and not embedder_lacks())


def report(scored: tuple[ScoredResponse, ...], resamples: int, embeds: bool) -> None:
    table = Table(scored, resamples)
    fits = {"words": Fitting(scored, None), **({"embeddings": Fitting(scored, embedder())} if embeds else {})}
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
