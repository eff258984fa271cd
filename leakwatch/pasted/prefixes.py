"""Removes what a log, a mail or a comment writes before each line.

A prefix is learned from lines with a known beginning: the first line of a goroutine, its creator, or a group.
Other lines have the same prefix if they differ from it only in digits and in the names of months and days.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from leakwatch.pasted.shapes import anchor
from leakwatch.profile.quoting import unquote

TOKEN: Final = re.compile(rb"\d+(?:[.,]\d+)*|[A-Za-z]+| +|[^A-Za-z\d ]")
DATES: Final = frozenset(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec Mon Tue Wed Thu Fri Sat Sun".split())
ENDS: Final = b' \t:|>])/#;-*+"'
"""Last bytes of prefixes."""
MAX_LENGTH: Final = 400
MAX_TEMPLATES: Final = 12
NAMES: Final = (
    (re.compile(rb"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S{1,100} \S{1,100}: ?"), "a journald log"),
    (re.compile(rb"\d{4}-\d\d-\d\d[T ]\S{8,40} \S{1,100} (?:[A-Z]{4,8} )?\S{1,100}\[\d+\]: ?"), "a syslog"),
    (re.compile(rb"\[?[A-Za-z]{2,8}\]?[: ]*\d{4}[-/]\d\d[-/]\d\d.*"), "a log"),
    (re.compile(rb"[VDIWEF]/.{0,60}\( *\d+\): ?"), "logcat"),
    (re.compile(rb"\d\d-\d\d \d\d:\d\d:\d\d\.\d+ +\d+ +\d+ [VDIWEF] .{0,60}: ?"), "logcat"),
    (re.compile(rb"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ .{0,200}"), "a log of klog"),
    (re.compile(rb"\[pod/.{0,300}\] ?.*"), "a log of kubectl"),
    (re.compile(rb"[\w./-]{1,200} +\| .{0,100}"), "a log of docker compose"),
    (re.compile(rb"\d{4}-\d\d-\d\dT[0-9:.+Z-]{5,40} ?"), "a log with timestamps"),
    (re.compile(rb"(?:> ?)+"), "a quotation"),
    (re.compile(rb"(?://|#|\*|;|--) ?"), "comments"),
)
SOURCE: Final = re.compile(rb"(\S{1,100}\[\d{1,10}\]): ?$")
TIME: Final = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?(?!\d)")
ESCAPE: Final = re.compile(rb'\\.|"')
STERN: Final = re.compile(rb"[a-z0-9][a-z0-9.-]{0,200}-[a-z0-9]{5} [a-z0-9][a-z0-9-]{0,62} ")
CLOCK: Final = re.compile(rb"(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d[0-9.,Z+:-]*")
LETTERS: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
POD: Final = re.compile(rb"\[pod/[^\]]{1,300}\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The tokens of a prefix, the spaces at its end, and the name of what writes it."""

    tokens: tuple[bytes, ...]
    spaces: bytes
    name: str

    def end(self, line: bytes) -> int:
        """Return the length of the prefix in `line`, -1 if it is missing."""
        i = end = 0
        tokens = self.tokens
        for match in TOKEN.finditer(line, 0, MAX_LENGTH):
            if i == len(tokens):
                break
            if _class(match[0]) != tokens[i]:
                return -1
            i, end = i + 1, match.end()
        if i < len(tokens):
            return -1
        if line.startswith(self.spaces, end):
            return end + len(self.spaces)
        return end if not line[end:].strip() else -1


class Prefixes:
    """The prefixes of a text."""

    def __init__(self, lines: Iterable[tuple[int, bytes]]) -> None:
        self._lines: Counter[str] = Counter()
        """Number of lines by the name of what writes their prefix."""
        self._templates: list[Template] = []
        templates: set[Template] = set()
        for _, line in lines:
            start = anchor(line)
            if start > 0 and len(templates) < MAX_TEMPLATES:
                self._learn(line[:start], templates)
        self._templates = sorted(templates, key=lambda template: -len(template.tokens))

    def _learn(self, prefix: bytes, templates: set[Template]) -> None:
        prefix = prefix.lstrip().rstrip(b"[`*")
        bare = prefix.rstrip()
        if not bare or len(prefix) > MAX_LENGTH or prefix[-1] not in ENDS:
            return
        name = next((name for shape, name in NAMES if shape.fullmatch(prefix)), "a log")
        tokens = tuple(map(_class, TOKEN.findall(bare)))
        templates.add(Template(tokens=tokens, spaces=prefix[len(bare) :].rstrip(b"\t"), name=name))

    @property
    def formats(self) -> list[str]:
        """The names of what writes the prefixes of several lines."""
        return [name for name, lines in self._lines.items() if lines > 1]

    def split(self, line: bytes) -> tuple[bytes, bytes, bytes]:
        """Return the source of a line, b"" if the prefix does not name it, its prefix, and the rest."""
        for template in self._templates:
            stripped = line.lstrip()
            end = template.end(stripped)
            if end >= 0:
                self._lines[template.name] += 1
                prefix = stripped[:end]
                rest = stripped[end:]
                return _source(prefix), prefix, _unquoted(rest) if template.tokens[-1] == b'"' else rest
        return b"", b"", line


def _unquoted(line: bytes) -> bytes:
    """Return `line` up to its quotation mark, without escapes."""
    quote = next((match.start() for match in ESCAPE.finditer(line) if match[0] == b'"'), len(line))
    return unquote(line[:quote]).encode("utf-8", "surrogatepass")


def time_in(prefix: bytes) -> float | None:
    """Return the time in a prefix in unix seconds, None without a date; UTC without an offset."""
    match = TIME.search(prefix)
    if match is None:
        return None
    try:
        time = datetime.fromisoformat(match[0].decode().replace(",", "."))
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _class(token: bytes) -> bytes:
    if token[:1].isdigit():
        return b"0"
    if token[:1] == b" ":
        return b" "
    return b"M" if token in DATES else token


def _source(prefix: bytes) -> bytes:
    """Return the process in a prefix, by which interleaved dumps are kept apart."""
    if b"|" in prefix:
        name = CLOCK.sub(b"", prefix.partition(b"|")[0]).strip()
        return name if any(byte in LETTERS for byte in name) else b""
    match = SOURCE.search(prefix) or POD.match(prefix) or STERN.match(prefix)
    return match[0].rstrip(b": ") if match else b""
