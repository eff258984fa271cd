"""What is written to standard output as text: coloured on a terminal, plain where it is piped.

NO_COLOR and FORCE_COLOR are honoured; nothing from elsewhere reaches a terminal as it is.
"""

import io
import sys

from rich.console import Console, RenderableType
from rich.text import Text

from leakwatch.profile.escape import printable

WIDEST = 240  # columns of a table that is piped


def console(piped_width: int = WIDEST) -> Console:
    """Return a console on standard output: as wide as the terminal, or `piped_width`."""
    terminal = sys.stdout.isatty()
    return Console(width=None if terminal else piped_width, highlight=False, soft_wrap=False)


def recorder(piped_width: int = WIDEST) -> Console:
    """Return a console that keeps what standard output is to get, for `recorded`."""
    terminal = sys.stdout.isatty()
    width = None if terminal else piped_width
    return Console(file=io.StringIO(), force_terminal=terminal or None, width=width, highlight=False)


def recorded(console: Console) -> str:
    """Return what a recorder got, without spaces at the ends of lines."""
    if not isinstance(console.file, io.StringIO):
        raise TypeError("only a recorder keeps what it gets")
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def fits(console: Console, what: RenderableType) -> bool:
    """Tell whether `what` is as wide as it wants to be."""
    needed = console.measure(what, options=console.options.update(max_width=WIDEST)).maximum
    return not sys.stdout.isatty() or needed <= console.width


def styled(text: str, style: str = "") -> Text:
    """Return text from elsewhere to be shown: brackets in it are no markup, nothing in it steers a terminal."""
    return Text(printable(text), style)
