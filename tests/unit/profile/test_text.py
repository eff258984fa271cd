"""Parser of debug=1: recorded, constructed and invalid bodies."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.errors import MalformedProfile, NotAProfile, ProfileError, TruncatedProfile
from leakwatch.model import Frame, Profile, Trace
from leakwatch.profile import text
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.limits import MAX_GROUP
from tests.support.rendering import counters, render

RECORDED = sorted((Path(__file__).parents[2] / "profiles").glob("*/goroutine.debug1.txt"))
BODY = RECORDED[-1].read_bytes()
SMALL = (
    b"goroutine profile: total 3\n"
    b"2 @ 0x11 0x21 0x31\n"
    b'# labels: {"k":"v\\"\\u00e9\\x41"}\n'
    b"#\t0x10\tmain.leaf+0x1\t\tC:/src/main.go:7\n"
    b"#\t0x20\tmain.main+0x2\t/src/main.go:3\n"
    b"\n"
    b"1 @ 0x41\n"
    b"\n"
)


def shape(profile: Profile) -> list[tuple[object, ...]]:
    """Return the contents of a profile; traces compare by identity, so `==` is not enough."""
    return [(t.frames, t.counters, t.labels, t.truncated, count) for t, count in profile.groups]


def test_a_small_body() -> None:
    """Counts, labels and frames are parsed; a group that has not run yet has no frames."""
    profile = text.parse(SMALL)
    assert profile.total == 3
    (first, first_count), (second, second_count) = profile.groups
    assert (first_count, second_count) == (2, 1)
    assert first.frames == (Frame("main.leaf", "C:/src/main.go", 7), Frame("main.main", "/src/main.go", 3))
    assert first.labels == (("k", 'v"éA'),)
    assert first.counters == b" 0x11 0x21 0x31"
    assert not first.truncated
    assert second.frames == ()


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_recorded_bodies(path: Path) -> None:
    """Bodies of all Go versions are parsed: counts add up, frames have files and lines, one stack is truncated."""
    profile = text.parse(path.read_bytes())
    assert profile.total == sum(count for _, count in profile.groups) > 170
    assert all(frame.file and frame.line for trace, _ in profile.groups for frame in trace.frames)
    assert [trace.frames[0].function for trace, _ in profile.groups if trace.truncated] == ["main.deep"]
    labelled = next(dict(trace.labels) for trace, _ in profile.groups if len(trace.labels) > 3)
    assert labelled["brace"] == 'a}, {"b":"c"'
    assert labelled["nl"] == "line1\nline2\ttab"
    assert labelled["bad"] == "\\xff\\xfe\x00\x7f\u200b\u2028"
    assert labelled["uni"] == "größe-日本-😀"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("body", [SMALL, BODY], ids=["small", "recorded"])
def test_pieces_of_any_size(body: bytes, size: int) -> None:
    """A body in pieces gives the same groups as the whole body."""
    parser = text.Parser()
    groups = [g for start in range(0, len(body), size) for g in parser.feed(body[start : start + size])]
    parser.close()
    assert shape(Profile(parser.total or 0, tuple(groups))) == shape(text.parse(body))


def test_repeated_bodies() -> None:
    """A group that two bodies had gives the same trace object from then on, also with another count."""
    cache = ParseCache()
    text.parse(SMALL, cache)
    first = text.parse(SMALL, cache)
    second = text.parse(SMALL.replace(b"total 3", b"total 4").replace(b"2 @", b"3 @"), cache)
    assert [count for _, count in second.groups] == [3, 1]
    assert all(a is b for (a, _), (b, _) in zip(first.groups, second.groups, strict=True))


def test_labels_beyond_unicode() -> None:
    """An escape beyond Unicode stays an escape."""
    profile = text.parse(SMALL.replace(b"\\u00e9", b"\\Uffffffff"))
    assert profile.groups[0][0].labels == (("k", 'v"\\UffffffffA'),)


def test_a_label_that_looks_like_a_group() -> None:
    """Text within a label does not start a group, neither in a new body nor in a cached one."""
    cache = ParseCache()
    body = SMALL.replace(b"\\u00e9", b" @ 0x1")
    for _ in range(3):
        profile = text.parse(body, cache)
        assert next((t.labels, count) for t, count in profile.groups) == ((("k", 'v" @ 0x1A'),), 2)


def test_an_empty_profile() -> None:
    """A total of 0 without groups is a valid profile."""
    assert text.parse(b"goroutine profile: total 0\n") == Profile(0, ())


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (b"", NotAProfile, "not a goroutine profile: the body is empty"),
        (b"<!DOCTYPE html>\n<html>", NotAProfile, "the body starts with '<!DOCTYPE html>'"),
        (b"\x1f\x8b\x08\x00junk", NotAProfile, "the body starts with"),
        (b"heap profile: 3: 1 [2: 3] @ heap/2\n", NotAProfile, "the body starts with 'heap profile"),
        (b"threadcreate profile: total 9\n", NotAProfile, "but a 'threadcreate' profile"),
        (b"goroutine pro", NotAProfile, "the body starts with 'goroutine pro'"),
        (SMALL[:-20], TruncatedProfile, "line 2: the body ends within a group"),
        (SMALL[:-1], TruncatedProfile, "line 7: the body ends within a group: '1 @ 0x41\\n'"),
        (
            SMALL[: SMALL.index(b"1 @")],
            TruncatedProfile,
            "line 1: total 3, but the counts of the groups add up to 2",
        ),
        (
            SMALL.replace(b"2 @", b"two @"),
            MalformedProfile,
            "line 2: expected `count @ counters`, found 'two @",
        ),
        (SMALL + b"garbage\n\n", MalformedProfile, "line 9: expected `count @ counters`, found 'garbage'"),
        (SMALL.replace(b"total 3", b"total " + b"9" * 400), NotAProfile, "the body starts with"),
        (SMALL.replace(b"2 @", b"9" * 400 + b" @"), MalformedProfile, "line 2: expected `count @ counters`"),
        (SMALL.replace(b"go:7", b"go:" + b"7" * 400), MalformedProfile, "line 4: expected file:line"),
        (SMALL.replace(b"1 @ 0x41", b"1 @ 0x41" + b"\n#" * 20_000), MalformedProfile, "at most 2048 lines"),
        (SMALL.replace(b"1 @ 0x41", b"1 @" + b" 0x41" * 2049), MalformedProfile, "at most 2048 program counters"),
        (SMALL.replace(b"0x31", b"0x" + b"3" * 17), MalformedProfile, "line 2: expected program counters"),
        (SMALL.replace(b'"k":', b'"k":"v", ' * 1001 + b'"k":'), MalformedProfile, "at most 1000 labels"),
        (SMALL.replace(b'"k"', b'"' + b"k" * 65_536 + b'"'), MalformedProfile, "line 3: expected at most 65536"),
        (SMALL.replace(b"leaf", b"l" * 65_536), MalformedProfile, "line 4: expected at most 65536"),
        (SMALL.replace(b"2 @", b"100000000000000000 @"), MalformedProfile, "line 2: expected `count @ counters`"),
        (SMALL.replace(b"total 3", b"total 1000000000000"), MalformedProfile, "line 1: expected a total below"),
        (SMALL.replace(b"0x21", b"x21"), MalformedProfile, "line 2: expected program counters"),
        (SMALL.replace(b"labels: {", b"labels: {]"), MalformedProfile, "line 3: expected labels"),
        (
            SMALL.replace(b"main.go:7", b"main.go"),
            MalformedProfile,
            "line 4: expected file:line, found '#\\t0x10",
        ),
        (SMALL.replace(b"main.main+0x2", b"main"), MalformedProfile, "line 5: expected function+0xoffset"),
        (
            SMALL.replace(b"1 @ 0x41", b"1 @ 0x41\ngarbage"),
            MalformedProfile,
            "line 8: expected a frame, found 'garb",
        ),
    ],
)
def test_invalid_bodies(body: bytes, error: type[ProfileError], message: str) -> None:
    """Each invalid body raises an error with its kind; the message has the line number and quotes the line."""
    with pytest.raises(error) as caught:
        text.parse(body)
    assert message in str(caught.value)


def test_an_endless_line_is_quoted_short() -> None:
    """The message for a function name of a megabyte is short."""
    with pytest.raises(MalformedProfile) as caught:
        text.parse(b"goroutine profile: total 1\n1 @ 0x1\n#\t0x0\t" + b"x" * 1_000_000 + b"\n\n")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("part", [b"1 @ 0x1\n# labels: {", b"1 @", b"1 @ 0x1\n#\t0x0\tf", b"x", b"1 @ 0x1\n"])
@pytest.mark.parametrize("filler", [b'"k":"v", ', b" 0x1", b"[", b"\n"])
@pytest.mark.parametrize("size", [1000, 65_536, 1 << 20])
def test_a_group_without_end_is_rejected_while_it_arrives(part: bytes, filler: bytes, size: int) -> None:
    """Whatever a group consists of, the parser raises an error after at most MAX_GROUP bytes and one step."""
    body = b"goroutine profile: total 1\n" + part + filler * (2 * MAX_GROUP // len(filler))
    parser, steps = text.Parser(), 0

    def feed() -> None:
        nonlocal steps
        for start in range(0, len(body), size):
            for _ in parser.feed_steps(body[start : start + size]):
                steps += 1

    with pytest.raises(MalformedProfile, match=r"line \d: expected"):
        feed()
    assert (steps - 1) * min(text.STEP, size) <= MAX_GROUP


def test_new_groups_are_parsed_in_steps() -> None:
    """A step parses at most STEP bytes, however large the piece is."""
    groups = b"".join(b"1 @ 0x%x\n#\t0x%x\tf%d+0x1\t:1\n\n" % (i + 2, i + 1, i) for i in range(10_000))
    parser = text.Parser()
    steps = list(parser.feed_steps(b"goroutine profile: total 10000\n" + groups))
    assert sum(map(len, steps)) == 10_000
    assert max(map(len, steps)) <= text.STEP // len(b"1 @ 0x2\n#\t0x1\tf0+0x1\t:1\n\n") + 1
    assert parser.close() == []


def test_different_lines_of_one_stack_use_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body with more different lines than MAX_STACKS is parsed, but not all lines are kept."""
    monkeypatch.setattr(text, "MAX_STACKS", 100)
    parser = text.Parser()
    groups = b"".join(b"1 @ 0x%x\n#\t0x%x\tf+0x1\t:%d\n\n" % (i + 2, i + 1, i) for i in range(1000))
    assert len(parser.feed(b"goroutine profile: total 1000\n" + groups)) == 1000
    assert len(parser._frames) <= 100


names = st.text(
    st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp", "Zs"], blacklist_characters="\x85"),
    min_size=1,
)
frames = st.builds(Frame, names, names, st.integers(0, 10**6))


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Draw a trace as Go could print it."""
    visible = draw(st.lists(frames | st.just(text.UNKNOWN), max_size=5))
    size = len(visible)
    addresses = draw(st.lists(st.integers(1, 2**40), min_size=size + 1, max_size=size + 3, unique=True))
    truncated = bool(visible) and draw(st.booleans())
    label = st.text(st.characters(blacklist_categories=["Cs"]))
    labels = draw(st.lists(st.tuples(label, label), max_size=2))
    return Trace(tuple(visible), counters(addresses), labels=tuple(labels), truncated=truncated)


@given(st.lists(st.tuples(traces(), st.integers(1, 10**6)), max_size=5), st.integers(1, 200))
def test_rendering_then_parsing(groups: list[tuple[Trace, int]], size: int) -> None:
    """A rendered profile is parsed to an equal profile, whole and in pieces."""
    profile = Profile(sum(count for _, count in groups), tuple(groups))
    body = render(profile)
    assert shape(text.parse(body)) == shape(profile)
    parser = text.Parser()
    pieces = [g for start in range(0, len(body), size) for g in parser.feed(body[start : start + size])]
    parser.close()
    assert shape(Profile(profile.total, tuple(pieces))) == shape(profile)


@given(st.binary() | st.binary().map(lambda b: b"goroutine profile: total 1\n1 @ 0x1\n" + b))
def test_arbitrary_bytes(body: bytes) -> None:
    """Arbitrary bytes give a profile or raise a ProfileError."""
    with suppress(ProfileError):
        text.parse(body)


@given(st.integers(0, len(BODY) - 2), st.integers(0, 255))
def test_damage_is_noticed_or_harmless(offset: int, byte: int) -> None:
    """A changed byte gives a profile or raises a ProfileError; an early end always raises a ProfileError."""
    with suppress(ProfileError):
        text.parse(BODY[:offset] + bytes([byte]) + BODY[offset + 1 :])
    with pytest.raises(ProfileError):
        text.parse(BODY[:offset])
