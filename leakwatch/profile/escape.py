"""Escapes untrusted text for terminals and reports.

Names of functions and labels come from the scraped services. They may contain control sequences, bidirectional
overrides, or a megabyte of text.
"""

import json
from typing import Final

MAX_LENGTH: Final = 400  # characters


def printable(text: str) -> str:
    """Return `text` escaped, on one line, and cut with … after MAX_LENGTH characters."""
    return escaped(text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…")


def escaped(text: str) -> str:
    r"""Return `text` with its unprintable characters, also newlines, as Python escapes them: \x1b."""
    return text if text.isprintable() else "".join(map(_escape, text))


def escaped_json(text: str) -> str:
    r"""Return JSON with its unprintable characters, except line ends, as JSON escapes them: \u001b."""
    return "\n".join(line if line.isprintable() else "".join(map(_escape_json, line)) for line in text.split("\n"))


def _escape(char: str) -> str:
    return char if char.isprintable() else ascii(char)[1:-1]


def _escape_json(char: str) -> str:
    return char if char.isprintable() else json.dumps(char)[1:-1]
