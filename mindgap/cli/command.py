"""What all commands around a study do alike: help, a user's mistake in one line, an end by Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from mindgap.cli.stderr import complain, mask_tracebacks
from mindgap.core.errors import MindgapError
from mindgap.storage.trouble import disk_trouble


def command(
    arguments: Sequence[str] | None,
    run: Callable[[list[str]], int | None],
    *,
    text: str,
    stopped: str = "stopped.",
    bare: bool = False,
) -> int:
    """Run a command line.

    Args:
        arguments: None = those of this process.
        run: Does the work; what it returns is the exit code, None = 0.
        text: The help, shown for `--help`, and where there are no arguments.
        stopped: What is said after Ctrl-C.
        bare: Whether the command can do without arguments.

    Returns:
        The exit code: that of `run`, 2 for a mistake, 130 for Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if any(word in ("-h", "--help") for word in words) or not (words or bare):
        sys.stdout.write(text + "\n")
        return 0 if words else 2
    return exit_code(lambda: run(words), stopped)


def exit_code(run: Callable[[], int | None], stopped: str = "stopped.") -> int:
    """What `run` returns, None = 0. What a user can mend is said on standard error and gives 2; Ctrl-C gives 130.

    Args:
        run: Does the work.
        stopped: What is said after Ctrl-C.
    """
    mask_tracebacks()
    try:
        return run() or 0
    except MindgapError as error:
        complain(error)
        return 2
    except OSError as error:
        if (said := disk_trouble(error)) is None:
            raise
        complain(said)
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"\nmindgap: {stopped}\n")
        return 130
