"""Takes out of a body what may be secret, before it is kept: values of labels, argument words of full dumps.

    # labels: {"tenant":"alice"}           ->  # labels: {"tenant":"redacted"}            debug=1; keys stay
    main.login(0xc000012000, {0x5d, 3})    ->  main.login(...)                            debug=2, as if inlined
    goroutine 7 [select] {tenant: alice}:  ->  goroutine 7 [select] {tenant: redacted}:

In a protobuf (debug=0) the labels of samples name another string, and the strings that nothing else names are
emptied; all the rest stays as it is, byte for byte. Bytes only: no I/O.
"""

import re
import zlib
from dataclasses import dataclass

from leakwatch.errors import MalformedProfile, TruncatedProfile
from leakwatch.profile.dump import HEADER
from leakwatch.profile.dump import LABEL as DUMP_LABEL
from leakwatch.profile.proto import GZIP
from leakwatch.profile.text import LABEL, LABELS, decode, unquote
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

WORD = b"redacted"
EVERYTHING = re.compile(".*", re.DOTALL)
LABEL_LINE = re.compile(rb"^" + re.escape(LABELS) + rb".*$", re.MULTILINE)
CALL = re.compile(rb"(.+)\([^()]*\)")
NO_CALL = (b"\t", b"created by ", b"[originating from goroutine ")
VALUE, SAMPLE, MAPPING, FUNCTION, STRING, PERIOD = 1, 2, 3, 5, 6, 11
NAMES = {VALUE: (1, 2), MAPPING: (5, 6), FUNCTION: (2, 3, 4), PERIOD: (1, 2)}
"""Message -> its fields that name a string."""
PLAIN_NAMES = (7, 8, 13, 14, 15)
"""Fields of a profile that name strings themselves."""
LABEL_OF_SAMPLE = 3


@dataclass(frozen=True, slots=True)
class Redaction:
    """What to take out: values of the labels whose key, argument words of the functions whose name matches."""

    labels: re.Pattern[str] | None = EVERYTHING
    arguments: re.Pattern[str] | None = EVERYTHING


class TextRedactor:
    """Takes the values of labels out of a text body (debug=1) that comes in pieces."""

    def __init__(self, redaction: Redaction) -> None:
        self._keys = redaction.labels
        self._rest: list[bytes] = []

    def feed(self, piece: bytes) -> bytes:
        """Return what can be told of the body now: whole lines."""
        if self._keys is None:
            return piece
        lines, end, rest = piece.rpartition(b"\n")
        if not end:  # only what has an end is joined, so that one endless line stays linear
            self._rest.append(piece)
            return b""
        whole = b"".join((*self._rest, lines, end))
        self._rest = [rest] if rest else []
        return self._redacted(whole)

    def close(self) -> bytes:
        """Return what is left of the body when it is over."""
        return self._redacted(b"".join(self._rest))

    def _redacted(self, lines: bytes) -> bytes:
        return LABEL_LINE.sub(self._line, lines) if LABELS in lines else lines

    def _line(self, match: re.Match[bytes]) -> bytes:
        line, pairs, at = match[0], [], len(LABELS)
        while pair := LABEL.match(line, at):
            hide = self._keys is not None and self._keys.fullmatch(unquote(pair[1]))
            pairs.append(b'"%s":"%s"' % (pair[1], WORD if hide else pair[2]))
            at = pair.end()
        return LABELS + b", ".join(pairs) + b"}"  # what fits no label is left out


def dump(body: bytes, redaction: Redaction) -> bytes:
    """Return a full dump (debug=2) without what may be secret; raises MalformedProfile for a strange header.

    A line that ends early, where the dump was cut, is left out.
    """
    lines = body[: body.rfind(b"\n") + 1].split(b"\n")
    return b"\n".join(_dump_line(line, number, redaction) for number, line in enumerate(lines, 1))


def _dump_line(line: bytes, number: int, redaction: Redaction) -> bytes:
    if line.startswith(b"goroutine "):
        return line if redaction.labels is None else _dump_header(line, number, redaction.labels)
    if redaction.arguments is None or b"(" not in line or line.startswith(NO_CALL):
        return line
    call = CALL.fullmatch(line)
    if call is None:
        return line.partition(b"(")[0]
    return call[1] + b"(...)" if redaction.arguments.fullmatch(decode(call[1])) else line


def _dump_header(line: bytes, number: int, keys: re.Pattern[str]) -> bytes:
    at = line.find(b"{") + 1
    if not at:
        return line
    pairs, end, begin = [], None, line[:at]
    while end is None and (match := DUMP_LABEL.match(line, at)):
        key, plain_key, value, plain_value, end = match.groups()
        key_text = b'"%s"' % key if key is not None else plain_key
        value_text = b'"%s"' % value if value is not None else plain_value
        hide = keys.fullmatch(unquote(key or plain_key or b""))
        pairs.append(b"%s: %s" % (key_text, WORD if hide else value_text))
        at = match.end()
    if HEADER.match(line) is None or line[at:] not in {b"]:", b":"}:
        raise MalformedProfile(f"line {number}: expected `goroutine N [state] {{labels}}:`")
    return begin + b", ".join(pairs) + b"}" + line[at:]


def proto(body: bytes, redaction: Redaction, size_limit: int = 1 << 30) -> bytes:
    """Return a protobuf body (debug=0), decompressed, without what may be secret; raises ProfileError.

    `size_limit`: bytes decompressed.
    """
    plain = _plain(body, size_limit)
    if redaction.labels is None:
        return plain
    parts = list(raw_fields(plain))
    strings = [as_bytes(value) for number, value, _ in parts if number == STRING]
    found = _Strings(strings, redaction.labels)
    out = [b""] * len(parts)
    for i, (number, value, raw) in enumerate(parts):
        out[i] = found.sample(as_bytes(value), raw) if number == SAMPLE else raw
        found.use(number, value)
    if not found.hidden:
        return plain
    at = 0
    for i, (number, _, _) in enumerate(parts):
        if number == STRING:
            if at in found.hidden and at not in found.used:
                out[i] = bytes_field(STRING, b"")
            at += 1
    return b"".join((*out, bytes_field(STRING, WORD)))


class _Strings:
    """The strings of a profile: which of them are values to hide, and which have another use."""

    def __init__(self, strings: list[bytes], keys: re.Pattern[str]) -> None:
        self.hidden: set[int] = set()
        self.used = {0}
        self._strings = strings
        self._hides: dict[int, bool] = {}
        self._keys = keys

    def use(self, number: int, value: Value) -> None:
        """Take in which strings a part of the profile names, but for samples."""
        if number in NAMES:
            own = NAMES[number]
            self.used.update(as_number(name) for one, name in fields(as_bytes(value)) if one in own)
        elif number in PLAIN_NAMES:
            self.used.update(packed(value))

    def sample(self, message: bytes, raw: bytes) -> bytes:
        """Return the field of a sample with its labels redacted; `raw` if there is nothing to hide."""
        out = [(number, value, one) for number, value, one in raw_fields(message)]
        if all(number != LABEL_OF_SAMPLE for number, _, _ in out):
            return raw
        return bytes_field(
            SAMPLE,
            b"".join(self._label(as_bytes(value), one) if n == LABEL_OF_SAMPLE else one for n, value, one in out),
        )

    def _label(self, message: bytes, raw: bytes) -> bytes:
        known = {number: as_number(value) for number, value in fields(message)}
        key = known.get(1, 0)
        self.used.add(key)
        if not self._hide(key):
            self.used |= {known.get(2, 0), known.get(4, 0)}
            return raw
        self.hidden.add(known.get(2, 0))
        return bytes_field(LABEL_OF_SAMPLE, number_field(1, key) + number_field(2, len(self._strings)))

    def _hide(self, key: int) -> bool:
        known = self._hides.get(key)
        if known is None:
            if key >= len(self._strings):
                raise MalformedProfile(f"string {key} of {len(self._strings)} is asked for")
            known = self._hides[key] = self._keys.fullmatch(decode(self._strings[key])) is not None
        return known


def _plain(body: bytes, size_limit: int) -> bytes:
    if not body.startswith(GZIP):
        return body
    unzip = zlib.decompressobj(wbits=31)
    try:
        plain = unzip.decompress(body, size_limit)
    except zlib.error as error:
        raise MalformedProfile(f"bad gzip: {error}") from error
    if not unzip.eof:
        raise TruncatedProfile(f"gzip ends early, or holds more than {size_limit} bytes")
    return plain
