"""The folder of evidence: hostile names, invalid files, failed writes."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from leakwatch.evidence.disk import Disk
from tests.support.kept_bodies import parts, record
from tests.support.simulated import START

HOSTILE = [
    "..",
    ".",
    "",
    "a/b",
    "a\0b",
    "x" * 300,
    "é" * 300,
    ".hidden",
    "%2E.",
    "../../etc/passwd",
    "\n",
    "\u202e",
    "~",
]


def unexpected(file: Path, error: str) -> None:
    """Fail: no record is expected to be invalid."""
    pytest.fail(f"{file}: {error}")


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_of_a_service_or_target(name: str, tmp_path: Path) -> None:
    """The files are visible, in a folder per target, and inside the folder of evidence."""
    disk = Disk(tmp_path / "evidence")
    records = [record(service=name, target="t"), record(service="s", target=name)]
    for each in records:
        disk.write(each, parts())
    assert sorted(disk.load(unexpected), key=lambda r: r.service) == sorted(records, key=lambda r: r.service)
    assert [path for path in tmp_path.iterdir() if path.name != "evidence"] == []
    files = [path for path in (tmp_path / "evidence").rglob("*") if path.is_file()]
    assert {len(path.relative_to(tmp_path).parts) for path in files} == {4}
    assert not any(part.startswith(".") for path in files for part in path.relative_to(tmp_path).parts)
    for each in records:
        disk.remove(each)
    assert list((tmp_path / "evidence").iterdir()) == []


def test_invalid_files_and_files_of_others(tmp_path: Path) -> None:
    """An invalid record is renamed and reported once; files of others stay; all other bodies are loaded."""
    disk = Disk(tmp_path)
    for i in range(4):
        disk.write(record(at=START + i), parts())
    folder = tmp_path / "shop" / "10.0.0.1:6060"
    cut, moved, lost = (folder / f"{START + i:.3f}.json" for i in range(3))
    cut.write_text(cut.read_text()[:50])
    moved.write_text(moved.read_text().replace("shop", "../../other"))
    lost.with_suffix("").with_suffix(".000.txt.gz").unlink()
    foreign = [tmp_path / "README", folder / "notes.json", folder / "1.json", tmp_path / "shop" / "x.gz"]
    for file in foreign:
        file.write_text("foreign")
    unfinished = folder / ".1700000009.000.json.leakwatch-new"
    unfinished.write_text("{")
    errors: dict[Path, str] = {}
    assert disk.load(errors.__setitem__) == [record(at=START + 3)]
    assert errors.keys() == {cut, moved}
    assert "Invalid JSON" in errors[cut]
    assert "the record belongs to %2E.%2F..%2Fother" in errors[moved]
    assert all(file.read_text() == "foreign" for file in foreign)
    assert not unfinished.exists()
    assert not lost.exists()
    assert (folder / f".{cut.name}.bad").exists()
    assert (folder / cut.name.replace(".json", ".txt.gz")).exists()
    assert disk.load(unexpected) == [record(at=START + 3)]


def test_a_body_of_another_size_is_invalid(tmp_path: Path) -> None:
    """A body with another size than its record is reported and not loaded."""
    disk = Disk(tmp_path)
    disk.write(record(), parts())
    next(tmp_path.rglob("*.txt.gz")).write_bytes(b"short")
    errors: dict[Path, str] = {}
    assert disk.load(errors.__setitem__) == []
    (error,) = errors.values()
    assert "has 5 bytes, not 100" in error


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """Let the operating system refuse files of more than 5000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    """Neither record nor body nor a temporary file is left, and smaller bodies can be written."""
    disk = Disk(tmp_path)
    with small_files(), pytest.raises(OSError, match="File too large"):
        disk.write(record(size=100_000), parts(100_000))
    assert list(tmp_path.iterdir()) == []
    disk.write(record(), parts())
    assert disk.load(unexpected) == [record()]
