"""Redacts and compresses bodies beside the loop, piece by piece, as they come in."""

import asyncio
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from leakwatch.errors import EvidenceError, ProfileError
from leakwatch.evidence.record import Kept
from leakwatch.profile import redact
from leakwatch.profile.redact import Redaction, TextRedactor

BATCH = 1 << 18  # bytes handed over at once
MOST_WAITING = 200  # batches; what packs or writes hangs, so more would only fill memory
LEVEL = 6
GZIP = 31  # zlib's name for it

Result = TypeVar("Result")


class Worker:
    """Does one thing after the other in a thread of its own, which begins with the first."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._calls: deque[Future[Any]] = deque()

    @property
    def waiting(self) -> int:
        """How many calls have not ended."""
        while self._calls and self._calls[0].done():
            self._calls.popleft()
        return len(self._calls)

    def call(self, what: Callable[[], Result]) -> "Future[Result]":
        """Call `what` when all before it is done."""
        future = self._pool.submit(what)
        self._calls.append(future)
        return future

    def stop(self, *, wait: bool) -> None:
        """Do no more; what is under way ends, what waits is done if `wait`."""
        self._pool.shutdown(wait=wait, cancel_futures=not wait)


class Packer:
    """Takes in one body and gives it back redacted and gzipped; `size_limit`: bytes decompressed."""

    def __init__(self, form: Kept, redaction: Redaction, worker: Worker, size_limit: int = 1 << 30) -> None:
        self._form = form
        self._redaction = redaction
        self._worker = worker
        self._size_limit = size_limit
        self._text = TextRedactor(redaction)
        self._zip = zlib.compressobj(LEVEL, wbits=GZIP)
        self._batch: list[bytes] = []
        self._size = 0
        self._whole: list[bytes] = []
        self._packed: list[bytes] = []
        self._parts: list[Future[None]] = []
        self._failed = False

    def tee(self, feed: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Return what gives each piece to `feed`, and to us if that does not raise."""

        def both(piece: bytes) -> None:
            feed(piece)
            self.feed(piece)

        return both

    def feed(self, piece: bytes) -> None:
        """Take in the next piece."""
        self._batch.append(piece)
        self._size += len(piece)
        if self._size < BATCH or self._failed:
            return
        if self._worker.waiting >= MOST_WAITING:
            self._failed, self._batch = True, []
            return
        batch, self._batch, self._size = self._batch, [], 0
        self._parts.append(self._worker.call(lambda: self._pack(batch)))

    async def close(self) -> bytes:
        """Return the whole body; raises EvidenceError if it cannot be kept."""
        if self._failed:
            raise EvidenceError("packing is too far behind")
        batch, self._batch = self._batch, []
        return await asyncio.wrap_future(self._worker.call(lambda: self._finish(batch)))

    def _pack(self, batch: list[bytes]) -> None:
        if self._form == "text":
            self._packed += [self._zip.compress(self._text.feed(piece)) for piece in batch]
        else:  # their secrets are found in the whole only
            self._whole += batch

    def _finish(self, batch: list[bytes]) -> bytes:
        for part in self._parts:
            part.result()  # raises what went wrong in it
        self._pack(batch)
        if self._form == "text":
            rest = self._text.close()
        else:
            rest = pack_whole(self._form, b"".join(self._whole), self._redaction, self._size_limit)
        self._packed.append(self._zip.compress(rest) + self._zip.flush())
        return b"".join(self._packed)


def pack_whole(form: Kept, body: bytes, redaction: Redaction, size_limit: int) -> bytes:
    """Return a body without its secrets; raises EvidenceError."""
    try:
        return redact.dump(body, redaction) if form == "dump" else redact.proto(body, redaction, size_limit)
    except ProfileError as error:
        raise EvidenceError(f"its secrets cannot be told apart: {error}") from error
