"""Made-up stacks and samples, and a loop that plays counts through the pipeline in virtual time."""

from collections.abc import Callable, Mapping
from functools import cache

from leakwatch.leaks.model import Event
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Frame, Sample, Samples, Stack, Target
from leakwatch.pipeline import Pipeline
from leakwatch.profile.fingerprint import fingerprint_of

START = 1_700_000_000.0
INTERVAL = 15.0
HOUR = 3600.0
TARGET = Target("shop", "10.0.0.1:6060")


@cache
def stack(name: str, origin: str = "main.main") -> Stack:
    """Return a stack of `name` called by `origin`."""
    frames = (Frame(f"main.{name}", f"/src/{name}.go", 7), Frame(origin, "/src/main.go", 3))
    return Stack(
        fingerprint=fingerprint_of([frame.function for frame in frames]),
        frames=frames,
        blamed=frames[0],
        origin=origin,
        wait="",
    )


def samples(counts: Mapping[str, int], origin: str | None = None) -> Samples:
    """Return samples of stacks by name; each is its own origin unless one is given."""
    stacks = [stack(name, origin or f"main.go{name}") for name in counts]
    return {s.fingerprint: Sample(s, n) for s, n in zip(stacks, counts.values(), strict=True) if n}


Load = Callable[[float], Mapping[str, int] | None]
"""Seconds since the start -> count by stack name, None for a missed scrape."""


def play(
    load: Load, hours: float, pipeline: Pipeline | None = None, origin: str | None = None
) -> tuple[Pipeline, list[Event]]:
    """Scrape `load` for `hours`; return the pipeline and all events, times in seconds since the start."""
    pipeline = pipeline or Pipeline(DetectionSettings())
    events: list[Event] = []
    for i in range(int(hours * HOUR / INTERVAL)):
        at = i * INTERVAL
        counts = load(at)
        if counts is not None:
            events += pipeline.observe(
                pipeline.add_target(TARGET), START + at, sum(counts.values()), samples(counts, origin)
            )
    return pipeline, events


def verdicts(events: list[Event], name: str) -> list[tuple[str, float]]:
    """Return the verdicts of one stack in turn, each with the hours since the start."""
    return [
        (event.leak.verdict.word, (event.time - START) / HOUR)
        for event in events
        if event.leak.stack.frames[0].function == f"main.{name}"
    ]
