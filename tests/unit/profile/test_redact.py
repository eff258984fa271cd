"""What may be secret is taken out of bodies of each format, and nothing else is touched."""

import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.errors import MalformedProfile, TruncatedProfile
from leakwatch.leaks.ignore import glob
from leakwatch.profile import dump, proto, redact, text
from leakwatch.profile.redact import Redaction, TextRedactor
from leakwatch.profile.wire import bytes_field, encoded, fields, number_field, raw_fields
from tests.support.kept_bodies import many_labels

PROFILES = Path(__file__).parents[2] / "profiles"
VERSIONS = sorted(folder.name for folder in PROFILES.iterdir() if folder.is_dir())
ALL = Redaction()
NOTHING = Redaction(None, None)


def redacted(body: bytes, redaction: Redaction = ALL, size: int = 1 << 16) -> bytes:
    """Return a text body, fed in pieces of `size` bytes, without its secrets."""
    redactor = TextRedactor(redaction)
    return b"".join(redactor.feed(body[at : at + size]) for at in range(0, len(body), size)) + redactor.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_text_keeps_all_but_the_values(version: str) -> None:
    """Stacks, counts and keys of a real body are what they were; each value is another word."""
    body = (PROFILES / version / "goroutine.debug1.txt").read_bytes()
    before, after = text.parse(body), text.parse(redacted(body))
    assert after.total == before.total
    assert any(trace.labels for trace, _ in before.groups)
    for (old, count), (new, same) in zip(before.groups, after.groups, strict=True):
        assert (new.frames, new.counters, same) == (old.frames, old.counters, count)
        assert new.labels == tuple((key, "redacted") for key, _ in old.labels)
    assert redacted(body, NOTHING) == body


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_text_in_pieces(size: int) -> None:
    """Where the pieces are cut does not matter."""
    body = (PROFILES / "1.27" / "goroutine.debug1.txt").read_bytes()
    assert redacted(body, size=size) == redacted(body)


def test_ten_thousand_labels() -> None:
    """None of ten thousand values is left, hostile quoting included, and all goroutines are still counted."""
    body = redacted(many_labels(10_000))
    assert b"secret" not in body
    assert b"{0" not in body
    assert text.parse(body).total == 10_000
    assert len(gzip.compress(body)) < 50_000


def test_only_some_keys() -> None:
    """Patterns are globs over keys: the values of the others stay."""
    body = redacted(many_labels(3), Redaction(glob("req*"), None))
    assert body.count(b'"request":"redacted"') == 3
    assert b'"tenant":"t\\"}, {2"' in body


def test_a_label_line_that_is_cut() -> None:
    """What follows the last whole label, where somebody cut the body, is not kept."""
    assert redacted(b'# labels: {"a":"x", "b":"secr') == b'# labels: {"a":"redacted"}'


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5))
def test_any_labels(labels: dict[str, str]) -> None:
    """Whatever labels are, no value is left and every key is."""
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
    """Samples name another string, and the strings of old values are empty; all else stays byte for byte."""
    body = (PROFILES / version / "goroutine.debug0.pb.gz").read_bytes()
    plain, new = gzip.decompress(body), redact.proto(body, ALL)
    before, after = proto.parse(body), proto.parse(new)
    for (old, count), (kept, same) in zip(before.groups, after.groups, strict=True):
        assert (kept.frames, kept.counters, kept.parked, same) == (old.frames, old.counters, old.parked, count)
        assert kept.labels == tuple((key, "redacted") for key, _ in old.labels)
    values = {value.encode() for trace, _ in before.groups for _, value in trace.labels if len(value) > 5}
    assert values
    assert [value for value in values if value in new] == []
    rest = [raw for number, _, raw in raw_fields(plain) if number not in {2, 6}]
    assert [raw for number, _, raw in raw_fields(new) if number not in {2, 6}] == rest
    assert redact.proto(body, NOTHING) == plain


def test_a_string_with_two_uses() -> None:
    """A value that is also the name of a function or a key is hidden as a value only."""
    strings = [b"", b"goroutine", b"count", b"user", b"main.f", b"alice"]
    body = b"".join(
        [
            bytes_field(1, number_field(1, 1) + number_field(2, 2)),
            bytes_field(2, _sample((3, 4), (3, 5))),  # before the strings
            *(bytes_field(6, one) for one in strings),
            bytes_field(2, _sample((4, 3))),
            bytes_field(4, number_field(1, 1) + bytes_field(4, number_field(1, 1))),
            bytes_field(5, number_field(1, 1) + number_field(2, 4)),
            b"\x39" + b"12345678",  # a field that nobody knows, of a fixed size
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
    """The values of keys that no pattern matches stay."""
    body = (PROFILES / "1.27" / "goroutine.debug0.pb.gz").read_bytes()
    before = proto.parse(body)
    keys = sorted({key for trace, _ in before.groups for key, _ in trace.labels})
    after = proto.parse(redact.proto(body, Redaction(glob(keys[0]))))
    for (old, _), (new, _) in zip(before.groups, after.groups, strict=True):
        assert new.labels == tuple((k, "redacted" if k == keys[0] else v) for k, v in old.labels)


def test_bad_protobufs() -> None:
    """What cannot be read is refused, never kept as it is."""
    with pytest.raises(TruncatedProfile):
        redact.proto(gzip.compress(b"\x0a\x00" * 100)[:-9], ALL)
    with pytest.raises(TruncatedProfile, match="more than 10 bytes"):
        redact.proto(gzip.compress(b"\x0a\x00" * 100), ALL, 10)
    with pytest.raises(MalformedProfile, match="bad gzip"):
        redact.proto(b"\x1f\x8bnonsense-and-more", ALL)
    with pytest.raises(MalformedProfile, match="string 9 of 0"):
        redact.proto(bytes_field(2, _sample((9, 9))), ALL)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_dump_keeps_all_but_arguments_and_values(version: str) -> None:
    """Every goroutine of a real dump is what it was; no argument word and no value of a label is left."""
    body = (PROFILES / version / "goroutine.debug2.txt").read_bytes()
    new = redact.dump(body, ALL)
    before, after = dump.parse(body), dump.parse(new)
    assert not after.truncated
    for old, kept in zip(before.goroutines, after.goroutines, strict=True):
        assert kept.trace.frames == old.trace.frames
        assert (kept.state, kept.minutes, kept.creator, kept.parent) == (
            old.state,
            old.minutes,
            old.creator,
            old.parent,
        )
        assert kept.trace.labels == tuple((key, "redacted") for key, _ in old.trace.labels)
    assert re.search(rb"^\S*\([^()\n]*\)$", body, re.MULTILINE)
    assert {match[1] for match in re.finditer(rb"^[^\t\n].*\(([^()\n]*)\)$", new, re.MULTILINE)} == {b"..."}
    assert redact.dump(body, NOTHING) == body


def test_arguments_of_some_functions() -> None:
    """Patterns are globs over functions."""
    body = (
        b"goroutine 1 [running]:\nmain.login(0x1, {0x2, 0x3})\n\t/a.go:1 +0x1\nmain.main(0x4?)\n\t/a.go:2 +0x1\n\n"
    )
    assert redact.dump(body, Redaction(arguments=glob("*.login"))) == body.replace(b"0x1, {0x2, 0x3}", b"...")


def test_a_dump_that_is_cut() -> None:
    """The half line at the end is left out: it may be the half of a secret."""
    body = b"goroutine 1 [running]:\nmain.f(0x1)\n\t/a.go:1 +0x1\nmain.login(0xdeadbeef, 0x"
    assert redact.dump(body, ALL) == b"goroutine 1 [running]:\nmain.f(...)\n\t/a.go:1 +0x1\n"
    assert redact.dump(b"main.odd(0x1, (0x2\n", ALL) == b"main.odd\n"


def test_a_strange_header_of_a_dump() -> None:
    """A header whose labels cannot be told apart is refused, and not quoted."""
    with pytest.raises(MalformedProfile, match="line 2") as caught:
        redact.dump(b"\ngoroutine 1 [running] {a: b c}:\n", ALL)
    assert "b c" not in str(caught.value)
