"""Where people read: a console that shows what others wrote and obeys nothing of it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from mindgap.core.characters import printable


class HarmlessConsole(Console):
    """Spells out what a terminal would obey, wherever in a table or a line it stands; its own colours stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `Console.render`, which everything passes."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def console_for(quiet: bool = False, width: int = 140) -> Console:
    """A console on standard output; lines are not folded at 80 columns when nobody's terminal says so.

    Args:
        quiet: Show nothing.
        width: Columns where there is no terminal.
    """
    console = HarmlessConsole(highlight=False, quiet=quiet)
    return console if console.is_terminal else HarmlessConsole(highlight=False, quiet=quiet, width=width)
