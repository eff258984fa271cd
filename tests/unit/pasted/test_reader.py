"""Reading dumps and profiles from logs, issues, pages and reports: every goroutine is read or reported."""

import gzip
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakwatch.errors import NotAProfile, ProfileError
from leakwatch.model import Profile
from leakwatch.pasted.reader import read
from leakwatch.pasted.report import SavedProfile
from leakwatch.profile import formats, pprof
from leakwatch.profile.dump import Dump
from leakwatch.profile.stacks import Identifier
from tests.support import mangling

PROFILES = Path(__file__).parents[2] / "profiles"
RECORDED = (PROFILES / "1.27" / "goroutine.debug2.txt").read_bytes()
TEXT = (PROFILES / "1.27" / "goroutine.debug1.txt").read_bytes()
PROTOBUF = (PROFILES / "1.27" / "goroutine.debug0.pb.gz").read_bytes()
HEADER = re.compile(rb"goroutine [1-9]\d* \[[^\n]*:$", re.MULTILINE)
HUB = "example.com/shop/pay.(*Hub).push"


def goroutine(number: int, minutes: int = 45, mark: str = "") -> bytes:
    """Return a goroutine that waits in `HUB`."""
    return (
        f"goroutine {number} [chan send{mark}, {minutes} minutes]:\n"
        f"{HUB}(0xc000126000, {{0x5db818, 0x3}})\n\t/src/shop/pay/hub.go:31 +0x28\n"
        "created by example.com/shop/pay.(*Hub).Run in goroutine 1\n\t/src/shop/pay/hub.go:22 +0x5a\n\n"
    ).encode()


MAIN = b"goroutine 1 [select, 45 minutes]:\nmain.main()\n\t/src/shop/main.go:20 +0x1d\n\n"
DUMP = goroutine(18) + goroutine(19, 44) + goroutine(20, 43) + MAIN
GROUP = (
    b"5 @ 0x47e08e 0x41491c 0x4da0be 0x484561\n#\t0x4da0bd\t%s+0x1d\t/src/shop/pay/hub.go:31\n\n" % HUB.encode()
)
OTHER = (
    b"2 @ 0x43a2a5 0x4da10e 0x484561\n#\t0x4da10d\texample.com/shop/web.(*Server).read+0x1d\t/src/web.go:88\n\n"
)
DAMAGED = "read 4 goroutines from a dump; skipped 1 damaged one"
SMALL = b"goroutine profile: total 7\n" + GROUP + OTHER


def goroutines(profile: SavedProfile) -> Sequence[object]:
    """Return what is known about each goroutine of a dump, sorted."""
    assert isinstance(profile.source, Dump)
    return sorted(
        (
            g.number,
            g.state,
            g.minutes,
            [(f.function, f.file, f.line) for f in g.trace.frames],
            g.creator.function if g.creator else "",
            g.trace.labels,
        )
        for g in profile.source.goroutines
    )


def counts(profile: SavedProfile) -> dict[str, int]:
    """Return the goroutines by blamed function."""
    source = profile.source.profile() if isinstance(profile.source, Dump) else profile.source
    found: Counter[str] = Counter()
    for sample in Identifier().identify(source).values():
        found[sample.stack.blamed.function] += sample.goroutines
    return dict(found)


def only(body: bytes) -> SavedProfile:
    """Return the only profile in `body`."""
    (profile,) = read(body).profiles
    return profile


@pytest.mark.parametrize("name", mangling.ALL | mangling.DUMPS)
def test_a_mangled_dump_has_all_goroutines(name: str) -> None:
    """A dump with 183 goroutines is read completely in each form, with states, times, creators and labels."""
    mangled = (mangling.ALL | mangling.DUMPS)[name](RECORDED)
    profile = only(mangled)
    if name == "broken lines":
        assert profile.total + profile.skipped == 183
        assert profile.total > 175
        return
    assert goroutines(profile) == goroutines(only(RECORDED))
    assert (profile.skipped, read(mangled).sentence(0) != "") == (0, True)


@pytest.mark.parametrize("name", mangling.ALL)
def test_a_mangled_profile_has_all_groups(name: str) -> None:
    """The text of debug=1 is read completely in each form."""
    profile, intact = only(mangling.ALL[name](TEXT)), only(TEXT)
    assert isinstance(profile.source, Profile)
    assert isinstance(intact.source, Profile)
    assert (profile.total, profile.skipped, profile.part_of) == (183, 0, None)
    assert counts(profile) == counts(intact)
    assert [t.frames for t, _ in profile.source.groups] == [t.frames for t, _ in intact.source.groups]


def test_an_intact_file_needs_no_message() -> None:
    """Dumps, text and protobuf as Go writes them are read without a message."""
    for body in (
        RECORDED,
        TEXT,
        gzip.compress(RECORDED),
        (PROFILES / "1.27" / "goroutine.debug0.pb.gz").read_bytes(),
    ):
        file = read(body)
        assert (file.profiles[0].total, file.sentence(-1)) == (183, "")


@pytest.mark.parametrize(
    ("body", "total", "sentence"),
    [
        (
            DUMP.replace(b"0x5db818, 0x3", b"0x5db8\n2025/11/29 14:44:01 INFO x\n18, 0x3", 1),
            3,
            "read 3 goroutines from a dump; skipped 1 damaged one (line 2); left out 3 other lines",
        ),
        (
            b"goroutine 18 [chan send]:\nmain.f(0x1)\n\t/src/main.go:31 +0x28\n",
            1,
            "read 1 goroutine from a dump; the outermost calls of 1 may be missing",
        ),
        (
            DUMP[: DUMP.rindex(b":20 +0x1d")],
            3,
            "read 3 goroutines from a dump; skipped 1 damaged one (line 19); the text ends early",
        ),
        (
            DUMP.replace(b"\t/src/shop/main.go:20 +0x1d\n", b"main.start()\n\t/src/shop/main.go:3 +0x1\n"),
            4,
            "read 4 goroutines from a dump; the text ends early; 1 call without file",
        ),
        (
            DUMP.replace(b"main.main()\n", b""),
            3,
            "read 3 goroutines from a dump; skipped 1 damaged one (line 20); the text ends early",
        ),
        (
            mangling.wrapped(60)(DUMP),
            4,
            "read 4 goroutines from a dump; joined 3 broken lines",
        ),
        (
            SMALL[: -len(OTHER)],
            5,
            "read 5 goroutines from a profile; a part of 7",
        ),
        (
            SMALL[: -len(OTHER)] + b"...\n",
            5,
            "read 5 goroutines from a profile; a part of 7",
        ),
        (
            SMALL[:-20],
            5,
            "read 5 goroutines from a profile; skipped 2 damaged ones (line 5); a part of 7; the text ends early",
        ),
        (
            b"goroutine 1 [running]:\ngoroutine 2 [select]:\n\ngoroutine 3 [select]:\n",
            3,
            "read 3 goroutines from a dump",
        ),
        (DUMP + b"goroutine 99 [select]:\n", 4, DAMAGED + " (line 23); the text ends early"),
        (DUMP + b"goroutine 99 [sel", 4, DAMAGED + " (line 23); the text ends early"),
        (GROUP + OTHER, 7, "read 7 goroutines from a profile; the header is missing, so the total is unknown"),
        (
            GROUP.replace(b"#\t", b""),
            5,
            "read 5 goroutines from a profile; the header is missing, so the total is unknown",
        ),
        (GROUP + b"...\n", 5, "read 5 goroutines from a profile; dots show that a part is missing"),
        (SMALL + GROUP, 12, "read 12 goroutines from a profile; its header has only 7"),
        (SMALL.replace(b"total 7\n", b"total 7\n \n"), 7, "read 7 goroutines from a profile"),
        (SMALL.replace(b"\n\n", b"\n"), 7, "read 7 goroutines from a profile"),
        (
            b"    x_test.go:50: found unexpected goroutines:\n        [Goroutine 18 in state chan send, with"
             b" main.f on top of the stack:\n" + goroutine(18).partition(b"\n")[2] + b"        ]\n",
            1,
            "read 1 goroutine from a report of goleak",
        ),
        (
            b"goleak: Errors on successful test run: found unexpected goroutines:\n[Goroutine 18 in state chan"
            b" send, 2 minutes, with main.f on top of the stack:\n" + goroutine(18) + b"]\n",
            1,
            "read 1 goroutine from a report of goleak",
        ),
        (
            b"    leaktest.go:132: leaktest: timed out checking goroutines\n    leaktest.go:150: leaktest: leaked "
            b"goroutine: " + goroutine(18).replace(b"\n", b"\n        "),
            1,
            "read 1 goroutine from a report of leaktest",
        ),
    ],
)  # fmt: skip
def test_damage_is_reported(body: bytes, total: int, sentence: str) -> None:
    """Goroutines that cannot be read, and parts that are missing, are reported in one sentence."""
    file = read(body)
    assert (file.sentence(-1), file.profiles[-1].total) == (sentence, total)


@pytest.mark.parametrize(
    ("body", "totals"),
    [
        (DUMP + DUMP + goroutine(21), [4, 5]),
        (DUMP.rstrip() + b"\n" + DUMP, [4, 4]),
        (b"panic: a\n\n" + goroutine(5) + b"panic: b\n\n" + goroutine(6) + goroutine(7), [1, 2]),
        (SMALL + SMALL + b"log\n" + GROUP, [7, 12]),
        (DUMP + SMALL, [4, 7]),
        (
            b"".join(
                b"shop-%d  | %s\n" % (replica, line)
                for line in DUMP.splitlines()
                for replica in (1, 2)
            ),
            [4, 4],
        ),
        (
            b"x: panic serving 1.2.3.4:5: boom\ngoroutine 7 [running]:\nmain.f()\n\t/x.go:1 +0x1\n\n" * 2,
            [1, 1],
        ),
    ],
)  # fmt: skip
def test_dumps_are_kept_apart(body: bytes, totals: list[int]) -> None:
    """Dumps and profiles in one file are never added up; interleaved processes are kept apart by their prefix."""
    file = read(body)
    assert [profile.total for profile in file.profiles] == totals
    assert f"the file has {len(totals)}, of {', '.join(map(str, totals))} goroutines" in file.sentence(-1)
    assert file.as_json(-1)["dump"] == len(totals)


def test_leak_profiles_are_proven() -> None:
    """All goroutines of goroutineleak are proven, as text and protobuf; in a dump those with the mark are."""
    body = SMALL.replace(b"goroutine profile", b"goroutineleak profile")
    for saved in (body, b"```\n" + body + b"```\n"):
        assert (only(saved).is_proven, only(saved).total) == (True, 7)
    marked = only(goroutine(18, mark=" (leaked)") + goroutine(19))
    assert isinstance(marked.source, Dump)
    assert [g.leaked for g in marked.source.goroutines] == [True, False]


def test_wait_reasons() -> None:
    """A dump and a protobuf have wait reasons, debug=1 does not."""
    assert not only(SMALL).has_waits
    assert not only(SMALL + b"x\n").has_waits
    assert only(DUMP).has_waits


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b"hello\n", "the text has no goroutine; it starts with 'hello'; leakwatch reads goroutine profiles"),
        (b"heap profile: 1: 2 [3: 4] @ heap/1048576\n", "this is a heap profile; leakwatch reads goroutine"),
        (b"--- mutex:\n", "this is a mutex or block profile"),
        (b"go 1.21 trace\0\0\0", "this is a runtime trace"),
        (b"BZh91AY&SY\0\xff", "this is a file of bzip2: unpack it"),
        (b"\xfd7zXZ\0\0", "this is a file of xz: unpack it"),
        (b"\x28\xb5\x2f\xfd\0", "this is a file of zstd: unpack it"),
        (b"7z\xbc\xaf\x27\x1c\0", "this is an archive: unpack it"),
        (b"\x89PNG\r\n\x1a\n", "this is a picture or a PDF"),
        (b"PK\x03\x04\x14\0\0\0", "this is a zip archive: pass it to `leakwatch analyze`"),
        (bytes(257) + b"ustar\0", "this is a tar archive"),
        (b"threadcreate profile: total 8\n8 @\n#\t0x0\n", "not a goroutine profile but a threadcreate profile"),
        (b"<!DOCTYPE html>\n<p>404</p>", "this is a page of HTML without a dump"),
        pytest.param(
            gzip.compress(gzip.decompress(pprof.encode(Profile(0, ()))).replace(b"goroutine", b"inuse_spac")),
            "",
            id="heap profile",  # the time in the gzip would be in the name of the test, which each worker collects
        ),
    ],
)
def test_other_files(body: bytes, message: str) -> None:
    """The error names what the file looks like, and what to do."""
    with pytest.raises(ProfileError) as caught:
        read(body)
    assert message in str(caught.value)
    assert "\\x00" not in str(caught.value)


mangles = st.tuples(
    st.sampled_from(["", *mangling.PREFIXES]), st.sampled_from(sorted({"", *mangling.OTHERS} - {"after a log"}))
)


@settings(deadline=None, max_examples=60)
@given(mangles, st.data())
def test_no_goroutine_is_lost_without_a_message(names: tuple[str, str], data: st.DataObject) -> None:
    """However a dump is damaged and mangled, each goroutine with a header is read or reported as skipped."""
    body = RECORDED[: data.draw(st.integers(0, 60_000))]
    for _ in range(data.draw(st.integers(0, 5))):
        start = data.draw(st.integers(0, len(body)))
        noise = data.draw(st.sampled_from([b"", b"\n", b"2025/11/29 14:44:01 INFO x", b"\nxyz\n", b"(", b" "]))
        body = body[:start] + noise + body[start + data.draw(st.integers(0, 30)) :]
    headers = len(HEADER.findall(body))
    if names[0] in {"CSV", "logfmt"} and names[1] in {"logrus", "pretty JSON"}:  # a quotation of a quotation
        names = ("", names[1])
    for name in filter(None, names):
        with suppress(UnicodeError):
            body = mangling.ALL[name](body)
    try:
        file = read(body)
    except NotAProfile:
        assert headers <= 1
        return
    found = sum(profile.total + profile.skipped for profile in file.profiles)
    assert found >= headers
    assert found == headers or file.sentence(-1)


@settings(deadline=None)
@given(st.binary() | st.binary().map(lambda b: b"goroutine 1 [running]:\n" + b))
def test_arbitrary_bytes(body: bytes) -> None:
    """Arbitrary bytes give a file with goroutines, or raise a ProfileError."""
    with suppress(ProfileError):
        assert read(body).profiles


def test_a_truncated_gzip_is_read_to_its_end() -> None:
    """The complete groups of a truncated download are read, and its end is reported."""
    file = read(gzip.compress(TEXT)[:-300])
    assert file.profiles[0].total < 183
    assert "a part of 183; the text ends early" in file.sentence(-1)
    assert formats.MAX_SIZE > 1 << 28
