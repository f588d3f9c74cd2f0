"""Agreement of the proxy judge with scores that were recorded elsewhere.

    python benchmarks/proxy_judge.py RECORDING.csv.gz [RECORDING.csv.gz ...] [--each 40]

A recording has the columns query, user_prompt, response, behavior and coherence (1-5; others are left out). From each,
`--each` responses are drawn with a fixed seed and judged by the embedded model. Printed is Spearman's rank correlation
with the recorded scores: over all, and within queries, that is after each query's mean rank is taken away, which is
what comparing methods needs. The proxy's constants were set by eye on responses of the same recordings, so this is not
a held-out figure.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import random
from collections import defaultdict
from pathlib import Path

import numpy as np

from mindgap.backends.base import ModelSpec
from mindgap.judges.proxy import ProxyJudge
from mindgap.queries import QuerySet
from mindgap.records import JudgeRequest

SCORES = ("behavior", "coherence")
Row = dict[str, str]


def rows(path: Path, count: int) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        usable = [row for row in csv.DictReader(file) if all(_is_score(row[name]) for name in SCORES)]
    return random.Random(0).sample(usable, min(count, len(usable)))


def _is_score(text: str) -> bool:
    return text.replace(".", "", 1).isdigit() and 1 <= float(text) <= 5


def spearman(ours: np.ndarray, theirs: np.ndarray, queries: list[str] | None = None) -> float:
    from scipy import stats

    a, b = stats.rankdata(ours), stats.rankdata(theirs)
    if queries is not None:
        places = defaultdict(list)
        for place, query in enumerate(queries):
            places[query].append(place)
        for mine in places.values():
            a[mine] -= a[mine].mean()
            b[mine] -= b[mine].mean()
    return float(np.corrcoef(a, b)[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--each", type=int, default=40)
    arguments = parser.parse_args()
    judge = ProxyJudge(reader=ModelSpec(name="tiny", embedded=True))
    drawn = {path.name: rows(path, arguments.each) for path in arguments.recordings}
    everything = [row for some in drawn.values() for row in some]
    requests = []
    for row in everything:
        (query,) = QuerySet(name="one", queries=[row["query"]]).queries
        requests.append(JudgeRequest(query.text, query.rubric, row["user_prompt"], row["response"]))
    judged = dict(judge.judge(requests))
    places = {"all": list(range(len(everything)))}
    first = 0
    for name, some in drawn.items():
        places[name] = list(range(first, first + len(some)))
        first += len(some)
    print(f"{'':34}{'n':>5}{'behaviour':>11}{'within':>8}{'coherence':>11}{'within':>8}")
    for name, mine in places.items():
        line = f"{name:34}{len(mine):5}"
        for score, recorded in (("behaviour", "behavior"), ("coherence", "coherence")):
            both = [place for place in mine if getattr(judged[place], score).value is not None]
            ours = np.array([getattr(judged[place], score).value for place in both])
            theirs = np.array([float(everything[place][recorded]) for place in both])
            queries = [everything[place]["query"] for place in both]
            line += f"{spearman(ours, theirs):11.2f}{spearman(ours, theirs, queries):8.2f}"
        print(line)


if __name__ == "__main__":
    main()
