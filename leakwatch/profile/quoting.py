"""Text as Go quotes it (%q), and bytes that are not UTF-8."""

import re

MAX_CODE = 0x10FFFF
ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))")
ESCAPED = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
INVALID_BYTES = {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}
"""Surrogate of an invalid byte -> escape."""


def decode(data: bytes) -> str:
    r"""Return `data` as text; bytes that are not UTF-8 are escaped: \xff."""
    try:
        return data.decode()
    except UnicodeDecodeError:  # "backslashreplace" takes 2.5 times as long
        return data.decode("utf-8", "surrogateescape").translate(INVALID_BYTES)


def unquote(quoted: bytes) -> str:
    """Return the text between the quotes of Go's %q."""
    return decode(ESCAPE.sub(_unescape, quoted) if b"\\" in quoted else quoted)


def _unescape(match: re.Match[bytes]) -> bytes:
    byte, short, long, other = match.groups()
    if byte:
        return bytes.fromhex(byte.decode())
    if short or long:
        code = int(short or long, 16)
        return chr(code).encode("utf-8", "surrogatepass") if code <= MAX_CODE else match[0]
    return ESCAPED.get(other, other)
