"""Large fleets: one service is observed in virtual time, the others are copies of it."""

import pickle
import random
from collections.abc import Mapping

from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Sample, Stack, Target, TargetHealth
from leakwatch.pipeline import Pipeline
from leakwatch.web.api.state import AppState
from tests.support.api_world import StoppedClock, app_state
from tests.support.simulated import HOUR, START, stack

PLAYED = "service-0000"
INTERVAL = 60.0
HOURS = 3.0


def fleet(
    services: int, targets: int, leaks: int, stacks: int = 5, health: Mapping[int, TargetHealth] | None = None
) -> AppState:
    """Return the state of `services` with `targets` each; `leaks` stacks of each service leak on all targets.

    `stacks`: stacks that do not leak; `health`: health of the targets with these numbers; all others are up.
    """
    played = pickle.dumps(_play(targets, leaks, stacks))
    pipeline = Pipeline(DetectionSettings(owners={"main.": "team-shop"}))
    for number in range(services):
        name = f"service-{number:04}"
        copy: Pipeline = pickle.loads(played.replace(PLAYED.encode(), name.encode()))  # noqa: S301  made two lines above
        for target in copy.targets:
            pipeline.add_target(target)
        pipeline.adopt(name, copy)
    health_of = {
        target: (health or {}).get(
            number, TargetHealth(up=True, since=START, time=START + HOURS * HOUR, interval=15.0)
        )
        for number, target in enumerate(pipeline.targets)
    }
    end = START + HOURS * HOUR
    return app_state(pipeline=pipeline, clock=StoppedClock(end), health=lambda: health_of)


def _play(targets: int, leaks: int, stacks: int) -> Pipeline:
    pipeline = Pipeline(DetectionSettings(owners={"main.": "team-shop"}))
    steady = [stack(f"steady{i}", f"main.start{i}") for i in range(stacks)]
    leaking = [stack(f"leak{i}", f"main.begin{i}") for i in range(leaks)]
    all_targets = [Target(PLAYED, f"10.0.{i // 250}.{i % 250}:6060", {"service": PLAYED}) for i in range(targets)]
    sizes, dice = dict.fromkeys(leaking, 1.0), random.Random(7)  # noqa: S311  the same numbers each time, not a secret
    for step in range(int(HOURS * HOUR / INTERVAL)):
        time = START + step * INTERVAL
        counts: dict[Stack, int] = dict.fromkeys(steady, 10)
        for stack_ in leaking:  # at random, because stacks that grow in step are one leak
            sizes[stack_] += dice.random() * 4
        counts |= {stack_: int(size) for stack_, size in sizes.items()}
        samples = {stack_.fingerprint: Sample(stack_, count) for stack_, count in counts.items()}
        for target in all_targets:
            pipeline.observe(pipeline.add_target(target), time, sum(counts.values()), samples)
    return pipeline
