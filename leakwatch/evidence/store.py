"""Keeps raw bodies as evidence: bounded, redacted before anything else, on disk where there is one.

Of a target that leaks, `trail.py` says which bodies are kept and why. Here they are indexed, bounded and written,
one after the other in a thread. What cannot be written stays in memory, within a smaller bound. The loop never
waits for the disk.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from hashlib import blake2b

import structlog

from leakwatch.errors import EvidenceError
from leakwatch.evidence.config import EvidenceConfig
from leakwatch.evidence.disk import Disk, stem
from leakwatch.evidence.index import Index, StoredBody, surplus
from leakwatch.evidence.packer import Packer, Worker
from leakwatch.evidence.record import Kept, Record
from leakwatch.model import Verdict

log = structlog.get_logger()

GRACE = 1.0  # seconds to write in at the end
MOST_LEFT = 1000  # bodies whose removal is tried again


class Store:
    """All bodies that are kept, within the bounds of `settings`; needs the event loop from `start` to `stop`."""

    def __init__(self, settings: EvidenceConfig) -> None:
        self.settings = settings
        self.dropped = 0
        """Bodies that had to go, or could not be kept."""
        self.write_failures = 0
        self._redaction = settings.redact.redaction()
        self._shelf = Index()
        self._packing, self._writing = Worker("evidence-pack"), Worker("evidence-disk")
        self._disk: Disk | None = None
        self._troubled = False
        self._said = ""
        self._left: deque[Record] = deque(maxlen=MOST_LEFT)
        """Whose files could not be removed."""
        self._pending: set[asyncio.Future[None]] = set()

    def start(self) -> None:
        """Take up what the folder holds, and say where evidence is kept."""
        path = self.settings.path
        if path is None:
            log.info("evidence is kept in memory only; evidence.path keeps it over a restart")
            return
        disk = Disk(path)
        try:
            disk.check()
            found = disk.index(lambda line: log.warning("evidence cannot be used", problem=line))
        except OSError as error:
            log.error("evidence is kept in memory only", path=str(path), error=str(error))  # noqa: TRY400  says it all
            return
        self._disk = disk
        for record in found:
            body = StoredBody(_key(record), record, None, record.start, saving=True, saved=True)
            self._shelf.put(body)
        self._bound()
        log.info("evidence is kept", path=str(path), bodies=len(self._shelf), bytes=self.size)

    async def stop(self) -> None:
        """Write what is not written, as far as that goes, within a second."""
        for body in self._shelf:
            self.save(body)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                while self._pending:  # what is written may lead to more
                    await asyncio.wait(self._pending)
        self._packing.stop(wait=False)
        self._writing.stop(wait=False)

    def configure(self, settings: EvidenceConfig) -> None:
        """Bound and redact by `settings` from now on; their path counts from the next start."""
        self.settings = settings.model_copy(update={"path": self.settings.path})
        self._redaction = settings.redact.redaction()
        self._bound()

    @property
    def bodies(self) -> list[StoredBody]:
        """What is kept, the newest first."""
        return sorted(self._shelf, key=lambda body: body.record.time, reverse=True)

    @property
    def size(self) -> int:
        """What all of it takes, compressed."""
        return self._shelf.size

    def __len__(self) -> int:
        return len(self._shelf)

    def packer(self, form: Kept, size_limit: int) -> Packer:
        """Return what takes in a body."""
        return Packer(form, self._redaction, self._packing, size_limit)

    def add(self, record: Record, parts: Mapping[str, bytes], lifetime: str) -> StoredBody:
        """Keep a body; `parts`: its bytes and its symbols by what their files end in."""
        while self._shelf.has(_key(record)):  # two of one target within a millisecond
            record = record.model_copy(update={"time": round(record.time + 0.001, 3)})
        body = StoredBody(_key(record), record, parts, lifetime)
        self._shelf.put(body)
        self._supersede(body)
        self._bound()
        return body

    def drop(self, why: str, **more: object) -> None:
        """Count and say that a body could not be kept."""
        self.dropped += 1
        if why != self._said:
            log.warning("a body is not kept as evidence", error=why, **more)
        self._said = why

    def save(self, body: StoredBody) -> None:
        """Write a body in its turn, if there is a disk and it has not been written."""
        parts = body.parts
        if self._disk is None or body.saving or parts is None or body not in self._shelf:
            return
        body.saving, disk, record = True, self._disk, body.record
        self._do(lambda: disk.write(record, parts), lambda error: self._saved(body, record, error))

    def tell(self, service: str, stack: str, verdict: Verdict, growth_per_hour: float) -> None:
        """Say what is thought now of a leak of `service`, of all bodies that are evidence for it."""
        for body in self._shelf:
            if body.record.service == service:
                self.change(body, body.record.told(stack, verdict, growth_per_hour))

    def change(self, body: StoredBody, record: Record) -> None:
        """Say something else of a body, if it is kept."""
        if record is body.record or body not in self._shelf:
            return
        before = body.record
        body.say(record)
        if self._disk and body.saved and record != before:
            disk = self._disk
            self._do(lambda: disk.write_record(record), self._failed)

    def remove(self, body: StoredBody) -> None:
        """Keep a body no longer."""
        if body not in self._shelf:
            return
        self._shelf.take(body)
        if body.saving:
            self._erase(body.record)

    async def read(self, key: str) -> tuple[Record, Mapping[str, bytes]]:
        """Return a body by what their files end in; raises KeyError and EvidenceError."""
        body = self._shelf[key]
        if body.parts is not None or self._disk is None:
            return body.record, body.parts or {}
        try:
            return body.record, await asyncio.to_thread(self._disk.read, body.record)
        except OSError as error:
            raise EvidenceError(f"cannot be read: {error.strerror or error}") from error

    def _saved(self, body: StoredBody, record: Record, error: OSError | None) -> None:
        """Go on after `body` was written as `record`."""
        if error is not None:
            body.saving = False
            self._failed(error)
            return
        self._works()
        body.saved = True
        self._shelf.leave_to_disk(body)
        if body not in self._shelf:
            return
        if body.record != record:
            changed = body.record
            body.say(record)
            self.change(body, changed)
        self._supersede(body)

    def _supersede(self, newer: StoredBody) -> None:
        """Say that bodies before `newer`, of the same process, are no longer its last."""
        for body in self._shelf.of(newer.whose):
            older = body.record.time < newer.record.time
            if not older or "last" not in body.record.kinds or "last" not in newer.record.kinds:
                continue
            if body.lifetime != newer.lifetime or not newer.lifetime:
                continue
            if body.saving and not newer.saved and self._disk:
                continue  # until the newer one is on disk too, it is what survives us
            rest = body.record.without_last()
            if rest is None:
                self.remove(body)
            else:
                self.change(body, rest)

    def _bound(self) -> None:
        """Let go of what is too much: of all, and of what is in memory."""
        settings, shelf = self.settings, self._shelf
        gone: list[StoredBody] = []
        if shelf.size > settings.size_limit or len(shelf) > settings.body_limit:
            gone = surplus(shelf, size=settings.size_limit, number=settings.body_limit)
        for body in gone:
            self.remove(body)
        if shelf.in_memory > settings.memory_limit:
            held = [body for body in shelf if body.parts is not None]
            more = surplus(held, size=settings.memory_limit)
            for body in more:
                self.remove(body)
            gone += more
        self.dropped += len(gone)

    def _do(self, what: Callable[[], None], then: Callable[[OSError | None], None]) -> None:
        """Do something with the disk in its turn, and call `then` with what went wrong."""
        future = asyncio.wrap_future(self._writing.call(what))
        self._pending.add(future)

        def done(one: asyncio.Future[None]) -> None:
            self._pending.discard(one)
            if one.cancelled():
                return
            error = one.exception()
            if error is not None and not isinstance(error, OSError):
                log.error("evidence cannot be written, by a mistake of ours", error=repr(error))
                error = OSError(repr(error))
            then(error)

        future.add_done_callback(done)

    def _erase(self, record: Record) -> None:
        """Remove a body from the disk in its turn; what fails is tried again when something can be written."""
        disk = self._disk

        def then(error: OSError | None) -> None:
            if error is not None:
                self._left.append(record)
            self._failed(error)

        if disk and not self._shelf.has(_key(record)):
            self._do(lambda: disk.remove(record), then)

    def _failed(self, error: OSError | None) -> None:
        """Count a failure of the disk, if it is one; say it once."""
        if error is None:
            return
        self.write_failures += 1
        if not self._troubled:
            where = str(self.settings.path)
            log.error("evidence cannot be written, it is kept in memory", path=where, error=str(error))
        self._troubled = True

    def _works(self) -> None:
        """Write what could not be written before; say it when all of it is."""
        if not self._troubled:
            return
        waiting = [body for body in self._shelf if body.parts is not None and not body.saving]
        for body in waiting:
            self.save(body)
        left, self._left = self._left, deque(maxlen=MOST_LEFT)
        for record in left:
            self._erase(record)
        if not waiting and not left:
            self._troubled = False
            log.info("evidence can be written again")


def _key(record: Record) -> str:
    return blake2b(stem(record).encode(), digest_size=8).hexdigest()
