"""Folders of recordings: the symbols beside a body."""

import gzip
from pathlib import Path

from leakwatch.cli import sources
from leakwatch.cli.analyze.folders import find
from leakwatch.profile import symbols as symbol
from leakwatch.profile.stacks import Identifier


def test_a_body_is_read_with_its_own_symbols(tmp_path: Path) -> None:
    """A body without a symbol file uses the symbols of its folder, because bodies may be of several processes."""
    body = b"goroutine profile: total 3\n3 @ 0x11 0x21 0x31\n#\t0x20\tmain.f+0x1\t/a.go:7\n\n"
    folder = tmp_path / "shop" / "a"
    folder.mkdir(parents=True)
    (folder / "symbol").write_bytes(symbol.encode({0x10: "runtime.selectgo"}))
    for second, parked in ((1, "runtime.chansend1"), (2, "runtime.chanrecv1"), (3, "")):
        (folder / f"170000000{second}.000.txt.gz").write_bytes(gzip.compress(body))
        if parked:
            (folder / f"170000000{second}.000.symbol").write_bytes(symbol.encode({0x10: parked, 0x11: ""}))
        (folder / f"170000000{second}.000.json").write_text("{}")
    errors: list[str] = []
    (recording,) = find([tmp_path / "shop"], Identifier(), errors.append)
    waits = [
        sample.stack.wait
        for observation in recording.observations()
        if observation
        for sample in observation.samples.values()
    ]
    assert waits == ["chan send", "chan receive", "select"]
    assert errors == []
    assert sources.read(str(folder / "1700000002.000.txt.gz"), 1).groups[0][0].parked == "runtime.chanrecv1"  # type: ignore[union-attr]  # it is not a dump


DUMP = b"""goroutine 1 [IO wait, 90 minutes]:
main.main()
\t/a.go:3 +0x1d

goroutine 35 [chan send, 7 minutes]:
main.f(0xc000012e00?)
\t/a.go:7 +0x28
created by main.main in goroutine 1
\t/a.go:9 +0x1d
"""


def test_full_dumps_beside_bodies(tmp_path: Path) -> None:
    """A dump belongs to the body before it; a body that is a dump is both; others are reported and left out."""
    body = b"goroutine profile: total 1\n1 @ 0x21\n#\t0x20\tmain.f+0x1\t/a.go:7\n\n"
    for name, content in {
        "1700000000.txt": body,
        "1700000007.debug2.txt": DUMP,
        "1700000060.txt": DUMP,
        "1700000120.txt.gz": gzip.compress(body),
        "1700000120.dump.gz": gzip.compress(DUMP),
        "1700000121.debug2.txt": DUMP[:40],
        "1700000122.debug2.txt": body,
        "1600000000.debug2.txt": DUMP,
        "1700000000123456.debug2.txt": DUMP,
    }.items():
        (tmp_path / name).write_bytes(content)
    errors: list[str] = []
    (recording,) = find([tmp_path], Identifier(), errors.append)
    observations = [observation for observation in recording.observations() if observation]
    assert [[time - 1_700_000_000 for time, _ in each.dumps] for each in observations] == [[7], [60], [120]]
    assert [each.total for each in observations] == [1, 2, 1]
    (stacks,) = {tuple(stacks) for each in observations for _, stacks in each.dumps}
    assert set(observations[0].samples) < set(stacks)
    (leak,) = (observations[0].dumps[0][1][key] for key in observations[0].samples)
    assert [array.tolist() for array in (leak.ids, leak.minutes, leak.parents)] == [[35], [7], [1]]
    assert [error.removeprefix(f"{tmp_path}/").partition(":")[0] for error in errors] == [
        "1700000000123456.debug2.txt",
        "1600000000.debug2.txt",
        "1700000121.debug2.txt",
        "1700000122.debug2.txt",
    ]
    assert "microseconds" in errors[0]
    assert "not a full dump" in errors[3]
