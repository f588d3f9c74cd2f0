"""`python -m mindgap.finish FOLDER`: sum up a sweep whose end was not reached, from what its cells have left."""

from __future__ import annotations

import sys
from pathlib import Path

from mindgap.cli.command import command

HELP = """\
mindgap.finish: sum up a sweep whose end was not reached: killed, or its jobs run by a cluster that outlived the command

usage: python -m mindgap.finish FOLDER

  FOLDER    the sweep, for example outputs/20261126-191652-942542

Writes summary.csv, comparison.json and report.html from the cells that are there, and names those that are not. A cell
that something still works on is left alone. Nothing is generated: the command of the sweep, with sweep=NAME, makes what
is missing. Exit codes: 0 all planned cells are there, 1 some are missing or failed, 2 there is nothing to sum up."""


def main(arguments: list[str] | None = None) -> int:
    """See HELP for the exit codes."""
    return command(arguments, _finish, text=HELP, stopped="stopped. The sweep is as it was.")


def _finish(words: list[str]) -> int:
    from mindgap.cli.console import console_for
    from mindgap.core.errors import ConfigError
    from mindgap.results.planned import PLANNED_FILE, read_planned
    from mindgap.results.sweep import NoSweepError
    from mindgap.study.claims import at_work
    from mindgap.study.sweep import end_sweep

    if len(words) != 1:
        raise ConfigError(f"give the folder of one sweep, not {' '.join(words) or 'nothing'}")
    folder = Path(words[0]).resolve()
    planned = read_planned(folder)
    if not planned:
        raise NoSweepError(f"{words[0]} is no sweep that was begun here: it has no {PLANNED_FILE}")
    console = console_for()
    running = at_work(folder)
    for name in running:
        console.print(f"still at work: {name}", markup=False, soft_wrap=True)
    settings = {**planned[0].config, "outputs": str(folder.parent), "sweep": folder.name}
    sweep = end_sweep(settings, console, running)
    complete = not running and all(cell.status == "finished" for cell in sweep.cells)
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
