"""Errors that a user can mend: their message is shown without a traceback."""

import difflib
from collections.abc import Iterable

from mindgap.core.secrets import excerpt, mask_text


class MindgapError(Exception):
    """Base of all errors that a user can mend. The message says what is wrong, where, and what would work.

    It is masked: it may quote a setting, an address, or what a server said.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(mask_text(message))


class ConfigError(MindgapError):
    """A setting that cannot be right: found before anything is spent. Exit code 2."""


class PromptError(MindgapError):
    """Messages that a model cannot be given: its chat template refuses them, or leaves out what they say."""


class UnavailableError(MindgapError):
    """Something this machine lacks: weights, a key, an extra, memory."""


def first_line(error: BaseException, longest: int | None = None) -> str:
    """The first line of what an error says, at most `longest` characters of it, masked."""
    line = next(iter(str(error).strip().splitlines()), "no reason was given")
    return mask_text(line) if longest is None else excerpt(line, longest)


def did_you_mean(name: str, known: Iterable[str], listed: Iterable[str] | None = None) -> str:
    """What may have been meant by a name that there is not, or else all names there are.

    Args:
        name: What was written.
        known: What could have been.
        listed: What is listed where nothing is near; None = `known`.
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {near[0]}?" if near else f"There are: {', '.join(names if listed is None else listed)}"
