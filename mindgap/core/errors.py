"""Errors that a user can mend: their message is shown without a traceback."""


class MindgapError(Exception):
    """Base of all errors that a user can mend. The message says what is wrong, where, and what would work."""


class ConfigError(MindgapError):
    """A setting that cannot be right: found before anything is spent. Exit code 2."""


class PromptError(MindgapError):
    """Messages that a model cannot be given: its chat template refuses them, or leaves out what they say."""


class UnavailableError(MindgapError):
    """Something this machine lacks: weights, a key, an extra, memory."""


def first_line(error: BaseException, longest: int | None = None) -> str:
    """The first line of what an error says, at most `longest` characters of it."""
    return next(iter(str(error).strip().splitlines()), "no reason was given")[:longest]
