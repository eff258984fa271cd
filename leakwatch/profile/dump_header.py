"""Parses the first line of a goroutine in a full dump, and quotes lines without secrets."""

import re

from leakwatch.errors import MalformedProfile, quote
from leakwatch.profile.limits import MAX_LABELS
from leakwatch.profile.quoting import unquote

HEADER = re.compile(rb"goroutine (\d{1,18})(?: [a-z]+=\S+)* \[([^\],{]*)((?:, [^\],{]*)*)")
LABEL = re.compile(rb'(?:"((?:[^"\\]++|\\.)*+)"|([\w./]*)): (?:"((?:[^"\\]++|\\.)*+)"|([\w./]*))(?:, |(\}))')
SECRET = re.compile(rb"[({](?!\*).*", re.DOTALL)


def labels_of(header: bytes, offset: int, line: int) -> tuple[tuple[str, str], ...]:
    """Return the labels in `header` after `offset`: before the closing bracket (Go 1.26), or after it."""
    pairs: list[tuple[str, str]] = []
    if header.startswith((b"{", b"] {"), offset):
        offset = header.index(b"{", offset) + 1
        while len(pairs) < MAX_LABELS and (match := LABEL.match(header, offset)):
            key, plain_key, value, plain_value, end = match.groups()
            pairs.append((unquote(key or plain_key or b""), unquote(value or plain_value or b"")))
            offset = match.end()
            if end:
                break
    if header[offset:] not in {b"]:", b":"}:
        raise malformed("expected `goroutine N [state]:`", header, line)
    return tuple(sorted(pairs))


def malformed(expected: str, text: bytes, line: int) -> MalformedProfile:
    """Return the error for a line that differs from what is expected."""
    return MalformedProfile(f"line {line}: {expected}, found {redacted(text)}")


def redacted(text: bytes) -> str:
    """Return `text` in quotes, without argument words and labels."""
    return quote(SECRET.sub(b"...", text, count=1))
