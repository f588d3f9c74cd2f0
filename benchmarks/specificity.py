"""Does a steering method do what it was told, or what everything is told? On behaviours that nothing was tuned on.

    python benchmarks/specificity.py autosteer vector                      # names of conf/method
    python benchmarks/specificity.py 'autosteer most=4' --damage 0.5       # with settings of the intervention

Every method makes edits for each of the thirty behaviours of behaviours.yaml and for the nonsense queries. The edits
are scaled until the unsteered model's own replies to prompts that nothing else uses lose `--damage` nats per token;
`--damage native` leaves them as the method makes them. Every steered model answers the same open questions. Every reply
is scored for every behaviour (signs.py), so that the same texts give each behaviour its nulls: no steering, random
features, and the mean of the *other behaviours' edits*, which shows what any instruction would have done.
A method that asks in words
(`prompt`) is asked as it stands. Differences are paired by question; p-values are of t tests, corrected over all
behaviours and nulls of a sign (Benjamini and Hochberg).

Replies and scores are kept in `--scratch`, so that a stopped run goes on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from signs import Behaviours, embedding_signs, read_behaviours, told_signs, word_signs

from mindgap.backends.base import SteerableEndpoint
from mindgap.backends.fetch import completions, option_scores
from mindgap.core.build import build
from mindgap.core.compose import composed, config_folder
from mindgap.core.edits import Declined, Edit
from mindgap.core.keys import content_key
from mindgap.core.records import Decoding, JudgeRequest, Message, OptionsRequest, Query, Request
from mindgap.judges.proxy import ProxyJudge
from mindgap.stats.bootstrap import crossed_mean
from mindgap.stats.crossed import CrossedTable
from mindgap.stats.significance import adjust, no_difference
from mindgap.steering.bench import SteeringBench
from mindgap.steering.methods import Method
from mindgap.storage.store import Store
from mindgap.tasks.questions import OpenQuestions
from mindgap.text.words import pieces, repetition

SIGNS = ("embedding", "words", "told")
NULLS = ("control", "random", "others")
CONTROL, RANDOM = "control", "random_features"
DAMAGE_PROMPTS = 4
"""Open questions by which damage is measured: those after the ones that are answered."""
ROUNDS = 2
STRONGEST = 3.0
"""Edits are scaled by no more than this in a round."""
CLOSE = 1.2
"""Edits whose damage is within this factor of the limit are left as they are."""
OTHERS_TOLD = 2
"""The costly sign is taken of the replies of so many other behaviours."""
ALPHA = 0.05


@dataclass(frozen=True)
class Cell:
    """Replies of one method to one query, which is "" for no steering.

    Attributes:
        asks: The method whose instruction is given; None = none.
        damage: Of the edits on unrelated text, nats per token.
        replies: One a question; empty until they are made.
    """

    method: str
    query: str
    edits: tuple[Edit, ...]
    damage: float = 0.0
    asks: Method | None = None
    replies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One behaviour, sign and null: the mean difference over questions, its interval, and its corrected p-value."""

    behaviour: str
    sign: str
    null: str
    value: float
    low: float
    high: float
    p: float

    @property
    def rises(self) -> bool:
        return self.value > 0 and self.low > 0 and self.p < ALPHA


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+", help="conf/method names, each with settings of its intervention")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--damage", default="1", help="nats per token, or `native`")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--behaviours", type=Path, default=Path(__file__).parent / "behaviours.yaml")
    parser.add_argument("--scratch", type=Path, default=Path("outputs/specificity"))
    parser.add_argument("--replies", action="store_true", help="print a reply of every behaviour")
    options = parser.parse_args()

    behaviours = read_behaviours(options.behaviours)
    (bench,) = benches_of(options, [options.seed])
    queries = [one.query for one in behaviours.known] + [str(query) for query in behaviours.others.get("nonsense", ())]
    limit = None if options.damage == "native" else float(options.damage)
    questions = open_questions()[: options.prompts]

    cells = [Cell(CONTROL, "", ())]
    for name in dict.fromkeys([RANDOM, *options.methods]):
        began = time.monotonic()
        method = method_of(name)
        if not method.steers:
            cells += [Cell(name, query, (), asks=method) for query in queries]
            continue
        made = edits_of(method, queries, bench)
        declined = [query for query, edits in made.items() if not edits]
        print(
            f"{name}: {time.monotonic() - began:.0f} s for {len(queries)} queries; declined: {declined or 'none'}",
            flush=True,
        )
        asks = method if method.instruction else None
        cells += [replace(cell, asks=asks) for cell in calibrated(name, made, limit, bench)]
    cells = answered(cells, questions, options, bench)
    signs = score(cells, behaviours, bench, len(questions))
    for name in options.methods:
        report(name, cells, signs, behaviours, bench, questions, with_replies=options.replies)


def benches_of(options: argparse.Namespace, seeds: Sequence[int]) -> list[SteeringBench]:
    """A bench of `--model` for each seed, on the store in `--scratch`."""
    options.scratch.mkdir(parents=True, exist_ok=True)
    store = Store(options.scratch / "store.sqlite")
    node = composed([f"model={options.model}", "backend=local"], config_folder())
    endpoint = build(node["backend"], "backend").open(build(node["model"], "model"))
    return [SteeringBench(endpoint, store, seed) for seed in seeds]


def method_of(name: str) -> Method:
    """A method of `conf/method`, with settings of its intervention behind the name."""
    option, *settings = name.split()
    overrides = [f"method.interventions.0.{setting}" for setting in settings]
    method: Method = build(composed([f"method={option}", *overrides], config_folder())["method"], "method")
    return method


def edits_of(method: Method, queries: Sequence[str], bench: SteeringBench) -> dict[str, tuple[Edit, ...]]:
    """A method's edits for each query, none where it declines."""
    made = method.edits([Query(query, "") for query in queries], bench)
    for edits in made:
        if isinstance(edits, Declined):
            print(f"  {edits.reason}")
    return {query: () if isinstance(edits, Declined) else edits for query, edits in zip(queries, made, strict=True)}


def open_questions() -> list[str]:
    """The questions of `task=open`, subjects in turn."""
    task: OpenQuestions = build(composed(["task=open"], config_folder())["task"], "task")
    return [item.question for item in task.load()]


def calibrated(
    name: str, made: Mapping[str, tuple[Edit, ...]], limit: float | None, bench: SteeringBench
) -> list[Cell]:
    """The edits scaled until they do the damage, or as they are; damage goes about with the square of the strength."""
    queries = [query for query, edits in made.items() if edits]
    edits = [made[query] for query in queries]
    damages = damage(edits, bench)
    for _ in range(ROUNDS if limit is not None else 0):
        assert limit is not None
        off = [n for n, lost in enumerate(damages) if not 1 / CLOSE <= lost / limit <= CLOSE]
        for n in off:
            factor = float(np.clip((limit / max(damages[n], 0.01)) ** 0.5, 1 / STRONGEST, STRONGEST))
            edits[n] = tuple(edit.scaled(factor) for edit in edits[n])
        for n, lost in zip(off, damage([edits[n] for n in off], bench), strict=True):
            damages[n] = lost
    return [Cell(name, query, row, lost) for query, row, lost in zip(queries, edits, damages, strict=True)]


def damage(edits: Sequence[tuple[Edit, ...]], bench: SteeringBench) -> list[float]:
    """Estimated Kullback-Leibler divergence from the unsteered model, nats per token of what that model samples."""
    identity = bench.endpoint.identity
    prompts = [(Message("user", question),) for question in open_questions()[-DAMAGE_PROMPTS:]]
    drawn = [
        Request(identity, prompt, Decoding(48, 1.0, 1.0), int(content_key("damage", number=number)[:15], 16))
        for number, prompt in enumerate(prompts)
    ]
    replies = completions(drawn, bench.endpoint, bench.store)
    rows: list[tuple[Edit, ...]] = [(), *edits]
    asked = [
        [OptionsRequest(identity, request.messages, (replies[request.key].text,), row) for request in drawn]
        for row in rows
    ]
    scores = option_scores([request for row in asked for request in row], bench.endpoint, bench.store)
    means = [float(np.mean([scores[request.key].per_token()[0] for request in row])) for row in asked]
    return [means[0] - mean for mean in means[1:]]


def answered(cells: Sequence[Cell], questions: Sequence[str], options: Any, bench: SteeringBench) -> list[Cell]:
    """The cells with a reply to every question; all of them are one batch, and draw the same random numbers."""
    decoding = Decoding(options.tokens, 0.6, 0.9)
    asked = [
        [
            Request(bench.endpoint.identity, prompt(cell, question), decoding, number, cell.edits)
            for number, question in enumerate(questions)
        ]
        for cell in cells
    ]
    replies = completions([request for row in asked for request in row], bench.endpoint, bench.store)
    return [
        replace(cell, replies=tuple(replies[request.key].text.strip() for request in row))
        for cell, row in zip(cells, asked, strict=True)
    ]


def prompt(cell: Cell, question: str) -> tuple[Message, ...]:
    """The question, with the method's instruction where it gives one."""
    plain = (Message("user", question),)
    return plain if cell.asks is None else cell.asks.messages(plain, Query(cell.query, ""))


def score(cells: Sequence[Cell], behaviours: Behaviours, bench: SteeringBench, questions: int) -> dict[str, np.ndarray]:
    """Each sign of every cell's replies for every behaviour: `[cells, questions, behaviours]`."""
    replies = [reply for cell in cells for reply in cell.replies]
    known = [one.query for one in behaviours.known]
    wanted = np.zeros((len(cells), len(known)), dtype=bool)
    for number, cell in enumerate(cells):
        if cell.query not in known:  # control, nonsense
            wanted[number] = True
            continue
        own = known.index(cell.query)
        steps = [0] if cell.method == RANDOM else [0, *range(1, len(known), max(1, len(known) // OTHERS_TOLD))]
        wanted[number, [(own + step) % len(known) for step in steps]] = True
    every = np.repeat(wanted, questions, axis=0)
    endpoint = cast(SteerableEndpoint, bench.endpoint)
    signs = {
        "embedding": embedding_signs(replies, behaviours),
        "words": word_signs(replies, behaviours),
        "told": told_signs(replies, every, behaviours, endpoint, bench.store),
    }
    return {name: values.reshape(len(cells), questions, -1) for name, values in signs.items()}


def differences(
    method: str, cells: Sequence[Cell], values: np.ndarray, behaviours: Behaviours
) -> dict[tuple[str, str], np.ndarray]:
    """For each behaviour and null, its own edits' sign less the null's: `[questions]`. Also against nonsense."""
    known = [one.query for one in behaviours.known]
    place = {(cell.method, cell.query): number for number, cell in enumerate(cells)}
    mine = {query: number for (name, query), number in place.items() if name == method}
    found: dict[tuple[str, str], np.ndarray] = {}
    for column, query in enumerate(known):
        if query not in mine:
            continue
        own = values[mine[query], :, column]
        others = [number for other, number in mine.items() if other in known and other != query]
        nonsense = [number for other, number in mine.items() if other not in known]
        nulls = {
            "control": values[place[CONTROL, ""], :, column],
            "random": values[place[RANDOM, query], :, column],
            "others": np.nanmean(values[others, :, column], axis=0),
        }
        if nonsense:
            nulls["nonsense"] = values[nonsense, :, column].mean(0)
        found |= {(query, null): own - level for null, level in nulls.items()}
    return found


def rows_of(method: str, cells: Sequence[Cell], signs: Mapping[str, np.ndarray], behaviours: Behaviours) -> list[Row]:
    """Every behaviour, sign and null, corrected over the behaviours and nulls of a sign."""
    rows = []
    for sign, values in signs.items():
        found = differences(method, cells, values, behaviours)
        estimates = {
            spot: crossed_mean(difference, [0] * len(difference), range(len(difference)), resamples=2000)
            for spot, difference in found.items()
        }
        tests = [
            no_difference(CrossedTable(difference[None], np.ones((1, len(difference))))).p
            for difference in found.values()
        ]
        for (spot, estimate), p in zip(estimates.items(), adjust(tests, "bh"), strict=True):
            value, low, high = (np.nan if x is None else x for x in (estimate.value, estimate.low, estimate.high))
            rows.append(Row(spot[0], sign, spot[1], value, low, high, 1.0 if p is None else p))
    return rows


def report(
    method: str,
    cells: Sequence[Cell],
    signs: Mapping[str, np.ndarray],
    behaviours: Behaviours,
    bench: SteeringBench,
    questions: Sequence[str],
    *,
    with_replies: bool,
) -> None:
    """Print one method's table: every behaviour, each sign less each null; bold where it rises over all three."""
    rows = {(row.behaviour, row.sign, row.null): row for row in rows_of(method, cells, signs, behaviours)}
    mine = [cell for cell in cells if cell.method == method and cell.query in {one.query for one in behaviours.known}]
    print(f"\n## {method}\n")
    print("| query | " + " | ".join(SIGNS) + " | damage | coherence | repetition |")
    print("|---" * (len(SIGNS) + 4) + "|")
    rises = dict.fromkeys(SIGNS, 0)
    level = {null: dict.fromkeys(SIGNS, 0) for null in (*NULLS, "nonsense")}
    for one in behaviours.known:
        cell = next((cell for cell in mine if cell.query == one.query), None)
        if cell is None:
            print(f"| {one.query} | declined |")
            continue
        columns = []
        for sign in SIGNS:
            of = {null: rows.get((one.query, sign, null)) for null in level}
            all_three = all(of[null].rises for null in NULLS)  # type: ignore[union-attr]
            rises[sign] += all_three
            for null, row in of.items():
                level[null][sign] += row is not None and row.rises
            said = ", ".join(f"{of[null].value:+.{2 if sign != 'words' else 1}f}" for null in NULLS)  # type: ignore[union-attr]
            columns.append(f"**{said}**" if all_three else said)
        coherence, repeated = quality(cell, questions)
        print(f"| {one.query} | {' | '.join(columns)} | {cell.damage:.2f} | {coherence:.2f} | {repeated:.2f} |")
    for null, counts in level.items():
        if not any(row.null == null for row in rows.values()):
            continue
        print(f"| *rise over {null}* | " + " | ".join(str(counts[sign]) for sign in SIGNS) + " | | | |")
    print("| *rise over control, random and others* | " + " | ".join(f"**{rises[s]}**" for s in SIGNS) + " | | | |")
    several = sum(
        sum(all(rows[one.query, s, null].rises for null in NULLS) for s in SIGNS) >= 2
        for one in behaviours.known
        if any(cell.query == one.query for cell in mine)
    )
    print(f"by two signs at least: {several}")
    for sign in SIGNS:
        means = [
            float(np.mean([row.value for row in rows.values() if row.sign == sign and row.null == null]))
            for null in NULLS
        ]
        print(f"mean {sign}: " + ", ".join(f"{m:+.3f} over {null}" for m, null in zip(means, NULLS, strict=True)))
    reference = [cell for cell in cells if cell.method == CONTROL]
    for name, group in {"control": reference, RANDOM: [c for c in cells if c.method == RANDOM], method: mine}.items():
        scored = np.array([quality(cell, questions) for cell in group])
        lost = np.mean([cell.damage for cell in group])
        print(f"{name}: damage {lost:.2f}, coherence {scored[:, 0].mean():.2f}, repetition {scored[:, 1].mean():.3f}")
    if with_replies:
        for cell in mine:
            print(f"- {cell.query}: {cell.replies[0][:160]!r}")


def quality(cell: Cell, questions: Sequence[str]) -> tuple[float, float]:
    """Mean coherence by the proxy judge, and mean repetition."""
    requests = [
        JudgeRequest(cell.query or "be helpful", "", q, r) for q, r in zip(questions, cell.replies, strict=True)
    ]
    scores = [judgement.coherence.value for _, judgement in ProxyJudge().judge(requests)]
    present = [value for value in scores if value is not None]
    return float(np.mean(present)), float(np.mean([repetition(pieces(reply)) for reply in cell.replies]))


if __name__ == "__main__":
    main()
