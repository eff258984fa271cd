"""The stored bodies, limited in number and size, in memory or also on disk.

`recorder.py` decides which bodies of a target are stored. Without a folder all bodies stay in memory. With a
folder, only bodies that are not written yet are in memory.
"""

from collections.abc import Mapping
from hashlib import blake2b

import structlog

from leakwatch.clock import Clock
from leakwatch.errors import EvidenceError
from leakwatch.evidence.config import EvidenceConfig
from leakwatch.evidence.disk import Disk, stem
from leakwatch.evidence.index import DiskState, Index, StoredBody
from leakwatch.evidence.packer import Packer, Worker
from leakwatch.evidence.record import BodyFormat, Record
from leakwatch.evidence.writer import Writer
from leakwatch.model import Verdict

log = structlog.get_logger()


class Store:
    """All stored bodies, within the limits of `settings`. Adding and writing require a running event loop."""

    def __init__(self, settings: EvidenceConfig, clock: Clock) -> None:
        self.settings = settings
        self.dropped = 0
        """Bodies that were evicted or could not be stored."""
        self._clock = clock
        self._redaction = settings.redact.redaction()
        self._index = Index()
        self._packing = Worker("evidence-pack")
        self._writer: Writer | None = None
        self._last_error = ""

    def start(self) -> None:
        """Load the folder of the settings, if any. If the folder cannot be used, log why and use memory only."""
        path = self.settings.path
        if path is None:
            log.info("evidence is stored in memory; set evidence.path to store it on disk")
            return
        disk = Disk(path)
        try:
            disk.check()
            records = disk.load(
                lambda file, error: log.warning("invalid evidence file renamed", file=str(file), error=error)
            )
        except OSError as error:
            log.error("evidence.path cannot be used, evidence stays in memory", path=str(path), error=str(error))  # noqa: TRY400  the message is enough
            return
        self._writer = Writer(disk, self._index, self._clock, self._supersede)
        for record in records:
            self._index.add(
                StoredBody(
                    key=_key(record),
                    record=record,
                    parts=None,
                    lifetime=record.start,
                    disk_state=DiskState.WRITTEN,
                )
            )
        self._evict()
        log.info("evidence loaded", path=str(path), bodies=len(self._index), bytes=self.size)

    async def stop(self) -> None:
        """Write all bodies that are not on disk, within a second."""
        if self._writer:
            for body in self._index:
                self._writer.write(body)
            await self._writer.stop()
        self._packing.stop(wait=False)

    async def flush(self) -> None:
        """Return when all queued writes are done."""
        if self._writer:
            await self._writer.flush()

    def configure(self, settings: EvidenceConfig) -> None:
        """Apply new limits and redaction; a new path takes effect after a restart."""
        self.settings = settings.model_copy(update={"path": self.settings.path})
        self._redaction = settings.redact.redaction()
        self._evict()

    @property
    def bodies(self) -> list[StoredBody]:
        """The stored bodies, the newest first."""
        return sorted(self._index, key=lambda body: body.record.time, reverse=True)

    @property
    def size(self) -> int:
        """Bytes of all bodies, compressed."""
        return self._index.size

    @property
    def write_failures(self) -> int:
        """Failed disk operations."""
        return self._writer.failures if self._writer else 0

    def __len__(self) -> int:
        return len(self._index)

    def packer(self, body_format: BodyFormat, size_limit: int) -> Packer:
        """Return a packer for one body; `size_limit`: decompressed bytes."""
        return Packer(body_format, self._redaction, self._packing, size_limit)

    def add(self, record: Record, parts: Mapping[str, bytes], lifetime: str) -> StoredBody:
        """Store a body in memory; `parts`: body and symbols by suffix."""
        while self._index.has_key(_key(record)):  # two bodies of a target within a millisecond
            record = record.model_copy(update={"time": round(record.time + 0.001, 3)})
        body = StoredBody(key=_key(record), record=record, parts=parts, lifetime=lifetime)
        self._index.add(body)
        self._supersede(body)
        self._evict()
        return body

    def save(self, body: StoredBody) -> None:
        """Write a body to the folder, if there is one."""
        if self._writer:
            self._writer.write(body)

    def reject(self, reason: str, **labels: object) -> None:
        """Count a body that could not be stored, and log the reason unless it is the same as before."""
        self.dropped += 1
        if reason != self._last_error:
            log.warning("profile not stored as evidence", error=reason, **labels)
        self._last_error = reason

    def update_leak(self, service: str, stack: str, verdict: Verdict, growth_per_hour: float) -> None:
        """Record verdict and growth of a leak in all bodies of the service."""
        for body in self._index:
            if body.record.service == service:
                self._update(body, body.record.with_verdict(stack, verdict, growth_per_hour))

    def remove_last(self, body: StoredBody) -> None:
        """Remove the kind `last` of a body, and the body if it has no other kind."""
        record = body.record.without_last()
        if record is None:
            self.remove(body)
        else:
            self._update(body, record)

    def remove(self, body: StoredBody) -> None:
        """Remove a body."""
        if body in self._index:
            self._index.remove(body)
            self._remove_files(body)

    async def read(self, key: str) -> tuple[Record, Mapping[str, bytes]]:
        """Return a record, and body and symbols by suffix; raise KeyError or EvidenceError."""
        body = self._index[key]
        if body.parts is not None or self._writer is None:
            return body.record, body.parts or {}
        try:
            return body.record, await self._writer.read(body.record)
        except OSError as error:
            raise EvidenceError(f"cannot be read: {error.strerror or error}") from error

    def _update(self, body: StoredBody, record: Record) -> None:
        """Replace the record of a body that is still stored."""
        if record is body.record or body not in self._index:
            return
        body.set_record(record)
        if self._writer:
            self._writer.write_record(body)

    def _supersede(self, newer: StoredBody) -> None:
        """Remove the kind `last` of older bodies of the same process."""
        if "last" not in newer.record.kinds or not newer.lifetime:
            return
        for body in self._index.of_target(newer.target):
            older = body.lifetime == newer.lifetime and body.record.time < newer.record.time
            if not older or "last" not in body.record.kinds:
                continue
            if body.disk_state is not DiskState.ABSENT and newer.disk_state is not DiskState.WRITTEN:
                continue  # until the newer body is on disk, only the older one survives the end of leakwatch
            self.remove_last(body)

    def _evict(self) -> None:
        """Evict bodies until the limits hold."""
        limits = self.settings
        evicted = self._index.evict(size=limits.size_limit, number=limits.body_limit, memory=limits.memory_limit)
        for body in evicted:
            self._remove_files(body)
        self.dropped += len(evicted)

    def _remove_files(self, body: StoredBody) -> None:
        if self._writer:
            self._writer.remove(body)


def _key(record: Record) -> str:
    return blake2b(stem(record).encode(), digest_size=8).hexdigest()
