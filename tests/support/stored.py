"""Databases with the state of made-up services."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from leakwatch.clock import ClockReading
from leakwatch.leaks.service_state import ServicePlain
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Target
from leakwatch.pipeline import Pipeline
from leakwatch.storage.database import Database
from leakwatch.storage.rows import CLOCK, Batch, ServiceRow, TargetRow
from tests.support.simulated import HOUR, START, samples

HOURS = 3
INTERVAL = 60.0
END = START + HOURS * HOUR
"""When the states are saved: after the last profile."""


@cache
def leaking_service(name: str) -> ServicePlain:
    """Return the state of a service in which main.leak gains a goroutine per scrape, on two targets."""
    pipeline = Pipeline(DetectionSettings())
    for number in range(int(HOURS * HOUR / INTERVAL)):
        counts = {"leak": number, "steady": 10}
        for target in (Target(name, "10.0.0.1:6060"), Target(name, "10.0.0.2:6060")):
            state = pipeline.add_target(target)
            pipeline.observe(state, START + number * INTERVAL, sum(counts.values()), samples(counts))
    (plain,) = pipeline.to_plain(0.0)
    return plain


def row(name: str, plain: ServicePlain) -> ServiceRow:
    """Return the row of a service."""
    targets = [
        TargetRow(name=f"10.0.0.{number}:6060", document=document, series=2, leaks=1)
        for number, document in enumerate(plain.targets, 1)
    ]
    names = [target.name for target in targets]
    return ServiceRow(
        name=name, shared=plain.shared, document=plain.service, leaks=1, targets=targets, names=names
    )


def store(
    folder: Path,
    services: Sequence[str] | Mapping[str, ServicePlain],
    time: float = END,
    values: Mapping[str, Any] | None = None,
) -> Path:
    """Save services in `folder` at `time`; return the path of the database.

    `services`: name -> state, or names of leaking services; `values`: by default a clock.
    """
    states = services if isinstance(services, Mapping) else {name: leaking_service(name) for name in services}
    clock = asdict(ClockReading(time=time, boot="", uptime=0.0))
    batch = Batch(
        time=time,
        services=[row(name, state) for name, state in states.items()],
        removed=(),
        values={CLOCK: clock} if values is None else values,
    )
    with closing(Database.open(folder, time)) as database:
        database.write(batch)
        return database.path
