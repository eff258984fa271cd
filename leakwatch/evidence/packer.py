"""Redacts and compresses a body in a thread while the body arrives."""

import asyncio
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from leakwatch.errors import EvidenceError, ProfileError
from leakwatch.evidence.record import BodyFormat
from leakwatch.http.fetch import Feed
from leakwatch.profile import redact
from leakwatch.profile.redact import Redaction, TextRedactor

BATCH = 1 << 18  # bytes per call of the thread
MAX_WAITING = 200  # batches, 50 MB; if the thread is further behind, bodies are dropped
LEVEL = 6
GZIP = 31  # zlib's `wbits` for gzip

Result = TypeVar("Result")


class Worker:
    """A thread that runs one call after another. The thread starts with the first call."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._calls: deque[Future[Any]] = deque()

    @property
    def waiting(self) -> int:
        """The number of calls that are not done."""
        self._drop_done()
        return len(self._calls)

    def call(self, function: Callable[[], Result]) -> "Future[Result]":
        """Call `function` after all earlier calls. Neither it nor its result is kept when the call is done.

        Results are packed bodies. Kept, they took 6.5 KB per body of 29 KB: 37 MB per day and leaking target.
        """
        self._drop_done()
        future = self._pool.submit(function)
        self._calls.append(future)
        return future

    def stop(self, *, wait: bool) -> None:
        """Stop after the current call; if `wait`, after all calls, and return then."""
        self._pool.shutdown(wait=wait, cancel_futures=not wait)

    def _drop_done(self) -> None:
        while self._calls and self._calls[0].done():
            self._calls.popleft()


class Packer:
    """Redacts and compresses one body of the given format; `size_limit`: decompressed bytes."""

    def __init__(
        self, body_format: BodyFormat, redaction: Redaction, worker: Worker, size_limit: int = 1 << 30
    ) -> None:
        self.body_format = body_format
        self._redaction = redaction
        self._worker = worker
        self._size_limit = size_limit
        self._text = TextRedactor(redaction)
        self._zip = zlib.compressobj(LEVEL, wbits=GZIP)
        self._batch: list[bytes] = []
        self._size = 0
        self._pieces: list[bytes] = []
        self._packed: list[bytes] = []
        self._calls: list[Future[None]] = []
        self._is_behind = False

    def tee(self, feed: Feed) -> Feed:
        """Return a function that feeds each piece to `feed`, and then to the packer if `feed` does not raise."""

        def both(piece: bytes) -> Iterator[object]:
            yield from feed(piece) or ()
            self.feed(piece)

        return both

    def feed(self, piece: bytes) -> None:
        """Add the next piece of the body."""
        if self._is_behind:
            return
        self._batch.append(piece)
        self._size += len(piece)
        if self._size < BATCH:
            return
        if self._worker.waiting >= MAX_WAITING:
            self._is_behind, self._batch = True, []
            return
        batch, self._batch, self._size = self._batch, [], 0
        self._calls.append(self._worker.call(lambda: self._pack(batch)))

    async def close(self) -> bytes:
        """Return the packed body; raise EvidenceError if it cannot be redacted or the thread is too far behind."""
        if self._is_behind:
            raise EvidenceError("packing is too far behind")
        batch, self._batch = self._batch, []
        return await asyncio.wrap_future(self._worker.call(lambda: self._finish(batch)))

    def _pack(self, batch: list[bytes]) -> None:
        if self.body_format == "text":
            self._packed += [self._zip.compress(self._text.feed(piece)) for piece in batch]
        else:  # the other formats can only be redacted as a whole
            self._pieces += batch

    def _finish(self, batch: list[bytes]) -> bytes:
        for call in self._calls:
            call.result()  # raises the error of the call
        self._pack(batch)
        if self.body_format == "text":
            rest = self._text.close()
        else:
            rest = redact_whole(self.body_format, b"".join(self._pieces), self._redaction, self._size_limit)
        self._packed.append(self._zip.compress(rest) + self._zip.flush())
        return b"".join(self._packed)


def redact_whole(body_format: BodyFormat, body: bytes, redaction: Redaction, size_limit: int) -> bytes:
    """Return a dump or a protobuf body without its secrets; raise EvidenceError."""
    try:
        return redact.dump(body, redaction) if body_format == "dump" else redact.proto(body, redaction, size_limit)
    except ProfileError as error:
        raise EvidenceError(f"cannot be redacted: {error}") from error
