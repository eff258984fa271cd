"""Writes the bodies of an index to disk, one after another in a thread. The event loop never waits for the disk.

A body that cannot be written stays in memory. It is written again after the next successful write.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

import structlog

from leakwatch.clock import Clock
from leakwatch.evidence.disk import Disk
from leakwatch.evidence.index import DiskState, Index, StoredBody
from leakwatch.evidence.packer import Worker
from leakwatch.evidence.record import Record

log = structlog.get_logger()

GRACE = 1.0  # seconds to finish writing in at the end
MAX_UNREMOVED = 1000  # bodies that could not be removed and are tried again

Done = Callable[[OSError | None], None]
"""Called on the event loop with the error of a disk operation, None if it succeeded."""


class Writer:
    """Writes, updates and removes the files of an index; `on_written` is called for each body on disk."""

    def __init__(self, disk: Disk, index: Index, clock: Clock, on_written: Callable[[StoredBody], None]) -> None:
        self.failures = 0
        """Failed operations."""
        self._disk = disk
        self._index = index
        self._clock = clock
        self._on_written = on_written
        self._worker = Worker("evidence-disk")
        self._pending: set[asyncio.Future[None]] = set()
        self._failing = False
        self._unremoved: deque[tuple[str, Record]] = deque(maxlen=MAX_UNREMOVED)
        """Key and record of bodies with files that could not be removed."""

    def write(self, body: StoredBody) -> None:
        """Queue a body of the index that is neither on disk nor queued."""
        parts, record = body.parts, body.record
        if body.disk_state is DiskState.ABSENT and parts is not None and body in self._index:
            body.disk_state = DiskState.QUEUED
            self._submit(
                lambda: self._disk.write(record, parts), lambda error: self._body_written(body, record, error)
            )

    def write_record(self, body: StoredBody) -> None:
        """Queue the record of a body that is on disk. The record of a queued body is written after the body."""
        record = body.record
        if body.disk_state is DiskState.WRITTEN:
            self._submit(lambda: self._disk.write_record(record), self._record_failure)

    def remove(self, body: StoredBody) -> None:
        """Queue the removal of a body that is on disk or queued."""
        if body.disk_state is not DiskState.ABSENT:
            self._remove(body.key, body.record)

    async def read(self, record: Record) -> Mapping[str, bytes]:
        """Return body and symbols by suffix; raise OSError."""
        return await asyncio.to_thread(self._disk.read, record)

    async def flush(self) -> None:
        """Return when all operations are done, including those that follow from them."""
        while self._pending:
            await asyncio.wait(self._pending)

    async def stop(self) -> None:
        """Finish what is queued, within a second."""
        waits = asyncio.ensure_future(self.flush()), asyncio.ensure_future(self._clock.sleep(GRACE))
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        self._worker.stop(wait=False)

    def _submit(self, operation: Callable[[], None], done: Done) -> None:
        future = asyncio.wrap_future(self._worker.call(operation))
        self._pending.add(future)

        def finish(future: asyncio.Future[None]) -> None:
            self._pending.discard(future)
            if future.cancelled():
                return
            error = future.exception()
            if error is not None and not isinstance(error, OSError):
                log.error("internal error while writing evidence", exc_info=error)
                error = OSError(repr(error))
            done(error)

        future.add_done_callback(finish)

    def _body_written(self, body: StoredBody, record: Record, error: OSError | None) -> None:
        """Handle the end of writing `body` with `record`, which may have changed meanwhile."""
        if error is not None:
            body.disk_state = DiskState.ABSENT
            self._record_failure(error)
            return
        self._record_success()
        body.disk_state = DiskState.WRITTEN
        self._index.drop_parts(body)
        if body in self._index:
            if body.record != record:
                self.write_record(body)
            self._on_written(body)

    def _remove(self, key: str, record: Record) -> None:
        """Queue the removal of files, unless a body of the index has the same file names by now."""

        def done(error: OSError | None) -> None:
            if error is not None:
                self._unremoved.append((key, record))
            self._record_failure(error)

        if not self._index.has_key(key):
            self._submit(lambda: self._disk.remove(record), done)

    def _record_failure(self, error: OSError | None) -> None:
        """Count an error, and log the first of several in a row."""
        if error is None:
            return
        self.failures += 1
        if not self._failing:
            log.error(
                "evidence cannot be written, it stays in memory", path=str(self._disk.folder), error=str(error)
            )
        self._failing = True

    def _record_success(self) -> None:
        """After a failure, repeat what could not be done; log when nothing is left to repeat."""
        if not self._failing:
            return
        unwritten = [
            body for body in self._index if body.parts is not None and body.disk_state is DiskState.ABSENT
        ]
        for body in unwritten:
            self.write(body)
        unremoved = [*self._unremoved]
        self._unremoved.clear()
        for key, record in unremoved:
            self._remove(key, record)
        if not unwritten and not unremoved:
            self._failing = False
            log.info("evidence can be written again")
