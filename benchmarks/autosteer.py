"""Does Auto Steer raise each behaviour? By the judge, and by signs that neither steering nor judging has seen.

    python -m mindgap experiment=autosteer                    # control, prompt, autosteer, combined, random_features
    python benchmarks/autosteer.py outputs/<sweep>            # this table, query by query

Signs (see signals.yaml): *embedding* is how much nearer a reply's sentence embedding is to passages in the manner than
to plain ones; *specific* how much nearer than to passages in the manners of the other behaviours; *words* the share of
its words that are typical of the manner, in per cent (for "be concise", minus a hundredth of the number of words).
Differences are paired by item and epoch, with 95 % intervals over items. A star marks an interval that excludes zero,
in the direction the behaviour asks for.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from mindgap.analysis.samples import samples_of
from mindgap.stats.compare import compare_cells
from mindgap.text.embedding import embedder

SIGNS = ("behaviour", "embedding", "specific", "words")
COSTS = ("coherence", "loglik_correct", "repetition")
CONCISE = "be concise and direct"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--method", default="autosteer")
    parser.add_argument("--against", nargs="+", default=["control", "random_features"])
    options = parser.parse_args()

    files = sorted(options.sweep.glob("*/samples.parquet"))
    table = pa.concat_tables([pq.read_table(file) for file in files], promote_options="permissive")
    columns: dict[str, Any] = {name: table[name].to_pylist() for name in table.column_names}
    data = {name: columns[name] for name in ("query", "item", "epoch", "model", "method", "strength")}
    for name in ("behaviour", *COSTS):
        data[name] = np.array([np.nan if value is None else float(value) for value in columns[name]])
    data["embedding"], data["specific"], data["words"] = signs(columns)
    samples = samples_of(data)
    queries = list(dict.fromkeys(columns["query"]))

    print(f"{options.method}, {len(files)} cells, {len(columns['query'])} samples; difference [95 % interval]")
    rises = dict.fromkeys(SIGNS, 0)
    wanted = SIGNS + COSTS
    for query in queries:
        code = samples.queries.index(query)
        of_query = samples.only(samples.query == code)
        print(f"\n{query}")
        raised = dict.fromkeys(SIGNS, True)
        for reference in options.against:
            differences = compare_cells(of_query, reference, metrics=list(wanted), correction="none").differences
            rows = {
                difference.metric: difference.estimate
                for difference in differences
                if difference.cell.method == options.method
            }
            parts = []
            for name in wanted:
                estimate = rows[name]
                if estimate.value is None or estimate.low is None:
                    parts.append(f"{name} -")
                    raised[name] = False
                    continue
                star = "*" if estimate.low > 0 and name in SIGNS else " "
                parts.append(f"{name} {estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]{star}")
                if name in SIGNS:
                    raised[name] &= estimate.low > 0
            print(f"  over {reference:16} " + "  ".join(parts))
        for name in SIGNS:
            rises[name] += raised[name]
    print(
        f"\nqueries that rise over {' and '.join(options.against)}: " + ", ".join(f"{n} {c}" for n, c in rises.items())
    )


def signs(columns: Mapping[str, list[Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three signs of every sample, for the behaviour that its query asks for."""
    known = yaml.safe_load((Path(__file__).parent / "signals.yaml").read_text(encoding="utf-8"))
    model = embedder()
    plain = model.embed(known["plain"])
    manners = {query: model.embed(behaviour["exemplars"]) for query, behaviour in known["behaviours"].items()}
    replies = model.embed(columns["response"])
    near, specific, typical = [], [], []
    for query, reply, text in zip(columns["query"], replies, columns["response"], strict=True):
        own = float((manners[query] @ reply).mean())
        near.append(own - float((plain @ reply).mean()))
        others = [passages @ reply for other, passages in manners.items() if other != query]
        specific.append(own - float(np.mean(others)))
        words = re.findall(r"[a-z']+", text.lower())
        if query == CONCISE:
            typical.append(-len(words) / 100)
        else:
            stems = tuple(known["behaviours"][query]["words"])
            typical.append(100 * sum(word.startswith(stems) for word in words) / max(1, len(words)))
    return np.array(near), np.array(specific), np.array(typical)


if __name__ == "__main__":
    main()
