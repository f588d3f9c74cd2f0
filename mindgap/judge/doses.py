"""Reads sweeps over doses for the proxy judge: which replies differ in dose alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mindgap.core.errors import ConfigError

if TYPE_CHECKING:
    from mindgap.judges.proxy_doses import DosedResponse
    from mindgap.results.cell import CellResult
    from mindgap.results.sweep import Group


def read_dosed(folders: Sequence[str]) -> tuple[DosedResponse, ...]:
    """The replies of sweeps over doses, those to one (query, item, epoch) under one method in one series.

    Unsteered replies are dose 0 of every method whose replies were given to the same prompt. Empty replies are left
    out: that they are incoherent is no matter of fitting.

    Args:
        folders: Of finished sweeps.

    Raises:
        ConfigError: A folder has no two replies of a series at clearly different doses.
        NoSweepError: A folder is no sweep.
    """
    from mindgap.judges.proxy_doses import CLEARLY, ordered_pairs
    from mindgap.results.sweep import read_sweep

    dosed: list[DosedResponse] = []
    for folder in folders:
        found = [response for group in read_sweep(Path(folder)).groups for response in _of_group(group)]
        if not len(ordered_pairs(found)):
            raise ConfigError(
                f"doses={folder}: no two replies differ by {CLEARLY} or more in dose alone. Sweep over doses: "
                "python -m mindgap method=control,vector strength=dose strength.dose=0.4,0.8,1.2 -m"
            )
        dosed += found
    return tuple(dosed)


def _of_group(group: Group) -> Iterator[DosedResponse]:
    from mindgap.judges.proxy_doses import DosedResponse
    from mindgap.results.judgements import judge_requests

    families: dict[str, list[CellResult]] = {}
    unsteered = []
    for cell in group.finished:
        if cell.dose:
            families.setdefault(group.family(cell), []).append(cell)
        else:
            unsteered.append(cell)
    for family, cells in families.items():
        given = set()
        for cell in (*cells, *unsteered):
            requests = judge_requests(cell)
            for record in cell.records:
                prompt = (record.query, record.item, record.epoch, record.system_prompt)
                if cell.dose:
                    given.add(prompt)
                if prompt in given and record.response.strip() and record.key in requests:
                    series = (str(cell.folder.parent), group.title, family, *prompt)
                    yield DosedResponse(series, family, abs(record.dose or 0.0), requests[record.key])
