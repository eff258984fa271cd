"""A small fleet for tests of pages and API: leaking services, hostile names, a target that is down."""

import asyncio
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from leakwatch.clock import Clock, Lag
from leakwatch.evidence.config import EvidenceConfig
from leakwatch.evidence.store import Store
from leakwatch.leaks.ignore import IgnoreRule
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Frame, Process, Sample, Samples, Stack, Target, TargetHealth
from leakwatch.pipeline import Pipeline
from leakwatch.profile.fingerprint import fingerprint_of
from leakwatch.scrape.start_queue import StartQueue
from leakwatch.storage.pauses import Pauses
from leakwatch.storage.storage import StorageStatus
from leakwatch.web import lazy
from leakwatch.web.api.app import build_api
from leakwatch.web.api.events import LiveEvents
from leakwatch.web.api.fleet import Fleet, FleetView
from leakwatch.web.api.state import AlertContext, AppState, OwnState
from leakwatch.web.app import Endpoints, Exposition, build_app
from tests.support.simulated import START, stack

MINUTES = 200
END = START + 60.0 * MINUTES
HALF = "half a letter: \ud800"
HOSTILE = 'ns/a "b"\n<script>alert(1)</script> ü/../%2F?#\u202etxet'
LONG = "example.com/long." + "x" * 10_000

ONE, TWO = (Target("shop", f"10.0.0.{i}:6060", {"job": "shop", "zone": "a"}) for i in (1, 2))
ODD = Target(HOSTILE, "unix:///run/odd/pprof.sock", {"job": HOSTILE, "note": HALF})
NEW = Target("young", "10.0.0.9:6060", {"job": "young"})
DOWN = Target("young", "10.0.0.8:6060", {"job": "young"})


class StoppedClock(Clock):
    """A clock that stands still."""

    def __init__(self, time: float = END) -> None:
        self.moment = time

    def time(self) -> float:
        """Return the time."""
        return self.moment

    def wall(self, moment: float) -> float:
        """Return `moment`."""
        return moment


def odd_stack(function: str) -> Stack:
    """Return a stack of a function with an unusual name, called through a library."""
    frames = (
        Frame("runtime.gopark", "/go/src/runtime/proc.go", 435),
        Frame(function, f"/src/{HALF}.go", 7),
        Frame("github.com/lib/x.Run", "/home/ci/go/pkg/mod/github.com/lib/x@v1/x.go", 3),
        Frame("main.main", "/src/main.go", 3),
    )
    return Stack(
        fingerprint=fingerprint_of([frame.function for frame in frames]),
        frames=frames,
        blamed=frames[1],
        origin="main.main",
        wait="select",
    )


def sample(stack: Stack, goroutines: int) -> dict[Fingerprint, Sample]:
    """Return the samples of one stack."""
    return {stack.fingerprint: Sample(stack, goroutines)} if goroutines else {}


def _shop(minute: int, *, restarted: int | None) -> Samples:
    uptime = minute if restarted is None or minute < restarted else minute - restarted
    paths = [sample(_path(i), (uptime + 5 * i) // 20 * 10) for i in range(4)]
    sites = {key: value for samples in paths for key, value in samples.items()}
    return {**sample(stack("leak"), 3 * uptime), **sample(stack("idle", "main.worker"), 7), **sites}


def _path(i: int) -> Stack:
    frames = (Frame("main.wait", "/src/wait.go", 9), Frame(f"main.path{i}", "/src/path.go", i))
    return Stack(
        fingerprint=fingerprint_of([frame.function for frame in frames]),
        frames=frames,
        blamed=frames[0],
        origin=f"main.path{i}",
        wait="",
    )


@cache
def small_world() -> Pipeline:
    """Return a pipeline that observed the small world. Tests share it, so they must not change it."""
    rule = IgnoreRule(function="main.hidden*", owner="team-shop", reason="by design", at_most=10_000)
    misspelt = IgnoreRule(function="main.nowhere", reason="a typo")
    settings = DetectionSettings(owners={"main.": "team <shop>"}, ignore=(rule, misspelt))
    pipeline = Pipeline(settings)
    for minute in range(MINUTES):
        at = START + 60.0 * minute
        pipeline.observe(pipeline.add_target(ONE), at, 1000, _shop(minute, restarted=None), Process("s1", "b1"))
        start = "s1" if minute < 100 else "s2"
        pipeline.observe(pipeline.add_target(TWO), at + 1, 900, _shop(minute, restarted=100), Process(start, "b1"))
        odd = {**sample(odd_stack(f"main.{HALF}<b>"), 2 * minute), **sample(odd_stack(LONG), minute // 3)}
        pipeline.observe(pipeline.add_target(ODD), at + 2, minute, {**odd, **sample(stack("hidden"), 5 * minute)})
        if minute >= MINUTES - 20:
            pipeline.observe(pipeline.add_target(NEW), at + 3, 7, sample(stack("idle"), 7))
    return pipeline


def health() -> Mapping[Target, TargetHealth]:
    """Return the health of each target."""
    targets = {
        target: TargetHealth(up=True, interval=15.0, duration=0.03, body_bytes=2000, time=END - 15, since=START)
        for target in (ONE, TWO, ODD, NEW)
    }
    targets[DOWN] = TargetHealth(
        up=False, reason="connection", error=f"no <way> {HALF}", since=END - 60, time=END - 5
    )
    return targets


def app_state(
    *,
    pipeline: Pipeline | None = None,
    clock: Clock | None = None,
    health: Callable[[], Mapping[Target, TargetHealth]] = health,
    evidence: Store | None = None,
    configuration_yaml: Callable[[], str] = str,
    last_reload: Callable[[], tuple[str, float]] = lambda: ("", START),
    ready: Callable[[], str] = str,
    url: str = "",
    stop: asyncio.Event | None = None,
    starts: StartQueue | None = None,
    storage: StorageStatus | None = None,
    pauses: Pauses | None = None,
    alertmanager: str = "",
    checkouts: Mapping[str, Path] | None = None,
) -> AppState:
    """Return the state of the small world, with other parts where they are given."""
    own = OwnState(
        started=lambda: START,
        lag=Lag(),
        starts=starts or StartQueue(lambda: END, idle=lambda: END, cpu=lambda: 0.0),
        configuration_yaml=configuration_yaml,
        last_reload=last_reload,
        ready=ready,
        access=str,
        built_targets=dict,
        discoverers=list,
        alertmanagers={},
        storage=storage or StorageStatus(folder=None),
    )
    return AppState(
        fleet=Fleet(
            pipeline=pipeline or small_world(),
            clock=clock or StoppedClock(),
            health=health,
            scrape_targets=dict,
            pauses=pauses or Pauses(),
        ),
        own=own,
        alerts=AlertContext(url=url, external_labels=dict, alertmanager=lambda: alertmanager, dashboard=str),
        evidence=Store(EvidenceConfig(), Clock()) if evidence is None else evidence,
        checkouts=lambda: checkouts or {},
        stop=stop or asyncio.Event(),
    )


def view(**parts: Any) -> FleetView:
    """Return the fleet of `app_state`, as one request sees it."""
    return app_state(**parts).fleet.view()


async def _no_reload() -> None:
    """Do nothing."""


def app(state: AppState | None = None, prefix: str = "", live_events: LiveEvents | None = None) -> Starlette:
    """Return the application as the daemon serves it; its event streams end soon."""
    state = state or app_state()
    events = live_events or LiveEvents(state.fleet, START, state.stop, tick=0.01, duration=0.05)
    api = lazy.LazyApp(lambda: build_api(state, events))
    endpoints = Endpoints(Exposition(CollectorRegistry()), state.own.ready, _no_reload)
    return build_app(endpoints, api, lazy.pages(state), prefix)


@cache
def small_app(prefix: str) -> Starlette:
    """Return the application of the small world. Tests share it, because its build takes longer than a request."""
    return app(prefix=prefix)


def get(
    path: str,
    state: AppState | None = None,
    prefix: str = "",
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Send one request to the application without a network."""
    return request(app(state, prefix) if state else small_app(prefix), path, method=method, headers=headers)


def request(
    application: Starlette, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """Send one request to `application` without a network."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://leakwatch") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(send())
