"""May one request carry both scores? Agreement of a judge asked once with the same judge asked for each score apart.

    python benchmarks/judge_one_request.py SAMPLES.parquet [...] [--each 100] [--judge llm] [judge.key=value ...]

SAMPLES are `samples.parquet` files of finished cells; from each, `--each` responses are drawn with a fixed seed. Every
response is judged three times: both scores in one request, one request each, and one request each again, which is how
far the judge agrees with itself. The first pair agrees well enough if it agrees about as well as the second; look at
the difference of the means too, since comparisons of methods rest on means. Takes five requests a response; their cost
is printed. Nothing is stored.
"""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from mindgap.core.build import build
from mindgap.core.compose import composed, config_folder
from mindgap.core.records import Judgement, JudgeRequest
from mindgap.judges.llm import LLMJudge
from mindgap.stats.agreement import quadratic_kappa, spearman
from mindgap.tasks.queries import QuerySet

SCORES = ("behaviour", "coherence")


def drawn(path: Path, count: int) -> list[JudgeRequest]:
    rows = pq.read_table(path, columns=["query", "prompt", "response"]).to_pylist()
    chosen = random.Random(0).sample([row for row in rows if row["response"].strip()], min(count, len(rows)))
    requests = []
    for row in chosen:
        (query,) = QuerySet("one", [row["query"]]).queries
        requests.append(JudgeRequest(query.text, query.rubric, row["prompt"], row["response"]))
    return requests


def values(judged: dict[int, Judgement], name: str) -> np.ndarray:
    """`[responses]`, NaN where missing."""
    scores = [getattr(judged[place], name).value for place in range(len(judged))]
    return np.array([math.nan if score is None else score for score in scores])


def line(head: str, a: np.ndarray, b: np.ndarray) -> str:
    both = ~(np.isnan(a) | np.isnan(b))
    gap = b[both] - a[both]
    error = gap.std(ddof=1) / math.sqrt(len(gap)) if len(gap) > 1 else math.nan
    same = np.mean(np.round(a[both]) == np.round(b[both])) if both.any() else math.nan
    return (
        f"{head:34}{both.sum():5}{same:9.2f}{quadratic_kappa(a, b):8.2f}{spearman(a, b):8.2f}"
        f"{gap.mean() if len(gap) else math.nan:+9.3f} ± {1.96 * error:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", nargs="+", help="samples.parquet files, and judge.key=value")
    parser.add_argument("--each", type=int, default=100)
    parser.add_argument("--judge", default="llm")
    arguments = parser.parse_args()
    overrides = [
        f"judge={arguments.judge}",
        *(argument for argument in arguments.samples if argument.startswith("judge.")),
    ]
    judge = build(composed(overrides, config_folder())["judge"], "judge")
    if not isinstance(judge, LLMJudge):
        parser.error(f"judge={arguments.judge} is no language model behind an API")
    if missing := judge.lacks():
        parser.error(f"judge={judge.name} cannot run here: it lacks {'; '.join(missing)}")
    files = [Path(argument) for argument in arguments.samples if not argument.startswith("judge.")]
    requests = [request for path in files for request in drawn(path, arguments.each)]
    together = dict(replace(judge, one_request=True).judge(requests))
    apart, again = (dict(replace(judge, one_request=False).judge(requests)) for _ in range(2))
    print(f"judge: {judge.name}, {len(requests)} responses")
    print(f"{'':34}{'n':>5}{'same':>9}{'kappa':>8}{'rank':>8}{'mean difference':>17}")
    for name in SCORES:
        print(line(f"{name}: apart, then in one", values(apart, name), values(together, name)))
        print(line(f"{name}: apart, then apart again", values(apart, name), values(again, name)))
    costs = [judgement.cost_usd for judged in (together, apart, again) for judgement in judged.values()]
    known = [cost for cost in costs if cost is not None]
    print(f"cost: {f'${sum(known):.4f}' if known else 'unknown'}")


if __name__ == "__main__":
    main()
