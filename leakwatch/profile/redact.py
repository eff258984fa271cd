"""Removes possible secrets from a body before it is stored: values of labels, argument words of full dumps.

    # labels: {"tenant":"alice"}           ->  # labels: {"tenant":"redacted"}            debug=1; keys stay
    main.login(0xc000012000, {0x5d, 3})    ->  main.login(...)                            debug=2, as if inlined
    goroutine 7 [select] {tenant: alice}:  ->  goroutine 7 [select] {tenant: redacted}:

In a protobuf (debug=0), the labels of samples refer to another string, and strings without another use become
empty. All other bytes stay the same.
"""

import re
import zlib
from dataclasses import dataclass

from leakwatch.errors import MalformedProfile, TruncatedProfile
from leakwatch.profile.dump_header import HEADER
from leakwatch.profile.dump_header import LABEL as DUMP_LABEL
from leakwatch.profile.limits import MAX_TEXT
from leakwatch.profile.parts import GZIP
from leakwatch.profile.quoting import decode, unquote
from leakwatch.profile.text import LABEL, LABELS
from leakwatch.profile.wire import (
    Value,
    as_bytes,
    as_number,
    bytes_field,
    fields,
    number_field,
    packed,
    raw_fields,
)

REDACTED = b"redacted"
ANY = re.compile(".*", re.DOTALL)
LABEL_LINE = re.compile(rb"^" + re.escape(LABELS) + rb".*$", re.MULTILINE)
CALL = re.compile(rb"(.+)\([^()]*\)")
NOT_A_CALL = (b"\t", b"created by ", b"[originating from goroutine ")
VALUE, SAMPLE, MAPPING, FUNCTION, STRING, PERIOD = 1, 2, 3, 5, 6, 11
STRING_FIELDS = {VALUE: (1, 2), MAPPING: (5, 6), FUNCTION: (2, 3, 4), PERIOD: (1, 2)}
"""Part of a profile -> its fields with the index of a string."""
PROFILE_STRING_FIELDS = (7, 8, 13, 14, 15)
"""Fields of the profile itself with the index of a string."""
SAMPLE_LABEL = 3


@dataclass(frozen=True, slots=True)
class Redaction:
    """Patterns for the keys of labels and for the names of functions to redact. None redacts nothing."""

    labels: re.Pattern[str] | None = ANY
    arguments: re.Pattern[str] | None = ANY


class TextRedactor:
    """Redacts the values of labels in a text body (debug=1), in pieces of any size."""

    def __init__(self, redaction: Redaction) -> None:
        self._keys = redaction.labels
        self._rest: list[bytes] = []

    def feed(self, piece: bytes) -> bytes:
        """Return the redacted lines that `piece` completes."""
        if self._keys is None:
            return piece
        lines, end, rest = piece.rpartition(b"\n")
        if not end:  # joining each piece would take quadratic time for a long line
            self._rest.append(piece)
            return b""
        complete = b"".join((*self._rest, lines, end))
        self._rest = [rest] if rest else []
        return self._redacted(complete)

    def close(self) -> bytes:
        """Return the redacted rest of the body."""
        return self._redacted(b"".join(self._rest))

    def _redacted(self, lines: bytes) -> bytes:
        return LABEL_LINE.sub(self._line, lines) if LABELS in lines else lines

    def _line(self, match: re.Match[bytes]) -> bytes:
        line, pairs, end = match[0], [], len(LABELS)
        while pair := LABEL.match(line, end):
            hide = self._keys is not None and self._keys.fullmatch(unquote(pair[1]))
            pairs.append(b'"%s":"%s"' % (pair[1], REDACTED if hide else pair[2]))
            end = pair.end()
        return LABELS + b", ".join(pairs) + b"}"  # without text that is not a label


def dump(body: bytes, redaction: Redaction) -> bytes:
    """Return a full dump (debug=2), redacted and without an incomplete last line.

    Raises MalformedProfile if a header is invalid.
    """
    lines = body[: body.rfind(b"\n") + 1].split(b"\n")
    return b"\n".join(_dump_line(line, number, redaction) for number, line in enumerate(lines, 1))


def _dump_line(line: bytes, number: int, redaction: Redaction) -> bytes:
    if line.startswith(b"goroutine "):
        return line if redaction.labels is None else _dump_header(line, number, redaction.labels)
    if redaction.arguments is None or b"(" not in line or line.startswith(NOT_A_CALL):
        return line
    call = CALL.fullmatch(line)
    if call is None:
        return line.partition(b"(")[0]
    return call[1] + b"(...)" if redaction.arguments.fullmatch(decode(call[1])) else line


def _dump_header(line: bytes, number: int, keys: re.Pattern[str]) -> bytes:
    offset = line.find(b"{") + 1
    if not offset:
        return line
    pairs, end, begin = [], None, line[:offset]
    while end is None and (match := DUMP_LABEL.match(line, offset)):
        key, plain_key, value, plain_value, end = match.groups()
        key_text = b'"%s"' % key if key is not None else plain_key
        value_text = b'"%s"' % value if value is not None else plain_value
        hide = keys.fullmatch(unquote(key or plain_key or b""))
        pairs.append(b"%s: %s" % (key_text, REDACTED if hide else value_text))
        offset = match.end()
    if HEADER.match(line) is None or line[offset:] not in {b"]:", b":"}:
        raise MalformedProfile(f"line {number}: expected `goroutine N [state] {{labels}}:`")
    return begin + b", ".join(pairs) + b"}" + line[offset:]


def proto(body: bytes, redaction: Redaction, size_limit: int = 1 << 30) -> bytes:
    """Return a protobuf body (debug=0), redacted and decompressed; raises ProfileError.

    `size_limit`: bytes after decompression.
    """
    plain = _unzip(body, size_limit)
    if redaction.labels is None:
        return plain
    parts = list(raw_fields(plain))
    strings = [as_bytes(value) for number, value, _ in parts if number == STRING]
    redactor = _StringRedactor(strings, redaction.labels)
    out = [b""] * len(parts)
    for i, (number, value, raw) in enumerate(parts):
        out[i] = redactor.sample(as_bytes(value), raw) if number == SAMPLE else raw
        redactor.add_used(number, value)
    if not redactor.hidden:
        return plain
    index = 0
    for i, (number, _, _) in enumerate(parts):
        if number == STRING:
            if index in redactor.hidden and index not in redactor.used:
                out[i] = bytes_field(STRING, b"")
            index += 1
    return b"".join((*out, bytes_field(STRING, REDACTED)))


class _StringRedactor:
    """Redacts labels of samples, and records which strings are hidden values and which have another use."""

    def __init__(self, strings: list[bytes], keys: re.Pattern[str]) -> None:
        self.hidden: set[int] = set()
        self.used = {0}
        self._strings = strings
        self._keys = keys
        self._hides: dict[int, bool] = {}

    def add_used(self, number: int, value: Value) -> None:
        """Record the strings that a part of the profile uses; samples are recorded in `sample`."""
        if number in STRING_FIELDS:
            indices = STRING_FIELDS[number]
            self.used.update(as_number(index) for field, index in fields(as_bytes(value)) if field in indices)
        elif number in PROFILE_STRING_FIELDS:
            self.used.update(packed(value, MAX_TEXT))

    def sample(self, message: bytes, raw: bytes) -> bytes:
        """Return the field of a sample with redacted labels; `raw`: the field as it was."""
        sample_fields = list(raw_fields(message))
        if all(number != SAMPLE_LABEL for number, _, _ in sample_fields):
            return raw
        return bytes_field(
            SAMPLE,
            b"".join(
                self._label(as_bytes(value), raw_field) if number == SAMPLE_LABEL else raw_field
                for number, value, raw_field in sample_fields
            ),
        )

    def _label(self, message: bytes, raw: bytes) -> bytes:
        label = {number: as_number(value) for number, value in fields(message)}
        key = label.get(1, 0)
        self.used.add(key)
        if not self._hide(key):
            self.used |= {label.get(2, 0), label.get(4, 0)}
            return raw
        self.hidden.add(label.get(2, 0))
        return bytes_field(SAMPLE_LABEL, number_field(1, key) + number_field(2, len(self._strings)))

    def _hide(self, key: int) -> bool:
        hide = self._hides.get(key)
        if hide is None:
            if key >= len(self._strings):
                raise MalformedProfile(f"string {key} is missing; the body has {len(self._strings)} strings")
            hide = self._hides[key] = self._keys.fullmatch(decode(self._strings[key])) is not None
        return hide


def _unzip(body: bytes, size_limit: int) -> bytes:
    if not body.startswith(GZIP):
        return body
    unzip = zlib.decompressobj(wbits=31)
    try:
        plain = unzip.decompress(body, size_limit)
    except zlib.error as error:
        raise MalformedProfile(f"invalid gzip: {error}") from error
    if not unzip.eof:
        raise TruncatedProfile(f"gzip ends early, or expands to more than {size_limit} bytes")
    return plain
