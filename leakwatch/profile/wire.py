"""Reads and writes protobuf's wire format: the fields of a message, and the numbers in them.

See https://protobuf.dev/programming-guides/encoding/. proto.py, pprof.py and redact.py know the meaning of fields.
"""

from collections.abc import Callable, Iterator

from leakwatch.errors import MalformedProfile, TruncatedProfile

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIXED = {FIXED64: 8, FIXED32: 4}
MAX_SHIFT = 63

Value = int | bytes
"""The value of a field: a number, or bytes."""


def fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """Yield number and value of each field of a message; raises MalformedProfile and TruncatedProfile."""
    offset, end = 0, len(data)
    while offset < end:
        key = data[offset]
        offset += 1
        if key >= 0x80:
            key, offset = varint(data, offset - 1)
        kind = key & 7
        if kind == VARINT:
            if offset < end and data[offset] < 0x80:
                yield key >> 3, data[offset]
                offset += 1
            else:
                value, offset = varint(data, offset)
                yield key >> 3, value
            continue
        size, offset = _size(data, offset, kind)
        if offset + size > end:
            raise TruncatedProfile(f"byte {offset}: a field of {size} bytes ends after {end - offset}")
        if kind == BYTES:
            yield key >> 3, data[offset : offset + size]
        offset += size


def complete_fields(data: bytearray, add: Callable[[int, Value], None], size_limit: int) -> int:
    """Call `add` with number and value of each complete field; return the offset of the first incomplete field.

    Values of fixed-size numbers are reported as 0. Raises MalformedProfile, also for a value of more than
    `size_limit` bytes.
    """
    offset, end = 0, len(data)
    while offset < end:
        try:
            key, start = (data[offset], offset + 1) if data[offset] < 0x80 else varint(data, offset)
            kind = key & 7
            if kind == VARINT:
                value, offset = varint(data, start)
                add(key >> 3, value)
                continue
            size, start = _size(data, start, kind)
        except TruncatedProfile:
            return offset
        if size > size_limit:
            raise MalformedProfile(f"a field of {size} bytes, expected at most {size_limit}")
        if start + size > end:
            return offset
        add(key >> 3, bytes(data[start : start + size]) if kind == BYTES else 0)
        offset = start + size
    return offset


def raw_fields(data: bytes) -> Iterator[tuple[int, Value, bytes]]:
    """Yield number, value and encoded bytes of each field of a message.

    Values of fixed-size numbers are reported as 0. Raises MalformedProfile and TruncatedProfile.
    """
    offset, end = 0, len(data)
    while offset < end:
        begin = offset
        key, offset = varint(data, offset)
        kind = key & 7
        if kind == VARINT:
            value, offset = varint(data, offset)
            yield key >> 3, value, data[begin:offset]
            continue
        size, offset = _size(data, offset, kind)
        if offset + size > end:
            raise TruncatedProfile(f"byte {offset}: a field of {size} bytes ends after {end - offset}")
        yield key >> 3, data[offset : offset + size] if kind == BYTES else 0, data[begin : offset + size]
        offset += size


def _size(data: bytes | bytearray, offset: int, kind: int) -> tuple[int, int]:
    """Return the size of a value in bytes, and its offset."""
    if kind == BYTES:
        return (data[offset], offset + 1) if offset < len(data) and data[offset] < 0x80 else varint(data, offset)
    if kind not in FIXED:
        raise MalformedProfile(f"byte {offset}: unknown wire type {kind}")
    return FIXED[kind], offset


def varint(data: bytes | bytearray, offset: int) -> tuple[int, int]:
    """Return the number at `offset` and its end; raises MalformedProfile and TruncatedProfile."""
    number = shift = 0
    end = len(data)
    while offset < end:
        byte = data[offset]
        offset += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, offset
        shift += 7
        if shift > MAX_SHIFT:
            raise MalformedProfile(f"byte {offset}: a varint is too long")
    raise TruncatedProfile(f"byte {offset}: the data ends within a varint")


def packed(value: Value, most: int) -> list[int]:
    """Return the numbers of a repeated field, packed or not; at most one more than `most`."""
    if isinstance(value, int):
        return [value]
    if value.isascii():  # all numbers have one byte, as in most messages
        return list(value[: most + 1])
    numbers: list[int] = []
    offset = 0
    while offset < len(value) and len(numbers) <= most:
        number, offset = varint(value, offset)
        numbers.append(number)
    return numbers


def as_number(value: Value) -> int:
    """Return `value`; raises MalformedProfile if it is not a number."""
    if isinstance(value, bytes):
        raise MalformedProfile("expected a number, found bytes")
    return value


def as_bytes(value: Value) -> bytes:
    """Return `value`; raises MalformedProfile if it is a number."""
    if isinstance(value, int):
        raise MalformedProfile("expected bytes, found a number")
    return value


def encoded(number: int) -> bytes:
    """Return `number` as a varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number_field(field: int, value: int) -> bytes:
    """Return the encoded bytes of a field with a number."""
    return encoded(field << 3) + encoded(value)


def bytes_field(field: int, value: bytes) -> bytes:
    """Return the encoded bytes of a field with bytes."""
    return encoded(field << 3 | BYTES) + encoded(len(value)) + value
