"""Possible secrets are removed from bodies of each format; everything else stays the same."""

import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.errors import MalformedProfile, TruncatedProfile
from leakwatch.profile import dump, proto, redact, text
from leakwatch.profile.redact import Redaction, TextRedactor
from leakwatch.profile.wire import bytes_field, encoded, fields, number_field, raw_fields
from leakwatch.settings.globs import glob
from tests.support.kept_bodies import many_labels

PROFILES = Path(__file__).parents[2] / "profiles"
VERSIONS = sorted(folder.name for folder in PROFILES.glob("1.*"))
ALL = Redaction()
NOTHING = Redaction(None, None)


def redacted(body: bytes, redaction: Redaction = ALL, size: int = 1 << 16) -> bytes:
    """Return a text body without its secrets, fed in pieces of `size` bytes."""
    redactor = TextRedactor(redaction)
    return (
        b"".join(redactor.feed(body[start : start + size]) for start in range(0, len(body), size))
        + redactor.close()
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_text_keeps_all_but_the_values(version: str) -> None:
    """Stacks, counts and keys of a recorded body stay the same; each value is redacted."""
    body = (PROFILES / version / "goroutine.debug1.txt").read_bytes()
    before, after = text.parse(body), text.parse(redacted(body))
    assert after.total == before.total
    assert any(trace.labels for trace, _ in before.groups)
    for (old, old_count), (new, new_count) in zip(before.groups, after.groups, strict=True):
        assert (new.frames, new.counters, new_count) == (old.frames, old.counters, old_count)
        assert new.labels == tuple((key, "redacted") for key, _ in old.labels)
    assert redacted(body, NOTHING) == body


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_text_in_pieces(size: int) -> None:
    """The size of the pieces does not change the result."""
    body = (PROFILES / "1.27" / "goroutine.debug1.txt").read_bytes()
    assert redacted(body, size=size) == redacted(body)


def test_ten_thousand_labels() -> None:
    """Ten thousand values are removed, also with hostile quoting, and all goroutines are counted."""
    body = redacted(many_labels(10_000))
    assert b"secret" not in body
    assert b"{0" not in body
    assert text.parse(body).total == 10_000
    assert len(gzip.compress(body)) < 50_000


def test_only_some_keys() -> None:
    """Only the values of keys that match the glob are redacted."""
    body = redacted(many_labels(3), Redaction(glob("req*"), None))
    assert body.count(b'"request":"redacted"') == 3
    assert b'"tenant":"t\\"}, {2"' in body


def test_a_truncated_line_of_labels() -> None:
    """Text after the last complete label is removed."""
    assert redacted(b'# labels: {"a":"x", "b":"secr') == b'# labels: {"a":"redacted"}'


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5))
def test_any_labels(labels: dict[str, str]) -> None:
    """For arbitrary labels, all values are removed and all keys stay."""
    quoted = [b'"%s":"%s"' % (_quoted("k" + key), _quoted("v" + value)) for key, value in labels.items()]
    body = (
        b"goroutine profile: total 1\n1 @ 0x11\n# labels: {"
        + b", ".join(quoted)
        + b"}\n#\t0x10\tf+0x1\ta.go:7\n\n"
    )
    ((trace, _),) = text.parse(redacted(body)).groups
    assert trace.labels == tuple(("k" + key, "redacted") for key in labels)


def _quoted(value: str) -> bytes:
    return "".join(f"\\U{ord(c):08x}" if c in '"\\\n\r\t' or not c.isprintable() else c for c in value).encode(
        "utf-8", "backslashreplace"
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_protobuf_keeps_all_but_the_values(version: str) -> None:
    """Samples refer to another string, the strings of values are empty, and all other bytes stay the same."""
    body = (PROFILES / version / "goroutine.debug0.pb.gz").read_bytes()
    plain, redacted_body = gzip.decompress(body), redact.proto(body, ALL)
    before, after = proto.parse(body), proto.parse(redacted_body)
    for (old, old_count), (new, new_count) in zip(before.groups, after.groups, strict=True):
        assert (new.frames, new.counters, new.parked) == (old.frames, old.counters, old.parked)
        assert new.labels == tuple((key, "redacted") for key, _ in old.labels)
        assert new_count == old_count
    values = {value.encode() for trace, _ in before.groups for _, value in trace.labels if len(value) > 5}
    assert values
    assert [value for value in values if value in redacted_body] == []
    rest = [raw for number, _, raw in raw_fields(plain) if number not in {2, 6}]
    assert [raw for number, _, raw in raw_fields(redacted_body) if number not in {2, 6}] == rest
    assert redact.proto(body, NOTHING) == plain


def test_a_string_with_two_uses() -> None:
    """A value that is also the name of a function or a key is redacted only as a value."""
    strings = [b"", b"goroutine", b"count", b"user", b"main.f", b"alice"]
    body = b"".join(
        [
            bytes_field(1, number_field(1, 1) + number_field(2, 2)),
            bytes_field(2, _sample((3, 4), (3, 5))),  # before the strings
            *(bytes_field(6, string) for string in strings),
            bytes_field(2, _sample((4, 3))),
            bytes_field(4, number_field(1, 1) + bytes_field(4, number_field(1, 1))),
            bytes_field(5, number_field(1, 1) + number_field(2, 4)),
            b"\x39" + b"12345678",  # an unknown field of a fixed size
        ]
    )
    new = redact.proto(body, ALL)
    assert [value for number, value in fields(new) if number == 6] == [*strings[:5], b"", b"redacted"]
    labels = {trace.labels for trace, _ in proto.parse(new).groups}
    assert labels == {(("user", "redacted"), ("user", "redacted")), (("main.f", "redacted"),)}
    assert proto.parse(new).groups[0][0].frames[0].function == "main.f"
    assert b"\x39" + b"12345678" in new


def _sample(*labels: tuple[int, int]) -> bytes:
    pairs = [bytes_field(3, number_field(1, key) + number_field(2, value)) for key, value in labels]
    return bytes_field(1, encoded(1)) + bytes_field(2, encoded(1)) + b"".join(pairs)


def test_only_some_keys_of_a_protobuf() -> None:
    """Only the values of keys that match the pattern are redacted."""
    body = (PROFILES / "1.27" / "goroutine.debug0.pb.gz").read_bytes()
    before = proto.parse(body)
    keys = sorted({key for trace, _ in before.groups for key, _ in trace.labels})
    after = proto.parse(redact.proto(body, Redaction(glob(keys[0]))))
    for (old, _), (new, _) in zip(before.groups, after.groups, strict=True):
        assert new.labels == tuple((k, "redacted" if k == keys[0] else v) for k, v in old.labels)


def test_invalid_protobufs() -> None:
    """An invalid body raises an error and is never returned unredacted."""
    with pytest.raises(TruncatedProfile):
        redact.proto(gzip.compress(b"\x0a\x00" * 100)[:-9], ALL)
    with pytest.raises(TruncatedProfile, match="more than 10 bytes"):
        redact.proto(gzip.compress(b"\x0a\x00" * 100), ALL, 10)
    with pytest.raises(MalformedProfile, match="invalid gzip"):
        redact.proto(b"\x1f\x8bnonsense-and-more", ALL)
    with pytest.raises(MalformedProfile, match="string 9 is missing; the body has 0 strings"):
        redact.proto(bytes_field(2, _sample((9, 9))), ALL)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_dump_keeps_all_but_arguments_and_values(version: str) -> None:
    """The goroutines of a recorded dump stay the same, without argument words and values of labels."""
    body = (PROFILES / version / "goroutine.debug2.txt").read_bytes()
    redacted_body = redact.dump(body, ALL)
    before, after = dump.parse(body), dump.parse(redacted_body)
    assert not after.truncated
    for old, new in zip(before.goroutines, after.goroutines, strict=True):
        assert new.trace.frames == old.trace.frames
        assert (new.state, new.minutes) == (old.state, old.minutes)
        assert (new.creator, new.parent) == (old.creator, old.parent)
        assert new.trace.labels == tuple((key, "redacted") for key, _ in old.trace.labels)
    assert re.search(rb"^\S*\([^()\n]*\)$", body, re.MULTILINE)
    assert {match[1] for match in re.finditer(rb"^[^\t\n].*\(([^()\n]*)\)$", redacted_body, re.MULTILINE)} == {
        b"..."
    }
    assert redact.dump(body, NOTHING) == body


def test_arguments_of_some_functions() -> None:
    """Only the arguments of functions that match the glob are removed."""
    body = (
        b"goroutine 1 [running]:\nmain.login(0x1, {0x2, 0x3})\n\t/a.go:1 +0x1\nmain.main(0x4?)\n\t/a.go:2 +0x1\n\n"
    )
    assert redact.dump(body, Redaction(arguments=glob("*.login"))) == body.replace(b"0x1, {0x2, 0x3}", b"...")


def test_a_truncated_dump() -> None:
    """An incomplete last line is removed, because it may contain a part of a secret."""
    body = b"goroutine 1 [running]:\nmain.f(0x1)\n\t/a.go:1 +0x1\nmain.login(0xdeadbeef, 0x"
    assert redact.dump(body, ALL) == b"goroutine 1 [running]:\nmain.f(...)\n\t/a.go:1 +0x1\n"
    assert redact.dump(b"main.odd(0x1, (0x2\n", ALL) == b"main.odd\n"


def test_an_invalid_header_of_a_dump() -> None:
    """A header with invalid labels raises an error that does not quote it."""
    with pytest.raises(MalformedProfile, match="line 2") as caught:
        redact.dump(b"\ngoroutine 1 [running] {a: b c}:\n", ALL)
    assert "b c" not in str(caught.value)
