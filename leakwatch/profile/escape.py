"""Makes text from elsewhere fit to be shown to a person: on a terminal, in a report. Pure.

Names come from the services that are watched, and may be made to be anything: what steers a terminal, what turns
the direction of writing, a megabyte.
"""

from typing import Final

LONGEST: Final = 400  # characters of a name


def printable(text: str) -> str:
    """Return `text` on one line, escaped, and cut with … where it is longer than any honest name."""
    return escaped(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")


def escaped(text: str) -> str:
    r"""Return `text` with what cannot be printed, line ends too, as Python writes it: \x1b."""
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(char: str) -> str:
    return char if char.isprintable() else ascii(char)[1:-1]
