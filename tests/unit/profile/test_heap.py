"""Parser of heap profiles: recorded, constructed, truncated and invalid ones."""

from pathlib import Path

import pytest

from leakwatch.errors import MalformedProfile, NotAProfile, ProfileError, TruncatedProfile
from leakwatch.model import Frame
from leakwatch.profile.heap import HeapRecord, Parser, scaled
from leakwatch.profile.limits import MAX_DEPTH, MAX_GROUP, MAX_RECORDS, MAX_TEXT

RECORDED = (Path(__file__).parents[2] / "profiles" / "callers" / "heap.debug1.txt").read_bytes()
SMALL = b"""heap profile: 3: 2064 [5: 4128] @ heap/1048576
0: 0 [2: 2064] @ 0x11 0x21
#\t0x10\tmain.gone+0x1\t/src/main.go:5

1: 16 [1: 16] @ 0x31
#\t0x30
#\t0x40\tmain.(*Box[...]).Put+0x28\t\tC:/My Source/main.go:9

2: 2048 [2: 2048] @ 0x51 0x61
#\t0x50\tgolang.org/x/net/http2.NewFramer+0x9\t/go/pkg/mod/golang.org/x/net@v0.30.0/http2/frame.go:1


# runtime.MemStats
# Alloc = 14112
# PauseNs = [1 2 3]
# MaxRSS = 213639168
"""


def parse(body: bytes, size: int = 1 << 20) -> list[HeapRecord]:
    """Return the live records of a body that is fed in pieces."""
    parser = Parser()
    records = [record for start in range(0, len(body), size) for record in parser.feed(body[start : start + size])]
    parser.close()
    return records


def test_a_small_profile() -> None:
    """Records without live objects are omitted; frames may have no name, and paths may contain colons."""
    small, large = parse(SMALL)
    assert small.objects == 1
    assert small.frames == (Frame("?"), Frame("main.(*Box[...]).Put", "C:/My Source/main.go", 9))
    assert [frame.function for frame in large.frames] == ["golang.org/x/net/http2.NewFramer"]
    assert large.objects == 2


def test_live_bytes_stand_for_all_allocations() -> None:
    """A sampled object of 16 bytes stands for 512 KiB, a large one for little more than itself.

    The sum over the recorded profile is the number that `go tool pprof` prints.
    """
    assert scaled(1, 16, 524_288) == pytest.approx(524_296, rel=1e-6)
    assert scaled(2, 4 << 20, 524_288) == pytest.approx(1.0187 * (4 << 20), rel=1e-3)
    assert scaled(3, 300, 1) == scaled(3, 300, 0) == 300.0
    assert scaled(1, 0, 524_288) == 0.0
    assert round(sum(record.size for record in parse(RECORDED)) / 2**20, 2) == 21.51


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_pieces_of_any_size(size: int) -> None:
    """The result does not depend on how the body is divided."""
    assert parse(RECORDED, size) == parse(RECORDED)
    assert parse(SMALL, size) == parse(SMALL)


def test_statistics_are_not_parsed() -> None:
    """The statistics may be missing, or of any length and form."""
    records = parse(SMALL)
    assert parse(SMALL.partition(b"\n# runtime")[0]) == records
    assert parse(SMALL + b"\n\n# Other = x\n\n" * 10) == records
    assert parse(SMALL + b"# A = " + b"1" * (2 * MAX_GROUP) + b"\n\n", 5000) == records


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not a heap profile: the body is empty"),
        (b"<!doctype html>\n", "not a heap profile: the body starts with '<!doctype html>'"),
        (b"goroutine profile: total 3\n", "not a heap profile: the body starts with 'goroutine profile: total 3'"),
        (b"heap profile: 3", "not a heap profile: the body starts with 'heap profile: 3'"),
        (b"heap profile: " + b"3" * 1000, "not a heap profile: the body starts with 'heap profile: 333"),
        (b"heap profile: -3: 1 [1: 1] @ heap/2\n", "not a heap profile: the body starts with 'heap profile: -3"),
        (b"\x1f\x8b\x08\0", "not a heap profile: the body starts with "),
    ],
)
def test_other_bodies(body: bytes, message: str) -> None:
    """The error quotes the beginning of a body that is not a heap profile."""
    with pytest.raises(NotAProfile) as error:
        parse(body)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("size", [46, 60, 90, 180, len(SMALL.partition(b"\n2: ")[0])])
def test_a_truncated_profile(size: int) -> None:
    """A body that ends early is an error, within a record or between two."""
    with pytest.raises((TruncatedProfile, NotAProfile)):
        parse(SMALL[:size])


def test_sums_must_agree() -> None:
    """Records that do not add up to the header are an error that states both."""
    with pytest.raises(TruncatedProfile, match="4 objects of 2064 bytes, but the records add up to 3 of 2064"):
        parse(SMALL.replace(b"profile: 3:", b"profile: 4:"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            b"1: 16 [1: 16] @ 0x31",
            b"one: 16 [1: 16] @ 0x31",
            "line 5: expected `objects: bytes [objects: bytes] @",
        ),
        (
            b"@ 0x31",
            b"@ 31",
            "line 5: expected `objects: bytes [objects: bytes] @ counters`, found '1: 16 [1: 16]",
        ),
        (b"#\t0x30\n", b"#\t0xzz\n", "line 6: expected a frame, found '#\\t0xzz'"),
        (b"Source/main.go:9", b"Source/main.go", "line 7: expected a frame, found '#\\t0x40\\tmain.(*Box"),
        (b"#\t0x30\n", b"#\t0x30\n" * (MAX_DEPTH + 1), "line 5: expected at most 2048 calls in a record"),
        (b"@ 0x31", b"@" + b" 0x31" * (MAX_DEPTH + 1), "line 5: expected at most 2048 calls in a record"),
        (b"main.(*Box", b"m" * MAX_TEXT + b".(*Box", "line 7: expected at most 65536 bytes in a line"),
        (b" 0x31", b" 0x31" * MAX_TEXT, "line 5: expected at most 65536 bytes in a line"),
    ],
)
@pytest.mark.parametrize("size", [1000, 1 << 20])
def test_malformed_records(old: bytes, new: bytes, message: str, size: int) -> None:
    """The error has the number of the line and quotes it; a part is checked against its limit before decoding."""
    assert old in SMALL
    with pytest.raises(MalformedProfile) as error:
        parse(SMALL.replace(old, new), size)
    assert str(error.value).startswith(message)
    assert len(str(error.value)) < 300


def test_a_record_without_end() -> None:
    """A record that does not end is rejected before it takes more than its limit of memory."""
    parser = Parser()
    parser.feed(SMALL.partition(b"1: 16")[0])
    begin = b"1: 16 [1: 16] @"
    parser.feed(begin + b" " * (MAX_GROUP - len(begin)))
    with pytest.raises(
        MalformedProfile, match=r"^line 5: expected at most 393216 bytes in a record, found '1: 16"
    ):
        parser.feed(b" 0x31")


def test_the_number_of_records_is_bounded() -> None:
    """Records without live objects count too."""
    dead = b"0: 0 [1: 1] @\n\n"
    header = b"heap profile: 0: 0 [1: 1] @ heap/2\n"
    assert parse(header + MAX_RECORDS * dead) == []
    with pytest.raises(MalformedProfile, match=f"expected at most {MAX_RECORDS} records"):
        parse(header + (MAX_RECORDS + 1) * dead)


def test_every_prefix_is_a_result_or_an_error() -> None:
    """No prefix of a body gives another exception, and none without all records gives a result."""
    for size in range(len(SMALL)):
        try:
            records = parse(SMALL[:size])
        except ProfileError:
            continue
        assert len(records) == 2
