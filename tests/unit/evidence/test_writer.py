"""Writing of bodies to disk: failures, retries, a disk that hangs."""

import asyncio
import errno
import os
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from leakwatch.evidence.disk import Disk
from leakwatch.evidence.index import DiskState, Index, StoredBody
from leakwatch.evidence.record import Record
from leakwatch.evidence.writer import GRACE, Writer
from tests.support.clock import HANG, ManualClock, run_logged, until
from tests.support.kept_bodies import parts, record
from tests.support.simulated import START


class UnreliableDisk(Disk):
    """A disk on which writes or removals fail while `write_error` or `remove_error` is set."""

    write_error: int | None = None
    remove_error: int | None = None

    def write(self, record: Record, parts: Mapping[str, bytes]) -> None:
        """Write a body, or raise `write_error`."""
        if self.write_error:
            raise OSError(self.write_error, os.strerror(self.write_error))
        super().write(record, parts)

    def remove(self, record: Record) -> None:
        """Remove a body, or raise `remove_error`."""
        if self.remove_error:
            raise OSError(self.remove_error, os.strerror(self.remove_error))
        super().remove(record)


class Fixture:
    """A writer with its index and disk."""

    def __init__(self, folder: Path) -> None:
        self.disk = UnreliableDisk(folder)
        self.index = Index()
        self.clock = ManualClock()
        self.written: list[StoredBody] = []
        self.writer = Writer(self.disk, self.index, self.clock, self.written.append)

    def add(self, second: int) -> StoredBody:
        """Add a body to the index."""
        body = StoredBody(key=str(second), record=record(at=START + second), parts=parts(), lifetime="")
        self.index.add(body)
        return body

    async def write(self, second: int) -> StoredBody:
        """Add and write a body."""
        body = self.add(second)
        self.writer.write(body)
        await self.writer.flush()
        return body

    def on_disk(self) -> list[float]:
        """Return the seconds of the bodies on disk."""
        return sorted(
            each.time - START for each in self.disk.load(lambda file, error: pytest.fail(f"{file}: {error}"))
        )


def test_a_written_body_is_no_longer_in_memory(tmp_path: Path) -> None:
    """The body is on disk once, however often it is queued."""

    async def run() -> None:
        fixture = Fixture(tmp_path)
        body = fixture.add(1)
        for _ in range(3):
            fixture.writer.write(body)
        assert body.disk_state is DiskState.QUEUED
        await fixture.writer.flush()
        assert (body.disk_state, body.parts, fixture.index.in_memory) == (DiskState.WRITTEN, None, 0)
        assert fixture.written == [body]
        assert await fixture.writer.read(body.record) == parts()
        await fixture.writer.stop()

    assert run_logged(run) == []


def test_a_record_that_changes_while_its_body_is_queued(tmp_path: Path) -> None:
    """The changed record is written after the body."""

    async def run() -> None:
        fixture = Fixture(tmp_path)
        body = fixture.add(1)
        fixture.writer.write(body)
        body.set_record(record(at=START + 1, kinds=("leaking", "last")))
        fixture.writer.write_record(body)
        await fixture.writer.flush()
        (stored,) = fixture.disk.load(lambda file, error: pytest.fail(f"{file}: {error}"))
        assert stored.kinds == ("leaking", "last")
        await fixture.writer.stop()

    run_logged(run)


def test_a_body_that_is_removed_while_it_is_queued(tmp_path: Path) -> None:
    """No file of the body stays."""

    async def run() -> None:
        fixture = Fixture(tmp_path)
        body = fixture.add(1)
        fixture.writer.write(body)
        fixture.index.remove(body)
        fixture.writer.remove(body)
        await fixture.writer.flush()
        assert (fixture.on_disk(), fixture.written, fixture.writer.failures) == ([], [], 0)
        await fixture.writer.stop()

    run_logged(run)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_bodies_stay_in_memory_while_writes_fail(tmp_path: Path, number: int) -> None:
    """The first failure is logged. After a successful write all bodies are written."""

    async def run() -> None:
        fixture = Fixture(tmp_path)
        fixture.disk.write_error = number
        for second in range(5):
            body = await fixture.write(second)
            assert (body.disk_state, body.parts) == (DiskState.ABSENT, parts())
        assert (fixture.writer.failures, fixture.on_disk()) == (5, [])
        fixture.disk.write_error = None
        await fixture.write(5)
        assert fixture.on_disk() == [0, 1, 2, 3, 4, 5]
        assert fixture.index.in_memory == 0
        await fixture.writer.stop()

    lines = run_logged(run)
    assert [line["event"] for line in lines] == [
        "evidence cannot be written, it stays in memory",
        "evidence can be written again",
    ]
    assert os.strerror(number) in lines[0]["error"]


def test_a_failed_removal_is_repeated(tmp_path: Path) -> None:
    """The files are removed after the next successful write."""

    async def run() -> None:
        fixture = Fixture(tmp_path)
        body = await fixture.write(1)
        fixture.disk.remove_error = errno.EIO
        fixture.index.remove(body)
        fixture.writer.remove(body)
        await fixture.writer.flush()
        assert (fixture.on_disk(), fixture.writer.failures) == ([1], 1)
        fixture.disk.remove_error = None
        await fixture.write(2)
        assert fixture.on_disk() == [2]
        await fixture.writer.stop()

    run_logged(run)


def test_an_internal_error_counts_as_a_failure(tmp_path: Path) -> None:
    """The error is logged, and the body stays in memory."""

    async def run() -> None:
        fixture = Fixture(tmp_path)
        body = fixture.add(1)
        body.parts = {".txt.gz": "not bytes"}  # type: ignore[dict-item]  # on purpose
        fixture.writer.write(body)
        await fixture.writer.flush()
        assert (body.disk_state, fixture.writer.failures) == (DiskState.ABSENT, 1)
        await fixture.writer.stop()

    assert [line["event"] for line in run_logged(run)] == [
        "internal error while writing evidence",
        "evidence cannot be written, it stays in memory",
    ]


class Blocked:
    """Calls that return when the test allows it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()

    def __call__(self) -> None:
        """Wait for `released`."""
        self.entered.set()
        self.released.wait(HANG)


def blocked_disk(fixture: Fixture) -> Blocked:
    """Block all writes to the disk of a fixture."""
    blocked, write = Blocked(), fixture.disk.write

    def blocked_write(record: Record, parts: Mapping[str, bytes]) -> None:
        blocked()
        write(record, parts)

    fixture.disk.write = blocked_write  # type: ignore[method-assign]  # this disk only
    return blocked


def test_the_event_loop_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """While a write hangs, bodies are queued and can be read from memory."""

    async def run() -> None:
        fixture = Fixture(tmp_path)
        blocked = blocked_disk(fixture)
        bodies = [fixture.add(second) for second in range(3)]
        for body in bodies:
            fixture.writer.write(body)
        await until(blocked.entered.is_set)
        assert [body.parts for body in bodies] == [parts()] * 3
        blocked.released.set()
        await fixture.writer.flush()
        assert fixture.on_disk() == [0, 1, 2]
        await fixture.writer.stop()

    run_logged(run)


@pytest.mark.parametrize("release", [True, False])
def test_stop_waits_for_the_disk_for_a_second(tmp_path: Path, release: bool) -> None:
    """A write that ends within the second is waited for; a write that hangs is not."""

    async def run() -> None:
        fixture = Fixture(tmp_path)
        blocked = blocked_disk(fixture)
        fixture.writer.write(fixture.add(1))
        await until(blocked.entered.is_set)
        stopping = asyncio.ensure_future(fixture.writer.stop())
        await fixture.clock.sleeping()
        if release:
            blocked.released.set()
        else:
            fixture.clock.advance(GRACE)
        await stopping
        assert len(fixture.written) == release
        blocked.released.set()

    run_logged(run)
