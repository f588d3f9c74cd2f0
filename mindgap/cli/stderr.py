"""What goes to standard error: without secrets, and harmless to a terminal."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

from mindgap.core.characters import printable
from mindgap.core.secrets import mask_text


def complain(mistake: object) -> None:
    """Say what a user can mend."""
    sys.stderr.write(f"mindgap: {printable(mask_text(str(mistake)))}\n")


def print_traceback(error: BaseException) -> None:
    """What Python says of a fault of ours."""
    sys.stderr.write(printable(mask_text("".join(traceback.format_exception(error)))))


def mask_tracebacks() -> None:
    """From now on, what nothing else catches ends this process with a traceback of that kind."""
    sys.excepthook = _uncaught


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print_traceback(error)
