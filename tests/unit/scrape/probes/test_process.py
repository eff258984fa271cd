"""The probe that identifies the process of a target."""

import asyncio
import itertools
from pathlib import Path

import httpx

from leakwatch.http.fake import FakeFetcher
from leakwatch.leaks.probe_schedule import ProbeSchedule
from leakwatch.scrape.probes.process import ProcessProbe

RECORDED = Path(__file__).parents[3] / "profiles" / "1.27" / "goroutine.debug0.pb.gz"


class Simulated:
    """The probe of a simulated process, with its schedule; `answer`: status and body, or an exception."""

    def __init__(self, answer: tuple[int, bytes] | httpx.HTTPError) -> None:
        self.answer = answer
        self.schedule = ProbeSchedule()
        self.probe = ProcessProbe(FakeFetcher(self._respond))

    def _respond(self, _request: httpx.Request) -> tuple[int, bytes]:
        if isinstance(self.answer, httpx.HTTPError):
            raise self.answer
        return self.answer

    def is_due(self, now: float, before: int = 100, total: int = 100, *, new_connection: bool = False) -> bool:
        """Return whether the probe sends a request."""
        return self.probe.is_due(self.schedule, now, before=before, total=total, new_connection=new_connection)

    def start(self, now: float) -> str | None:
        """Send a request; return the start of the process, None if it is unknown."""
        process = asyncio.run(self.probe.request(self.schedule, now))
        return process.start if process else None


def test_when_the_process_is_requested() -> None:
    """On a new connection always, after a fall of a fifth at most once a minute, else never."""
    simulated = Simulated((200, RECORDED.read_bytes()))
    assert simulated.is_due(0, 0, 50, new_connection=True)
    assert simulated.is_due(0, 100, 80)
    assert not simulated.is_due(0, 100, 81)
    assert not simulated.is_due(0, 10, 1)
    start = simulated.start(0)
    assert start
    assert start.startswith("0x7f")
    assert not simulated.is_due(59, 100, 10)
    assert simulated.is_due(60, 100, 10)


def test_a_process_without_the_profile_is_rarely_asked_again() -> None:
    """After a response of 404 the process is asked again if its goroutines fell, or on a new connection."""
    simulated = Simulated((404, b""))
    assert simulated.start(100) is None
    assert not simulated.is_due(200)
    assert not simulated.is_due(1e9)
    assert not simulated.is_due(159, 100, 10)
    assert simulated.is_due(160, 100, 10)
    assert simulated.is_due(200, new_connection=True)


def test_a_slow_process_is_asked_again_with_growing_pauses() -> None:
    """A process that was too slow just after its start is asked again after 60 s, 120 s, ... up to an hour."""
    simulated = Simulated(httpx.ReadTimeout(""))
    times, now = [], 0.0
    while now < 4 * 3600:
        if simulated.is_due(now, new_connection=not now):
            assert simulated.start(now) is None
            times.append(now)
        now += 15.0
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    simulated.answer = 200, RECORDED.read_bytes()
    assert simulated.start(now)
    assert not simulated.is_due(now + 3600)
