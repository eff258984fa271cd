"""Packing of bodies in a thread."""

import asyncio
import gzip
import sys
import threading
import weakref

import pytest

from leakwatch.errors import EvidenceError
from leakwatch.evidence.packer import BATCH, MAX_WAITING, Packer, Worker
from leakwatch.profile.redact import Redaction
from tests.support.clock import run_logged
from tests.support.kept_bodies import many_labels


def test_a_body_is_dropped_if_the_thread_is_too_far_behind() -> None:
    """The packer raises an error and holds none of the pieces."""
    piece = bytes(BATCH)
    references = sys.getrefcount(piece)

    async def run() -> None:
        worker = Worker("test")
        released = threading.Event()
        for _ in range(MAX_WAITING):
            worker.call(released.wait)
        packer = Packer("text", Redaction(), worker)
        for _ in range(3):
            packer.feed(piece)
        with pytest.raises(EvidenceError, match="behind"):
            await packer.close()
        assert sys.getrefcount(piece) == references
        released.set()
        worker.stop(wait=True)
        assert worker.waiting == 0

    run_logged(run)


def test_calls_that_are_done_are_not_kept() -> None:
    """A worker holds at most its latest call, however many it has run."""
    worker = Worker("test")
    calls = []
    for _ in range(100):
        call = worker.call(lambda: bytes(1000))
        assert len(call.result()) == 1000
        calls.append(weakref.ref(call))
    del call
    worker.stop(wait=True)
    assert sum(call() is not None for call in calls) <= 1


def test_feeding_does_not_wait_for_packing() -> None:
    """A body of 8 MB with a label per goroutine is fed while the thread is blocked, and packed afterwards."""
    piece = many_labels(1000)
    pieces = 8 * (1 << 20) // len(piece)

    async def run() -> None:
        worker = Worker("test")
        released = threading.Event()
        worker.call(released.wait)
        packer = Packer("text", Redaction(), worker)
        for _ in range(pieces):
            packer.feed(piece)
        assert worker.waiting > 10
        closing = asyncio.ensure_future(packer.close())
        released.set()
        body = gzip.decompress(await closing)
        assert body.count(b'"request":"redacted"') == 1000 * pieces
        assert b"secret" not in body
        worker.stop(wait=True)

    run_logged(run)
