"""The heap probe: when it sends a request, which results it records, and how it fails."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest

from leakwatch.http.fake import FakeFetcher
from leakwatch.leaks.findings import ProbeResults
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Fingerprint, Frame, Stack, Trace
from leakwatch.pipeline import Pipeline
from leakwatch.profile.stacks import Identifier
from leakwatch.scrape.probes.config import ProbeSettings, probes
from leakwatch.scrape.probes.heap_profile import PAUSE, HeapProfileProbe, When
from leakwatch.scrape.probes.probe import ProbeContext, is_due, record, run_probe
from tests.support.simulated import START, TARGET, stack

RECORDED = (Path(__file__).parents[3] / "profiles" / "callers" / "heap.debug1.txt").read_bytes()
GRPC = "google.golang.org/grpc"
IDENTIFIER = Identifier()
READER = IDENTIFIER.stack(
    Trace((Frame(f"{GRPC}/internal/transport.(*http2Client).reader", f"/go/pkg/mod/{GRPC}@v1.67.1/t.go", 7),))
)
BUS = IDENTIFIER.stack(
    Trace((Frame("example.org/bus.(*Client).loop", "/go/pkg/mod/example.org/bus@v1.0.0/b.go", 7),))
)
LIMIT = 1 << 20


class Probed:
    """A target with a heap probe and 300 leaked goroutines; `answer`: its status and body."""

    def __init__(self, answer: tuple[int, bytes] = (200, RECORDED), when: When = "suspicion") -> None:
        self.answer = answer
        self.requests: list[str] = []
        self.state = Pipeline(DetectionSettings()).add_target(TARGET)
        self.goroutines = 300
        fetcher = FakeFetcher(self._respond).with_profile("heap", LIMIT, debug="1")
        self.probe = HeapProfileProbe(fetcher, when)

    @property
    def results(self) -> ProbeResults:
        """The results of the probes."""
        return self.state.probe_results

    def _respond(self, request: httpx.Request) -> tuple[int, bytes]:
        self.requests.append(f"{request.url.path}?{request.url.query.decode()}")
        return self.answer

    def run(self, now: float, *stacks: Stack, without_own_code: bool = True) -> bool:
        """Run the probe if it is due at `now` while `stacks` are suspected; return whether it was."""
        suspects: Mapping[Fingerprint, Stack] = {each.fingerprint: each for each in stacks or (READER,)}
        context = ProbeContext(
            state=self.state,
            time=START + now,
            now=now,
            total=10,
            suspects=suspects,
            identifier=IDENTIFIER,
            without_own_code=suspects if without_own_code else {},
        )
        with patch.object(TargetState, "count", lambda *_: self.goroutines):
            due = is_due(self.probe, context)
            if due:
                record(self.probe.name, context, asyncio.run(run_probe(self.probe, context)))
        return due


def test_one_request_per_leak_and_process() -> None:
    """A leak without own code is looked up once; another leak, or another process, after the pause."""
    probed = Probed()
    assert not probed.run(0, stack("own"), without_own_code=False)
    assert probed.run(1)
    assert probed.requests == ["/debug/pprof/heap?debug=1"]
    assert [caller.function.function for caller in probed.results.heap[GRPC].callers] == ["main.(*supplier).Stock"]
    assert probed.results.heap[GRPC].goroutines == 300
    assert not any(probed.run(now) for now in (2, PAUSE + 1, 1e6))
    assert not probed.run(PAUSE, READER, BUS)
    assert probed.run(PAUSE + 1, READER, BUS)
    assert probed.results.heap["example.org/bus"].callers == ()
    probed.results.restart()
    assert probed.run(1e6)


def test_an_unclear_result_is_looked_up_again() -> None:
    """If nothing is clear, the request is repeated when the leak is four times as large; else it is not."""
    probed = Probed()
    assert probed.run(0, BUS)
    probed.goroutines = 1199
    assert not probed.run(1e6, BUS)
    probed.goroutines = 1200
    assert probed.run(1e6, BUS)
    probed = Probed()
    assert probed.run(0)
    probed.goroutines = 10**6
    assert not probed.run(1e6)


def test_the_probe_can_be_disabled() -> None:
    """With `off`, no request is sent."""
    assert not Probed(when="off").run(0)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((404, b"404 page not found\n"), "HTTP 404 for /debug/pprof/heap: '404 page not found'"),
        ((200, b"<!doctype html>\n"), "not a heap profile: the body starts with '<!doctype html>'"),
        ((200, RECORDED + b"x" * LIMIT), "the body is larger than 1048576 bytes (heap_profile_size_limit)"),
        ((200, RECORDED[:5000]), "the body ends within a record"),
        ((200, RECORDED.replace(b"#\t0x", b"#\t0y")), "expected a frame"),
    ],
)
def test_a_bad_response_is_one_reason(answer: tuple[int, bytes], reason: str) -> None:
    """The reason is reported, earlier results stay, and a process that would fail again is not asked again."""
    probed = Probed()
    probed.run(0)
    before = dict(probed.results.heap)
    probed.answer = answer
    assert probed.run(PAUSE, BUS)
    assert list(probed.results.unavailable) == ["heap"]
    assert reason in probed.results.unavailable["heap"]
    assert probed.results.heap == before
    assert probed.run(1e6, BUS) == ("ends within" in reason)


def test_garbage_is_collected_only_if_configured() -> None:
    """The request has `gc=1` if `heap_profile_gc` is set, and the limit of the configuration."""
    for settings, query in (
        (ProbeSettings(), "debug=1"),
        (ProbeSettings(heap_profile_gc=True, heap_profile_size_limit=7), "debug=1&gc=1"),
    ):
        fetcher = FakeFetcher(lambda _: (200, b""))
        with patch("leakwatch.scrape.probes.config.memory_probe"):
            *_, probe = probes(settings, fetcher, None, lambda: 0.0)  # type: ignore[arg-type]
        assert isinstance(probe, HeapProfileProbe)
        assert probe._fetcher.url.query.decode() == query
        assert probe._fetcher.size_limit == settings.heap_profile_size_limit
