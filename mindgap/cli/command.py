"""What the commands around a study do alike: help, a user's mistake in one line, an end by Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from mindgap.core.errors import MindgapError


def command(
    given: Sequence[str] | None,
    run: Callable[[list[str]], int | None],
    *,
    text: str,
    stopped: str = "stopped.",
    bare: bool = False,
) -> int:
    """Run a command line; returns its exit code: what `run` gives (None = 0), 2 for a mistake, 130 for Ctrl-C.

    given: None = the arguments of this process. text: the help, shown for `--help`, and where there are no arguments
    unless the command can do without (`bare`). stopped: what is said after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if given is None else given)
    if any(argument in ("-h", "--help") for argument in arguments) or not (arguments or bare):
        sys.stdout.write(text + "\n")
        return 0 if arguments else 2
    try:
        return run(arguments) or 0
    except MindgapError as error:
        sys.stderr.write(f"mindgap: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"\nmindgap: {stopped}\n")
        return 130
