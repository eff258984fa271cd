"""Saves the state while leakwatch runs, and restores it at the start. The event loop never waits for the disk.

Whatever fails, leakwatch continues in memory, reports the reason, and tries again. One thread uses the database.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import structlog

from leakwatch.clock import Clock
from leakwatch.detect.plain import Plain
from leakwatch.errors import StorageError, StorageInUseError
from leakwatch.leaks.model import Event
from leakwatch.model import Target
from leakwatch.pipeline import Pipeline
from leakwatch.storage.changes import Changes
from leakwatch.storage.config import StorageConfig
from leakwatch.storage.database import Database, read_folder
from leakwatch.storage.pauses import Pauses
from leakwatch.storage.restore import Restorer
from leakwatch.storage.rows import ALERTS, CLOCK, PAUSES, Batch, StoredState

log = structlog.get_logger()

INTERVAL: Final = 30.0  # seconds between two saves
RETRY: Final = 60.0  # seconds until a database that could not be used is opened again
FEW: Final = 50
"""Targets up to which each save includes the counts of open blocks, which takes 1 ms per target."""
LAST_SAVE: Final = 10.0  # seconds for the save at the end; an orchestrator kills a process after 30 s

Result = TypeVar("Result")


class SavedPart(Protocol):
    """A part of the daemon with a state of its own: the notifier."""

    def to_plain(self) -> Plain:
        """Return the state as plain values."""

    def restore(self, plain: Any) -> None:
        """Continue with the state of an earlier process; raise StateError."""


@dataclass(slots=True, kw_only=True)
class StorageStatus:
    """The state of the storage, for metrics and pages."""

    folder: Path | None
    """None: the state is in memory only."""
    error: str = ""
    """Why the state is not saved now, "" if it is."""
    size: int = 0
    """Bytes of the state in the database."""
    saved_at: float | None = None
    """Time of the latest successful save, by the daemon's clock."""
    failures: int = 0
    is_full: bool = False
    """Whether the size limit was reached, so that targets without a leak are not saved."""


class Storage:
    """Saves and restores the state of `pipeline` and `alerts`."""

    def __init__(self, settings: StorageConfig, pipeline: Pipeline, alerts: SavedPart, clock: Clock) -> None:
        self.status = StorageStatus(folder=Path(settings.path) if settings.path else None)
        self.pauses = Pauses()
        """When leakwatch did not run."""
        self._settings = settings
        self._pipeline = pipeline
        self._alerts = alerts
        self._clock = clock
        self._changes = Changes(pipeline)
        self._database: Database | None = None
        self._was_open = False
        """Whether the stored state was read, so that the state in memory includes it."""
        self._opened_at = float("-inf")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="storage")
        self._saving = asyncio.Lock()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Restore the state, and begin to save it. The clock continues where it ended."""
        if self.status.folder is None:
            log.info("state is kept in memory; set storage.path to keep it over restarts")
            return
        stored = await self._open(self.status.folder)
        if stored:
            restorer = Restorer(self._pipeline, self._clock, self._settings.retention)
            await restorer.restore(stored, self._alerts, self.pauses)
            # Also those that were rejected: they are in the copy, and would be rejected and copied at each start.
            self._changes.restored([*(service.name for service in stored.services), *stored.damaged])
            await self._keep_rejected(restorer.rejected)
        self._task = asyncio.create_task(self._run(self.status.folder))

    def configure(self, settings: StorageConfig) -> None:
        """Apply new limits; a new path takes effect after a restart."""
        self._settings = settings.model_copy(update={"path": self._settings.path})
        self.status.is_full = self._changes.skip_normal = False

    def on_events(self, events: Sequence[Event]) -> None:
        """Save the targets of changed verdicts now."""
        self._changes.add(Target(event.leak.service, name) for event in events for name in event.leak.targets)
        self._woken.set()

    async def stop(self) -> None:
        """Save everything, and close the database."""
        if self._task:
            self._task.cancel()
            try:
                await asyncio.wait_for(asyncio.shield(self._save_last()), LAST_SAVE)
            except TimeoutError:
                log.error("the last save did not finish", path=str(self.status.folder), seconds=LAST_SAVE)  # noqa: TRY400  no traceback needed
        self._thread.shutdown(wait=False)

    async def _save_last(self) -> None:
        try:
            await self.save(everything=True)
        except Exception:
            log.exception("internal error while saving the state")
        await self._close()

    async def _run(self, folder: Path) -> None:
        while True:
            self._woken.clear()
            try:
                if self._database is None and self._clock.stopwatch() - self._opened_at >= RETRY:
                    await self._reopen(folder)
                await self.save()
            except Exception as error:
                log.exception("internal error while saving the state")
                self._changes.clear()  # what was taken for the failed save, too
                self._failed(StorageError(f"internal error: {error!r}"))
            waiting = asyncio.ensure_future(self._woken.wait())
            sleeping = asyncio.ensure_future(self._clock.sleep(INTERVAL))
            try:
                await asyncio.wait([waiting, sleeping], return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
                sleeping.cancel()

    async def save(self, *, everything: bool = False) -> None:
        """Save what has changed; `everything`: also the counts of open blocks, as for few targets."""
        everything = everything or len(self._pipeline.targets) <= FEW
        async with self._saving:
            database = self._database
            if database is None:
                return
            taken = await self._changes.take(self._clock.stopwatch(), everything=everything)
            time = self._clock.time()
            values = {
                ALERTS: self._alerts.to_plain(),
                CLOCK: asdict(self._clock.read()),
                PAUSES: self.pauses.to_plain(),
            }
            batch = Batch(time=time, services=taken.rows, removed=taken.ended, values=values)
            oldest, limit = batch.time - self._settings.retention, self._settings.size_limit
            current = set(self._pipeline.services)  # of 5,000: a list takes 0.5 s of CPU
            try:
                await self._in_thread(lambda: database.write(batch))
                size = await self._in_thread(lambda: database.trim(before=oldest, size_limit=limit, kept=current))
            except StorageError as error:
                self._changes.not_saved(taken)
                await self._close()
                self._failed(error)
            else:
                self._changes.saved(taken)
                self._succeeded(time, size)

    async def _open(self, folder: Path) -> StoredState | None:
        """Open the database, and return what it has; None if it cannot be used."""
        self._opened_at, now = self._clock.stopwatch(), self._clock.wall(self._clock.time())
        try:
            self._database = await self._in_thread(lambda: Database.open(folder, now))
            if self._database.set_aside:
                log.error("stored state set aside, it is not restored", error=self._database.set_aside)
            stored = await self._in_thread(self._database.read)
        except StorageError as error:
            await self._close()
            self._failed(error)
            return None if isinstance(error, StorageInUseError) else await self._read(folder)
        self._was_open = True
        return stored

    async def _read(self, folder: Path) -> StoredState | None:
        """Return the state in a database that cannot be written, such as on a full disk; None if there is none.

        Only at the start: later, the state in memory is newer.
        """
        if self._was_open:
            return None
        try:
            stored = await self._in_thread(lambda: read_folder(folder))
        except StorageError:
            return None
        self._was_open = True
        return stored

    async def _reopen(self, folder: Path) -> None:
        """Open a database that could not be used before, and save everything there.

        If another process has used it until now, such as the previous pod of a rolling deploy, its longer history
        replaces that of this process.
        """
        is_first, started = not self._was_open, self._clock.time()
        stored = await self._open(folder)
        self._changes.clear()
        if stored and is_first:
            restorer = Restorer(self._pipeline, self._clock, self._settings.retention)
            await restorer.adopt(stored, started)
            await self._keep_rejected(restorer.rejected)

    async def _keep_rejected(self, rejected: Sequence[str]) -> None:
        """Keep a copy of a database that was not restored as a whole, because it is about to be overwritten."""
        database = self._database
        if not rejected or database is None:
            return
        copy = database.path.with_name(f"{database.path.name}.rejected-{self._clock.wall(self._clock.time()):.0f}")
        try:
            await self._in_thread(lambda: database.copy_to(copy))
        except StorageError as error:
            log.error("the stored state cannot be copied", path=str(copy), error=str(error))  # noqa: TRY400  the message is enough
            return
        log.error("some stored state is not restored; a copy stays", errors=rejected[:10], copy=str(copy))

    async def _close(self) -> None:
        if self._database:
            database, self._database = self._database, None
            await self._in_thread(database.close)

    async def _in_thread(self, function: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _failed(self, error: StorageError) -> None:
        self.status.failures += 1
        if str(error) != self.status.error:
            log.error("state cannot be saved, it stays in memory", error=str(error))
        self.status.error = str(error)

    def _succeeded(self, time: float, size: int) -> None:
        if self.status.error:
            log.info("state is saved again", path=str(self.status.folder))
        self.status.error, self.status.saved_at, self.status.size = "", time, size
        if size > self._settings.size_limit and not self.status.is_full:
            self.status.is_full = self._changes.skip_normal = True
            log.error("storage.size_limit is reached, targets without a leak are not saved", bytes=size)
