"""Parser of profile.proto: recorded bodies, the bodies of pprof.py, and invalid bodies."""

import gzip
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.errors import MalformedProfile, NotAProfile, ProfileError, ScrapeError, TruncatedProfile
from leakwatch.model import Frame, Process, Profile, Trace
from leakwatch.profile import formats, parts, pprof, proto, text
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.dump import Dump
from leakwatch.profile.stacks import Identifier
from leakwatch.profile.wire import bytes_field, encoded, number_field

PROFILES = Path(__file__).parents[2] / "profiles"
VERSIONS = sorted(PROFILES.glob("*/goroutine.debug0.pb.gz"))
BODY = VERSIONS[-1].read_bytes()
PLAIN = gzip.decompress(BODY)


def process_of(body: bytes) -> Process:
    """Return the process that wrote a body."""
    parser = proto.Parser()
    parser.feed(body)
    return parser.process


def sample(ids: bytes = b"\x01", count: int = 1, labels: bytes = b"") -> bytes:
    """Return a sample, a part of a body."""
    return bytes_field(2, bytes_field(1, ids) + bytes_field(2, encoded(count)) + labels)


def location(*parts: bytes, number: int = 1) -> bytes:
    """Return a location with the address 0x1000, a part of a body."""
    return bytes_field(4, number_field(1, number) + number_field(3, 0x1000) + b"".join(parts))


def function(number: int = 1, name: int = 3) -> bytes:
    """Return a function, a part of a body."""
    return bytes_field(5, number_field(1, number) + number_field(2, name))


CALL = bytes_field(4, number_field(1, 1) + number_field(2, 7))
MAPPING = bytes_field(3, number_field(1, 1) + number_field(2, 0x400000) + number_field(5, 4))


def profile_of(
    *parts: bytes, locations: bytes = location(CALL), functions: bytes = function(), name: bytes = b"main.f"
) -> bytes:
    """Return a body with `parts`, by default with one location in one function."""
    unit = number_field(1, 1) + number_field(2, 2)
    strings = b"".join(bytes_field(6, text) for text in (b"", b"goroutine", b"count", name, b"[vdso]"))
    return b"".join((bytes_field(1, unit), *parts, locations, functions, strings))


PROFILE_HANDLER = "runtime/pprof.runtime_goroutineProfileWithLabels", "runtime/pprof.writeRuntimeProfile"


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.parent.name)
def test_text_and_protobuf_of_one_program_have_the_same_stacks(path: Path) -> None:
    """Both formats have the same fingerprints and frames; only protobuf has the wait reasons of channels."""
    samples = Identifier().identify(proto.parse(path.read_bytes()))
    printed = Identifier().identify(text.parse((path.parent / "goroutine.debug1.txt").read_bytes()))
    assert set(samples) == set(printed)
    for fingerprint, sample in samples.items():
        stack, text_stack = sample.stack, printed[fingerprint].stack
        assert [frame.function for frame in stack.frames] == [frame.function for frame in text_stack.frames]
        assert (stack.blamed, stack.origin) == (text_stack.blamed, text_stack.origin)
        assert text_stack.wait in {"", stack.wait}
        assert sample.stack.wait or sample.stack.frames[0].function in PROFILE_HANDLER
    waits = {sample.stack.wait for sample in samples.values()}
    assert {"chan send", "chan receive", "select", "select (no cases)", "IO wait", "sync.Mutex.Lock"} <= waits


def test_a_known_wait_reason_stays() -> None:
    """A text body gets the wait reasons that two earlier protobufs had for the same stacks."""
    identifier = Identifier()
    identifier.identify(proto.parse(BODY))
    samples = identifier.identify(proto.parse(BODY))
    printed = identifier.identify(text.parse((VERSIONS[-1].parent / "goroutine.debug1.txt").read_bytes()))
    assert {key: s.stack.wait for key, s in printed.items()} == {key: s.stack.wait for key, s in samples.items()}


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.parent.name)
def test_the_process_is_identified(path: Path) -> None:
    """The address of the [vdso] identifies the start; from Go 1.24 on, the build has an id."""
    process = process_of(path.read_bytes())
    assert process.start.startswith("0x7f")
    assert bool(process.build) == (path.parent.name >= "1.24")


def test_written_profiles_are_read() -> None:
    """A profile that pprof.py encoded is parsed to the same stacks and counts."""
    profile = text.parse((VERSIONS[-1].parent / "goroutine.debug1.txt").read_bytes())
    decoded = Identifier().identify(proto.parse(pprof.encode(profile)))
    expected = Identifier().identify(profile)
    assert {key: s.goroutines for key, s in decoded.items()} == {key: s.goroutines for key, s in expected.items()}


def test_saved_profiles_of_any_kind_are_read() -> None:
    """Text and protobuf, gzipped or not, are recognised by their contents."""
    printed = (VERSIONS[-1].parent / "goroutine.debug1.txt").read_bytes()
    totals = {formats.parse(body).total for body in (printed, gzip.compress(printed), BODY, PLAIN)}
    assert totals == {183}


@pytest.mark.parametrize(
    "path", sorted(PROFILES.glob("*/goroutine.debug2.txt")), ids=lambda path: path.parent.name
)
def test_saved_dumps_are_read(path: Path) -> None:
    """Dumps may be gzipped, or after the message of a panic; of truncated dumps, a part is read."""
    body = path.read_bytes()
    total = formats.parse(body).total
    assert total in {177, 183, 185}
    assert formats.parse(gzip.compress(body)).total == formats.parse(b"panic: boom\n\n" + body).total == total
    for truncated in (body[:-300], gzip.compress(body)[:-300]):
        part = formats.read(truncated)
        assert isinstance(part, Dump)
        assert part.truncated
        assert total - 40 < len(part.goroutines) < total
        with pytest.raises(TruncatedProfile, match=f"the dump ends early, after {len(part.goroutines)} gorout"):
            formats.parse(truncated)


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (b"", NotAProfile, "empty"),
        (b"<html>no</html>", NotAProfile, "<html>no"),
        (BODY[:-20], TruncatedProfile, "gzip ends early"),
        (BODY[:50] + b"xxxx" + BODY[54:], MalformedProfile, "gzip"),
        (PLAIN[:-3], TruncatedProfile, "the body ends after"),
        (gzip.compress(b"\0" * 10**6, mtime=0), ScrapeError, "larger than 100000 bytes"),
        ((VERSIONS[-1].parent / "goroutineleak.debug0.pb.gz").read_bytes(), NotAProfile, "goroutineleak"),
    ],
)
def test_invalid_bodies(body: bytes, error: type[ScrapeError], message: str) -> None:
    """Pages, truncated bodies, bombs and other profiles raise distinct errors; the message names the problem."""
    with pytest.raises(error, match=message):
        proto.parse(body, 100_000)


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.parent.name)
def test_repeated_bodies(path: Path) -> None:
    """A body gives the same trace objects from its second occurrence on, for any size of the pieces."""
    cache, body = ParseCache(), path.read_bytes()
    proto.parse(body, cache=cache)
    first = proto.parse(body, cache=cache)
    parser = proto.Parser(cache)
    assert [parser.feed(body[i : i + 1]) for i in range(len(body))] == [[]] * len(body)
    assert parser.close() == list(first.groups)
    assert parser.total == first.total
    assert parser.process == process_of(body)
    assert first.groups == proto.parse(gzip.decompress(body), cache=cache).groups


def test_one_service_does_not_name_the_stacks_of_another() -> None:
    """A service with the build of another service, but other names, does not change the names of the other."""
    body, forged = PLAIN, PLAIN.replace(b"main.chanSend", b"evil.chanSend")
    cache = ParseCache()
    names = {}
    for service, data in 2 * (("evil", forged), ("shop", body)) + (("evil", forged),):
        parser = proto.Parser(cache, service=service)
        parser.feed(data)
        names[service] = {frame.function for trace, _ in parser.close() for frame in trace.frames}
    assert "main.chanSend" in names["shop"]
    assert "evil.chanSend" not in names["shop"]
    assert "evil.chanSend" in names["evil"]


def test_a_large_body_is_read_in_steps() -> None:
    """Each new stack is a step, and few groups are yielded at once, to keep the event loop responsive."""
    traces = [(Trace((Frame(f"main.f{n}", "/f.go", n + 1),)), 3) for n in range(2600)]
    parser = proto.Parser()
    parser.feed(pprof.encode(Profile(7800, tuple(traces))))
    steps = list(parser.close_steps())
    assert len(steps) > 2600
    assert max(map(len, steps)) == proto.BATCH
    assert (sum(map(len, steps)), parser.total) == (2600, 7800)


def test_many_groups_are_sorted_in_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups are yielded the largest first, equal ones in their order, though they are sorted in several runs."""
    monkeypatch.setattr(proto, "RUN", 10)
    counts = [n * 7919 % 100 + 1 for n in range(95)]
    body = profile_of(*(sample(ids=b"\x01", count=count) for count in counts))
    assert [count for _, count in proto.parse(body).groups] == sorted(counts, reverse=True)


def test_ten_thousand_labels_are_one_stack() -> None:
    """Goroutines with distinct labels are one stack, and all are counted."""
    frames = (Frame("main.wait", "/w.go", 1),)
    groups = tuple((Trace(frames, labels=(("request", f"{n}"),)), 1) for n in range(10_000))
    profile = proto.parse(pprof.encode(Profile(10_000, groups)))
    (sample,) = Identifier().identify(profile).values()
    assert sample.goroutines == 10_000


def test_a_bomb_of_empty_parts_is_rejected() -> None:
    """A few kB with millions of empty parts raise an error."""
    with pytest.raises(ScrapeError, match="more than 1000000 parts") as caught:
        proto.parse(gzip.compress(PLAIN + b"\x3a\x00" * 2_000_000))
    assert caught.value.reason == "too_large"


BIG_NUMBERS = encoded(300) * 2049
LABEL = bytes_field(3, number_field(1, 3) + number_field(2, 3))
MALFORMED = {
    "missing location": (profile_of(sample(ids=b"\x07")), "sample 1: location 7 is missing"),
    "no location": (profile_of(sample(ids=b"\x00")), "sample 1: location 0 is missing"),
    "location twice": (profile_of(sample(), location(CALL)), "location 1 occurs twice"),
    "location without id": (profile_of(sample(), location(CALL, number=0)), "a location has no id"),
    "missing function": (profile_of(sample(), functions=b""), "function 1 is missing"),
    "function twice": (profile_of(sample(), function()), "function 1 occurs twice"),
    "count": (profile_of(sample(count=10**17)), "sample 1: expected one count below"),
    "two counts": (profile_of(sample(labels=number_field(2, 1))), "sample 1: expected one count"),
    "ids": (profile_of(sample(ids=b"\x01" * 2049)), "sample 1: expected at most 2048 locations"),
    "large ids": (profile_of(sample(ids=BIG_NUMBERS)), "sample 1: expected at most 2048 locations"),
    "single ids": (profile_of(sample(labels=number_field(1, 1) * 2049)), "sample 1: expected at most 2048"),
    "labels": (profile_of(sample(labels=LABEL * 1001)), "2048 locations and 1000 labels"),
    "large labels": (
        profile_of(sample(labels=LABEL * 40), name=b"x" * 1000),
        "sample 1: expected at most 65536 bytes of labels",
    ),
    "sample": (profile_of(sample(ids=b"\x01" * 65_530)), "a field of 65537 bytes, expected at most 65536"),
    "calls": (profile_of(sample(), location(CALL * 200, number=2)), "locations: number 1 has 1205 bytes"),
    "call names": (
        profile_of(sample(), locations=location(CALL * 7), name=b"x" * 60_000),
        "a location has more than 393216 bytes of functions",
    ),
    "names": (
        profile_of(sample(ids=b"\x01" * 7), name=b"x" * 60_000),
        "sample 1: expected at most 393216 bytes of functions",
    ),
    "name": (profile_of(sample(), name=b"x" * 65_537), "a field of 65537 bytes"),
    "mapping": (profile_of(sample(), bytes_field(3, b"\x08\x01" * 200)), "mappings: number 1 has 400 bytes"),
    "empty sample": (profile_of(sample(), b"\x12\x00"), "samples: number 2 has 0 bytes"),
    "empty mapping": (profile_of(sample(), b"\x1a\x00"), "mappings: number 1 has 0 bytes"),
    "empty location": (profile_of(sample(), b"\x22\x00"), "locations: number 1 has 0 bytes"),
    "empty function": (profile_of(sample(), b"\x2a\x00"), "functions: number 1 has 0 bytes"),
}


@pytest.mark.parametrize(("body", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_each_part_is_bounded(body: bytes, message: str) -> None:
    """A part that runtime/pprof does not write is rejected before it is decoded; the message names the part."""
    with pytest.raises(MalformedProfile) as caught:
        proto.parse(body)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


def test_the_parts_of_malformed_bodies_are_valid_in_small_numbers() -> None:
    """The same parts within the bounds are a valid profile."""
    body = profile_of(sample(ids=b"\x01" * 128, labels=LABEL, count=10**11), MAPPING)
    ((trace, count),) = proto.parse(body).groups
    assert (count, len(trace.frames), trace.labels) == (10**11, 128, (("main.f", "main.f"),))


@pytest.mark.parametrize(
    ("part", "count", "name"),
    [(MAPPING, 10_001, "10000 mappings"), (bytes_field(1, b"\x08\x01"), 11, "10 sample types")],
)
def test_the_number_of_parts_is_bounded(part: bytes, count: int, name: str) -> None:
    """Many small parts raise an error."""
    with pytest.raises(ScrapeError, match=f"more than {name}") as caught:
        proto.parse(gzip.compress(part * count + profile_of(sample())))
    assert caught.value.reason == "too_large"


def test_a_shared_name_is_decoded_once() -> None:
    """Many calls of functions with one long name share its text."""
    calls = b"".join(location(CALL, number=number) for number in range(1, 1000))
    samples = (sample(ids=encoded(number)) for number in range(1, 1000))
    profile = proto.parse(profile_of(*samples, locations=calls, name=b"\xff" * 60_000))
    assert len({id(trace.frames[0].function) for trace, _ in profile.groups}) == 1


def test_a_gzip_bomb_is_parsed_in_steps() -> None:
    """A step parses at most PIECE decompressed bytes."""
    parser = proto.Parser()
    bomb = gzip.compress(profile_of(sample()) + b"\x3a\x00" * 500_000)
    assert len(list(parser.feed_steps(bomb))) >= 1_000_000 // parts.PIECE


@given(
    st.binary() | st.tuples(st.integers(0, len(PLAIN)), st.binary(max_size=8)).map(lambda t: PLAIN[: t[0]] + t[1])
)
def test_arbitrary_bytes_raise_only_profile_errors(body: bytes) -> None:
    """Arbitrary bytes give a profile or raise a ProfileError."""
    with suppress(ProfileError):
        proto.parse(body)
    with suppress(ProfileError):
        process_of(body)


@given(st.integers(0, len(PLAIN) - 1), st.integers(0, 255))
def test_one_wrong_byte_raises_only_profile_errors(offset: int, byte: int) -> None:
    """A changed byte gives a profile or raises a ProfileError."""
    with suppress(ProfileError):
        proto.parse(PLAIN[:offset] + bytes([byte]) + PLAIN[offset + 1 :])


def test_a_saved_bomb_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gzipped body that exceeds MAX_SIZE raises an error."""
    monkeypatch.setattr(formats, "MAX_SIZE", 1 << 20)
    with pytest.raises(MalformedProfile, match="expand to more than 1 MB"):
        formats.parse(gzip.compress(bytes(2 << 20)))
