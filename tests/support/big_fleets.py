"""Fleets that were never scraped: one service plays in virtual time, the others are its copies."""

import pickle
import random
from collections.abc import Mapping

from leakwatch.clock import Clock
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Sample, Stack, Target, TargetHealth
from leakwatch.pipeline import Pipeline
from leakwatch.web.api.state import AppState
from tests.support.simulated import HOUR, START, stack

PLAYED = "service-0000"
INTERVAL = 60.0
HOURS = 3.0


class Stopped(Clock):
    """A clock that stands at the end of what was played, and never was set."""

    def time(self) -> float:
        """Return the time, in unix seconds."""
        return START + HOURS * HOUR

    def wall(self, moment: float) -> float:
        """Return `moment`."""
        return moment


def fleet(
    services: int, targets: int, leaks: int, stacks: int = 5, health: Mapping[int, TargetHealth] | None = None
) -> AppState:
    """Return `services` of `targets` each, where `leaks` stacks of each service leak, each on all targets.

    Beside them are `stacks` that do not. `health`: of the targets with these numbers; all others are up.
    """
    played = pickle.dumps(_play(targets, leaks, stacks))
    pipeline = Pipeline(DetectionSettings(owners={"main.": "team-shop"}))
    for number in range(services):
        name = f"service-{number:04}"
        copy: Pipeline = pickle.loads(played.replace(PLAYED.encode(), name.encode()))  # noqa: S301  made two lines above
        for target in copy.targets:
            pipeline.add_target(target)
        pipeline.adopt(name, copy)
    said = {
        target: (health or {}).get(
            number, TargetHealth(up=True, since=START, time=START + HOURS * HOUR, interval=15.0)
        )
        for number, target in enumerate(pipeline.targets)
    }
    return AppState(pipeline=pipeline, clock=Stopped(), health=lambda: said, started=START)


def _play(targets: int, leaks: int, stacks: int) -> Pipeline:
    pipeline = Pipeline(DetectionSettings(owners={"main.": "team-shop"}))
    steady = [stack(f"steady{i}", f"main.start{i}") for i in range(stacks)]
    leaking = [stack(f"leak{i}", f"main.begin{i}") for i in range(leaks)]
    found = [Target(PLAYED, f"10.0.{i // 250}.{i % 250}:6060", {"service": PLAYED}) for i in range(targets)]
    sizes, dice = dict.fromkeys(leaking, 1.0), random.Random(7)  # noqa: S311  the same each time, and no secret
    for step in range(int(HOURS * HOUR / INTERVAL)):
        at = step * INTERVAL
        counts: dict[Stack, int] = dict.fromkeys(steady, 10)
        for one in leaking:  # by chance, for what grows in step is told as one leak
            sizes[one] += dice.random() * 4
        counts |= {one: int(size) for one, size in sizes.items()}
        samples = {one.fingerprint: Sample(one, count) for one, count in counts.items()}
        for target in found:
            pipeline.observe(pipeline.add_target(target), START + at, sum(counts.values()), samples)
    return pipeline
