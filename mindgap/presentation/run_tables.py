"""Says what was run: how to run it again, and how to cite it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mindgap.analysis.comparison import GroupComparison
from mindgap.core.columns import facts
from mindgap.core.wording import duration, plural
from mindgap.judges.prompts import INSTRUCTIONS, PROMPT_HASH
from mindgap.presentation.tables import Entry, Number, Table
from mindgap.results.cell import CellResult
from mindgap.results.naming import flat
from mindgap.results.runs import RunFacts
from mindgap.results.sweep import SweepResults

BLOCK = re.compile(r"\bblock (\d+)")
LONGEST = 600
"""Characters of a setting that are shown."""
BESIDE = ("name", "label", "_target_")
"""Keys of a group of settings that its own line tells, or that tell nothing to a reader."""


@dataclass(frozen=True)
class Copyable:
    """A text with a button that copies it.

    Attributes:
        key: Unique in the page.
        title: For people.
        text: What is copied.
    """

    key: str
    title: str
    text: str


def run_table(sweep: SweepResults, runs: Sequence[RunFacts]) -> Table:
    """When and where the sweep was run, by which versions, and what it took."""
    cells = [cell for cell in sweep.cells if cell.status == "finished"]
    rows: list[tuple[Entry, ...]] = []
    for run in runs:
        took = "stopped before its end" if run.seconds is None else duration(run.seconds)
        rows.append((f"Run of {_minute(run.began)}", f"{plural(run.cells, 'cell')}, {took}, on {run.machine}"))
    made = sum(cell.counts.get("made", 0) for cell in cells)
    known = sum(cell.counts.get("cached", 0) for cell in cells)
    seconds = sum(cell.seconds for cell in cells)
    if made or known:
        rows.append(
            ("Made", f"{made:,} replies and scores, {known:,} more from the store, {duration(seconds)} of work")
        )
    costs = [cell.judge_usd for cell in cells if cell.judge_usd is not None]
    rows.append(("Judging cost", f"${sum(costs):.4f}" if costs else "nothing, or unknown"))
    for run in runs[-1:]:
        rows.append(("Versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())))
    return Table("run", "The run", ("", ""), tuple(rows))


def settings_table(group: GroupComparison, runs: Sequence[RunFacts]) -> Table:
    """What all cells of a group have in common: model, task, decoding, judge, behaviours, seeds."""
    cell = group.reference.cell
    config = cell.config
    sources = dict.fromkeys(one.cell.source for one in group.cells if one.cell.source is not None)
    seeds = dict.fromkeys(str(run.config.get("seed", 0)) for one in group.cells for run in one.cell.runs)
    rows: list[tuple[Entry, ...]] = [
        ("Model", _told(cell.model, config.get("model"))),
        *([("Weights and template", "; ".join(sources))] if sources else []),
        ("Task", _told(_name(config.get("task")), config.get("task"))),
        ("Items", ", ".join(_some(dict.fromkeys(facts(cell.records, "item"))))),
        ("Behaviours", "; ".join(_some(dict.fromkeys(facts(cell.records, "query")), 40))),
        ("Decoding", _told("", config.get("decoding"))),
        ("Seeds", ", ".join(seeds)),
        ("Every cell", group.group.design),
        ("Backend", _told("", config.get("backend"))),
        ("Judge", _told(cell.judge, config.get("judge"))),
    ]
    identity = next((run.judges[cell.judge] for run in reversed(runs) if cell.judge in run.judges), None)
    if identity is not None:
        rows.append(("Judge, exactly", identity))
    if identity is not None and f"/{PROMPT_HASH}/" in identity:
        scales = re.search(r"/(both|behaviour\+coherence|behaviour|coherence)/", identity)
        prompts = [INSTRUCTIONS[name] for name in INSTRUCTIONS if scales and name in scales[1].split("+")]
        rows += [("Judge's prompt", prompt) for prompt in prompts]
    return Table("settings", "Settings of all cells", ("", ""), tuple((name, said or "–") for name, said in rows))


def cells_table(group: GroupComparison) -> Table:
    """What each cell did: its instruction, what was done in which blocks, and how much of it was made."""
    rows: list[tuple[Entry, ...]] = []
    for one in group.cells:
        cell = one.cell
        method = cell.config.get("method") or {}
        steering = [
            _told(str(node.get("_target_", "")).rpartition(".")[2], node) for node in method.get("interventions") or []
        ]
        rows.append(
            (
                one.name,
                _short(str(method.get("instruction") or "–")),
                _short("; ".join(steering) or "–"),
                _blocks(cell),
                Number("–" if cell.dose is None else f"{cell.dose:.3g}"),
                Number(f"{len(cell.records):,}"),
                Number(f"{cell.counts.get('made', 0):,}"),
                Number(f"{cell.seconds:.0f} s"),
            )
        )
    columns = ("cell", "Instruction", "Steering", "Blocks", "Dose", "Samples", "Made", "Took")
    note = "Blocks are counted from 0. Made: replies, option scores and judgements that the store did not have."
    return Table("cells", "Every cell", columns, tuple(rows), (note,))


def copyable(sweep: SweepResults, runs: Sequence[RunFacts]) -> tuple[Copyable, ...]:
    """The command that makes the sweep again, the one that writes the page again, and a citation."""
    from mindgap import __version__

    typed = [run.command for run in runs if run.command is not None]
    texts = [Copyable(f"command-{number}", "Command", command) for number, command in enumerate(dict.fromkeys(typed))]
    made_by = runs[-1].versions.get("mindgap", __version__) if runs else __version__
    year = runs[-1].began[:4] if runs else ""
    lines = [
        "@software{mindgap,",
        "  title = {mindgap: what a steered behaviour costs a language model in coherence and capability},",
        "  author = {{The mindgap developers}},",
        *([f"  year = {{{year}}},"] if year else []),
        f"  version = {{{made_by}}},",
        f"  note = {{sweep {sweep.name}}},",
        "}",
    ]
    return (*texts, Copyable("citation", "Citation (BibTeX)", "\n".join(lines)))


def _told(name: str, node: Any) -> str:
    """A group of settings in a line: its name, then its keys."""
    if not isinstance(node, Mapping):
        return name
    settings = flat({key: value for key, value in node.items() if key not in BESIDE and value is not None})
    if not name:
        name = str(node.get("name") or str(node.get("_target_", "")).rpartition(".")[2])
    told = ", ".join(f"{key}={value}" for key, value in settings.items() if value not in ("[]", "null", '""', "{}"))
    return _short(f"{name}: {told}" if name and told else name or told)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _name(node: Any) -> str:
    return (
        str(node.get("name") or str(node.get("_target_", "")).rpartition(".")[2]) if isinstance(node, Mapping) else ""
    )


def _some(names: Iterable[str], most: int = 12) -> list[str]:
    listed = list(names)
    return listed if len(listed) <= most else [*listed[:most], f"… {len(listed)} in all"]


def _blocks(cell: CellResult) -> str:
    edits = {edit for edits in facts(cell.records, "edits") for edit in edits}
    blocks = sorted({int(block) for edit in edits for block in BLOCK.findall(edit)})
    return ", ".join(map(str, blocks)) or "–"


def _minute(began: str) -> str:
    return began[:16].replace("T", " ") + " UTC"
