"""The reader of profile.proto: recorded bodies, our own writer's, and bodies that are none."""

import gzip
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.errors import MalformedProfile, NotAProfile, ProfileError, ScrapeError, TruncatedProfile
from leakwatch.model import Frame, Profile, Trace
from leakwatch.profile import formats as saved
from leakwatch.profile import pprof, proto, text
from leakwatch.profile.dump import Dump
from leakwatch.profile.stacks import Identifier

PROFILES = Path(__file__).parent / "profiles"
VERSIONS = sorted(PROFILES.glob("*/goroutine.debug0.pb.gz"))
BODY = VERSIONS[-1].read_bytes()
PLAIN = gzip.decompress(BODY)
ASKING = "runtime/pprof.runtime_goroutineProfileWithLabels", "runtime/pprof.writeRuntimeProfile"


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.parent.name)
def test_text_and_protobuf_of_one_program_have_the_same_stacks(path: Path) -> None:
    """Same fingerprints, frames, labels merged alike and counts; only protobuf knows what channels wait for."""
    samples = Identifier().identify(proto.parse(path.read_bytes()))
    printed = Identifier().identify(text.parse((path.parent / "goroutine.debug1.txt").read_bytes()))
    assert set(samples) == set(printed)
    for fingerprint, sample in samples.items():
        same = printed[fingerprint].stack
        assert [frame.function for frame in sample.stack.frames] == [frame.function for frame in same.frames]
        assert (sample.stack.blamed, sample.stack.origin) == (same.blamed, same.origin)
        assert same.wait in {"", sample.stack.wait}
        assert sample.stack.wait or sample.stack.frames[0].function in ASKING
    waits = {sample.stack.wait for sample in samples.values()}
    assert {"chan send", "chan receive", "select", "select (no cases)", "IO wait", "sync.Mutex.Lock"} <= waits


def test_a_wait_reason_once_known_stays() -> None:
    """In a mix of protobuf and text, text takes over what protobuf said of the same stack."""
    identifier = Identifier()
    known = identifier.identify(proto.parse(BODY))
    printed = identifier.identify(text.parse((VERSIONS[-1].parent / "goroutine.debug1.txt").read_bytes()))
    assert {key: s.stack.wait for key, s in printed.items()} == {key: s.stack.wait for key, s in known.items()}


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.parent.name)
def test_the_process_is_named(path: Path) -> None:
    """Each start has its place of the [vdso]; from Go 1.24 on each build has its name."""
    process = proto.process(path.read_bytes())
    assert process.start.startswith("0x7f")
    assert bool(process.build) == (path.parent.name >= "1.24")


def test_what_we_write_we_read() -> None:
    """A text profile written for `go tool pprof` comes back with the same stacks and counts."""
    profile = text.parse((VERSIONS[-1].parent / "goroutine.debug1.txt").read_bytes())
    again = Identifier().identify(proto.parse(pprof.encode(profile)))
    expected = Identifier().identify(profile)
    assert {key: s.goroutines for key, s in again.items()} == {key: s.goroutines for key, s in expected.items()}


def test_saved_profiles_of_any_kind_are_read() -> None:
    """Text and protobuf, gzipped or not, are told apart by what they hold."""
    printed = (VERSIONS[-1].parent / "goroutine.debug1.txt").read_bytes()
    totals = {saved.parse(body).total for body in (printed, gzip.compress(printed), BODY, PLAIN)}
    assert totals == {183}


@pytest.mark.parametrize(
    "path", sorted(PROFILES.glob("*/goroutine.debug2.txt")), ids=lambda path: path.parent.name
)
def test_saved_dumps_are_read(path: Path) -> None:
    """A full dump is a profile too, gzipped, after a panic's message, pasted; of a cut one the rest is kept."""
    body = path.read_bytes()
    total = saved.parse(body).total
    assert total in {177, 183, 185}
    assert saved.parse(gzip.compress(body)).total == saved.parse(b"panic: boom\n\n" + body).total == total
    pasted = saved.read(body.replace(b"\t", b"  ").replace(b"\n", b"\r\n"), pasted=True)
    assert isinstance(pasted, Dump)
    assert len(pasted.goroutines) == total
    for cut in (body[:-300], gzip.compress(body)[:-300]):
        found = saved.read(cut)
        assert isinstance(found, Dump)
        assert found.truncated
        assert total - 40 < len(found.goroutines) < total
        with pytest.raises(TruncatedProfile, match=f"the dump ends early, after {len(found.goroutines)} gorout"):
            saved.parse(cut)


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        (b"", NotAProfile, "empty"),
        (b"<html>no</html>", NotAProfile, "<html>no"),
        (BODY[:-20], TruncatedProfile, "gzip ends early"),
        (BODY[:50] + b"xxxx" + BODY[54:], MalformedProfile, "gzip"),
        (PLAIN[:-3], TruncatedProfile, "ends after"),
        (gzip.compress(b"\0" * 10**6), ScrapeError, "larger than 100000 bytes"),
        ((VERSIONS[-1].parent / "goroutineleak.debug0.pb.gz").read_bytes(), NotAProfile, "goroutineleak"),
    ],
)
def test_what_is_no_profile_is_named(body: bytes, error: type[ScrapeError], said: str) -> None:
    """Pages, cut bodies, bombs and other profiles each raise their error, which says what is there."""
    with pytest.raises(error, match=said):
        proto.parse(body, 100_000)


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.parent.name)
def test_a_body_that_is_known_is_read_alike(path: Path) -> None:
    """Stacks that are remembered are the same objects, whatever the size of the pieces."""
    memory, body = proto.ProtoCache(), path.read_bytes()
    first = proto.parse(body, memory=memory)
    parser = proto.Parser(memory)
    assert [parser.feed(body[at : at + 1]) for at in range(len(body))] == [[]] * len(body)
    assert parser.close() == list(first.groups)
    assert parser.total == first.total
    assert parser.process == proto.process(body)
    assert first.groups == proto.parse(gzip.decompress(body), memory=memory).groups


def test_one_service_does_not_name_the_stacks_of_another() -> None:
    """Who claims to be of the same build, but has other names, is believed by its own service only."""
    body, lie = PLAIN, PLAIN.replace(b"main.chanSend", b"evil.chanSend")
    memory = proto.ProtoCache()
    names = {}
    for service, data in (("evil", lie), ("shop", body), ("evil", lie)):
        parser = proto.Parser(memory, whose=service)
        parser.feed(data)
        names[service] = {frame.function for trace, _ in parser.close() for frame in trace.frames}
    assert "main.chanSend" in names["shop"]
    assert "evil.chanSend" not in names["shop"]
    assert "evil.chanSend" in names["evil"]


def test_a_large_body_is_read_in_steps() -> None:
    """Thousands of groups are made some hundred at a time, so that the loop has its turns; then all are there."""
    traces = [(Trace((Frame(f"main.f{n}", "/f.go", n + 1),)), 3) for n in range(2600)]
    parser = proto.Parser()
    parser.feed(pprof.encode(Profile(7800, tuple(traces))))
    assert len(list(parser.steps())) == 2600 // proto.STEP
    assert (len(parser.close()), parser.total) == (2600, 7800)


def test_ten_thousand_labels_are_one_stack() -> None:
    """Goroutines that each have a label of their own come together; nothing is lost."""
    frames = (Frame("main.wait", "/w.go", 1),)
    groups = tuple((Trace(frames, labels=(("request", f"{n}"),)), 1) for n in range(10_000))
    profile = proto.parse(pprof.encode(Profile(10_000, groups)))
    (sample,) = Identifier().identify(profile).values()
    assert sample.goroutines == 10_000


def test_a_bomb_of_empty_parts_is_given_up() -> None:
    """A few kB that would become millions of objects are no profile."""
    with pytest.raises(ScrapeError, match="more than 1000000 parts") as caught:
        proto.parse(gzip.compress(PLAIN + b"\x32\x00" * 2_000_000))
    assert caught.value.reason == "too_large"


@given(
    st.binary() | st.tuples(st.integers(0, len(PLAIN)), st.binary(max_size=8)).map(lambda t: PLAIN[: t[0]] + t[1])
)
def test_arbitrary_bytes_raise_only_our_errors(body: bytes) -> None:
    """Whatever comes, the error is a ProfileError."""
    with suppress(ProfileError):
        proto.parse(body)
    with suppress(ProfileError):
        proto.process(body)


@given(st.integers(0, len(PLAIN) - 1), st.integers(0, 255))
def test_one_wrong_byte_raises_only_our_errors(at: int, byte: int) -> None:
    """A flipped byte gives another profile or a ProfileError."""
    with suppress(ProfileError):
        proto.parse(PLAIN[:at] + bytes([byte]) + PLAIN[at + 1 :])


def test_a_saved_bomb_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is unpacked than a profile can be."""
    monkeypatch.setattr(saved, "LARGEST", 1 << 20)
    with pytest.raises(MalformedProfile, match="more than 1 MB in"):
        saved.parse(gzip.compress(bytes(2 << 20)))
