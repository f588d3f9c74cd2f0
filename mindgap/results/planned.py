"""What a sweep set out to make, written before any of it is made: a cell that is lost leaves no file of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mindgap.core.moved import with_current_names
from mindgap.results.cell import CellResult
from mindgap.results.masking import without_secrets
from mindgap.storage.atomic import replacing

PLANNED_FILE = "planned.json"
FIELDS = ("name", "sweep", "model", "method", "label", "strength", "judge", "config")
LOST = (
    "no result: the job of this cell ended before the cell did (killed, out of memory, out of time?). The same command "
    "makes it, and pays for nothing twice"
)


def write_planned(folder: Path, cells: Sequence[CellResult]) -> None:
    """Write down the cells of the sweep in `folder`, in their order, secrets masked."""
    plain = [{name: getattr(cell, name) for name in FIELDS} for cell in map(without_secrets, cells)]
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / PLANNED_FILE) as path:
        path.write_text(json.dumps(plain, indent=1, ensure_ascii=False, default=str), encoding="utf-8")


def read_planned(folder: Path) -> tuple[CellResult, ...]:
    """The planned cells in their order, each as it is if nothing comes of it; none where nothing was written down."""
    try:
        plain = json.loads((folder / PLANNED_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    return tuple(
        CellResult(
            **{**cell, "config": with_current_names(cell["config"])},
            status="failed",
            reason=LOST,
            folder=folder / cell["name"],
        )
        for cell in plain
    )
