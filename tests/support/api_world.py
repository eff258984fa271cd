"""A small world that the API tells of: services that leak, names that are hostile, a target that is down."""

import asyncio
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from leakwatch.clock import Clock
from leakwatch.leaks.ignore import IgnoreRule
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Frame, Process, Sample, Samples, Stack, Target, TargetHealth
from leakwatch.pipeline import Pipeline
from leakwatch.profile.fingerprint import fingerprint_of
from leakwatch.web import lazy as later
from leakwatch.web.api.app import make_api
from leakwatch.web.api.events import Changes
from leakwatch.web.api.state import AppState
from leakwatch.web.app import make_app
from leakwatch.web.lazy import LazyApp
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


class At(Clock):
    """A clock that stands still where it is put."""

    def __init__(self, time: float = END) -> None:
        self.moment = time

    def time(self) -> float:
        """Return the moment."""
        return self.moment

    def wall(self, moment: float) -> float:
        """Return the moment as it is."""
        return moment


def odd_stack(function: str) -> Stack:
    """Return a stack of a function whose name nobody would choose, called through a library."""
    frames = (
        Frame("runtime.gopark", "/go/src/runtime/proc.go", 435),
        Frame(function, f"/src/{HALF}.go", 7),
        Frame("github.com/lib/x.Run", "/root/go/pkg/mod/github.com/lib/x@v1/x.go", 3),
        Frame("main.main", "/src/main.go", 3),
    )
    return Stack(
        fingerprint=fingerprint_of([frame.function for frame in frames]),
        frames=frames,
        blamed=frames[1],
        origin="main.main",
        wait="select",
    )


def sample(one: Stack, goroutines: int) -> dict[Fingerprint, Sample]:
    """Return the samples of one stack."""
    return {one.fingerprint: Sample(one, goroutines)} if goroutines else {}


def _shop(minute: int, *, restarted: int | None) -> Samples:
    uptime = minute if restarted is None or minute < restarted else minute - restarted
    paths = [sample(_path(i), (uptime + 5 * i) // 20 * 10) for i in range(4)]
    sites = {key: value for one in paths for key, value in one.items()}
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
def pipeline() -> Pipeline:
    """Return a pipeline that has seen all that; nobody may change it."""
    rule = IgnoreRule(function="main.hidden*", owner="team-shop", reason="by design", at_most=10_000)
    misspelt = IgnoreRule(function="main.nowhere", reason="a typing mistake")
    settings = DetectionSettings(owners={"main.": "team <shop>"}, ignore=(rule, misspelt))
    found = Pipeline(settings)
    for minute in range(MINUTES):
        at = START + 60.0 * minute
        found.observe(found.add_target(ONE), at, 1000, _shop(minute, restarted=None), Process("s1", "b1"))
        start = "s1" if minute < 100 else "s2"
        found.observe(found.add_target(TWO), at + 1, 900, _shop(minute, restarted=100), Process(start, "b1"))
        odd = {**sample(odd_stack(f"main.{HALF}<b>"), 2 * minute), **sample(odd_stack(LONG), minute // 3)}
        found.observe(found.add_target(ODD), at + 2, minute, {**odd, **sample(stack("hidden"), 5 * minute)})
        if minute >= MINUTES - 20:
            found.observe(found.add_target(NEW), at + 3, 7, sample(stack("idle"), 7))
    return found


def health() -> Mapping[Target, TargetHealth]:
    """Return how the scrapes of each target go."""
    found = {
        target: TargetHealth(up=True, interval=15.0, duration=0.03, body_bytes=2000, time=END - 15, since=START)
        for target in (ONE, TWO, ODD, NEW)
    }
    found[DOWN] = TargetHealth(
        up=False, reason="connection", error=f"no <way> {HALF}", since=END - 60, time=END - 5
    )
    return found


def source(**other: Any) -> AppState:
    """Return what the API may read of that world."""
    known: dict[str, Any] = {"pipeline": pipeline(), "clock": At(), "health": health, "started": START}
    return AppState(**known | other)


class Idle:
    """What the other routes ask of a daemon."""

    def __init__(self, known: AppState) -> None:
        self.pipeline = known.pipeline
        self.leaks = known.leaks
        self.health = lambda: dict(known.health())
        self.time = known.now

    def ready(self) -> str:
        """Return that nothing is waited for."""
        return ""

    async def reload(self) -> None:
        """Do nothing."""


def app(known: AppState | None = None, prefix: str = "", changes: Changes | None = None) -> Starlette:
    """Return the application as the daemon serves it; its events end soon."""
    known = known or source()
    api = LazyApp(lambda: make_api(known, changes or Changes(known, tick=0.01, lasts=0.05)))
    return make_app(Idle(known), CollectorRegistry(), api, later.pages(known), prefix)


def get(path: str, known: AppState | None = None, prefix: str = "", **named: Any) -> httpx.Response:
    """Ask the application once, without a network."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app(known, prefix))
        async with httpx.AsyncClient(transport=transport, base_url="http://leakwatch") as client:
            return await client.request(named.pop("method", "GET"), path, **named)

    return asyncio.run(ask())
