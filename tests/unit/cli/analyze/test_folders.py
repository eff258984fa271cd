"""Folders of recordings: the symbols beside a body."""

import gzip
from pathlib import Path

from leakwatch.cli import scrape_once
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
        for sample in observation[3].values()
    ]
    assert waits == ["chan send", "chan receive", "select"]
    assert errors == []
    assert scrape_once.read(str(folder / "1700000002.000.txt.gz"), 1).groups[0][0].parked == "runtime.chanrecv1"  # type: ignore[union-attr]  # it is not a dump
