r"""Takes lines out of the formats of log files: JSON, quoted messages, and the parts of long lines.

    {"Action":"output","Output":"goroutine 18 [select]:\n"}    `go test -json`
    {"log":"goroutine 18 [select]:\n","stream":"stderr"}       Docker's json-file
    {"level":"info","msg":"goroutine 18 [select]:\n..."}       a logger, or `journalctl -o json`
    level=info msg="goroutine 18 [select]:\nmain.f()\n..."     a logger that quotes
    2025-11-29T14:44:00Z stderr P goroutine 18 [sel            CRI: P is continued by the next line

Other lines stay as they are.
"""

import json
import re
from collections.abc import Iterator
from typing import Final

from leakwatch.pasted import shapes
from leakwatch.pasted.decoding import COLOUR
from leakwatch.profile.quoting import unquote

CRI: Final = re.compile(rb"\d{4}-\d\d-\d\dT[0-9:.+Z-]{5,40} (?:stdout|stderr) ([FP])[:\w]{0,32}(?: |$)")
QUOTE: Final = re.compile(rb'\\.|"')
ESCAPED_END: Final = re.compile(rb"(?:\]|the stack|total \d{1,18}):?\\{1,8}n|\\n\d{1,12} @ 0x")
"""The end of the first line of a goroutine or profile, quoted."""
MENTION: Final = b"goroutine"
MENTIONS: Final = re.compile(r"[Gg]oroutine |goroutineleak profile: ")
MESSAGES: Final = ("MESSAGE", "message", "msg", "Message", "log", "textPayload", "stack", "stacktrace", "error")
"""Keys of the text of a line, by preference."""
SOURCES: Final = ("Package", "pod_name", "_PID", "container_id")
"""Keys of the process that writes a line."""
DOCKER: Final = {"log", "stream", "time", "attrs"}
MAX_PREFIX: Final = 400
"""Bytes before a JSON object."""
MAX_DEPTH: Final = 3
"""Number of times that a text may be quoted."""


class Lines:
    """The lines of `text` with their numbers, without the format of the log file around them."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._partial: list[bytes] = []
        self.formats: dict[str, None] = {}
        """Names of the formats that were found, in order."""
        self.stamp = b""
        """The beginning of the current line in the format around it, with its time."""
        self.source = b""
        """The process of the current line, if a JSON object names it."""

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield number and text of each line."""
        start, number, text = 0, 0, self._text
        while start < len(text):
            end = text.find(b"\n", start)
            end = len(text) if end < 0 else end
            number += 1
            for line in self._expand(text[start:end]):
                yield number, COLOUR.sub(b"", line) if b"\x1b" in line else line
            start = end + 1
        if self._partial:
            yield from ((number, line) for line in self._nested(self._joined(b""), MAX_DEPTH))

    def _expand(self, line: bytes) -> Iterator[bytes]:
        """Yield the lines that one line of the file contains."""
        if match := CRI.match(line):
            self.formats["a CRI log"] = None
            self.stamp = match[0]
            if match[1] == b"P":
                self._partial.append(line[match.end() :])
                return
            line = self._joined(line[match.end() :])
        start = line.find(b'{"', 0, MAX_PREFIX)
        if start >= 0 and line.endswith(b"}") and b"labels:" not in line[:start]:
            document = _json(line[start:])
            if document is not None:
                yield from self._message(document, MAX_DEPTH)
                return
        if _is_quoted(line):
            self.formats["a quoted log line"] = None
            yield from _unquoted(line, MAX_DEPTH).split(b"\n")
            return
        yield line

    def _message(self, document: dict[str, object], depth: int) -> Iterator[bytes]:
        """Yield the lines of the text in a JSON object, which may be a JSON object of the service."""
        if depth == MAX_DEPTH:
            self.source = _source(document).encode("utf-8", "replace")
        if "Action" in document:
            self.formats["the output of go test -json"] = None
            text, is_raw = document.get("Output"), True
        else:
            self.formats["a JSON log"] = None
            text, is_raw = _text(document), "log" in document and document.keys() <= DOCKER
        if not isinstance(text, str):
            return
        *lines, rest = text.encode("utf-8", "surrogatepass").split(b"\n")
        for line in lines:
            yield from self._nested(self._joined(line), depth)
        if is_raw and rest:
            self._partial.append(rest)
        elif rest or not lines:
            yield from self._nested(self._joined(rest), depth)

    def _nested(self, line: bytes, depth: int) -> Iterator[bytes]:
        """Yield the lines in a line of a text, which may be an object or quoted text of the service."""
        line = line.rstrip(b"\r")
        document = _json(line) if depth > 1 and line.startswith(b'{"') else None
        if document is not None:
            yield from self._message(document, depth - 1)
        elif _is_quoted(line):
            yield from _unquoted(line, MAX_DEPTH).split(b"\n")
        else:
            yield line

    def _joined(self, end: bytes) -> bytes:
        """Return `end` after the parts of its line."""
        line = b"".join((*self._partial, end))
        self._partial.clear()
        return line


def _source(document: dict[str, object]) -> str:
    """Return the package, pod or process in a JSON object, "" if it does not name one."""
    nested = [value for value in document.values() if isinstance(value, dict)]
    values = (part.get(key) for key in SOURCES for part in (document, *nested))
    return next((value for value in values if isinstance(value, str)), "")


def _json(line: bytes) -> dict[str, object] | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _text(document: dict[str, object]) -> str:
    """Return the value that mentions a goroutine, or else the message of the line."""
    nested = [value for value in document.values() if isinstance(value, dict)]
    values = {key: _string(value) for part in (*reversed(nested), document) for key, value in part.items()}
    found = [value for value in values.values() if MENTIONS.search(value)]
    return max(found, key=len) if found else next((values[key] for key in MESSAGES if values.get(key)), "")


def _string(value: object) -> str:
    """Return a string. journald writes a list of bytes if the text has control characters."""
    if isinstance(value, list) and value and all(isinstance(byte, int) and 0 <= byte < 256 for byte in value):
        return bytes(value).decode("utf-8", "replace")
    return value if isinstance(value, str) else ""


def _is_quoted(line: bytes) -> bool:
    """Return whether `line` contains quoted lines of a dump. Quoted labels in a header are not lines."""
    if b"\\n" not in line or MENTION not in line or ESCAPED_END.search(line) is None:
        return False
    header = shapes.header(line)
    return header is None or not header.is_complete or header.is_tentative


def _unquoted(line: bytes, depth: int) -> bytes:
    """Return the quoted text in `line` that mentions a goroutine, or else the line, without escapes."""
    mention, begin, end = line.find(MENTION), 0, len(line)
    for match in QUOTE.finditer(line):
        if match[0] != b'"':
            continue
        if match.start() > mention:
            end = match.start()
            break
        begin = match.end()
    text = unquote(line[begin:end]).encode("utf-8", "surrogatepass")
    return _unquoted(text, depth - 1) if depth > 1 and b"\\n" in text and b"\n" not in text else text
