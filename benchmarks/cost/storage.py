"""Measures the cost of saving and restoring the state of 1,000 targets with 100 stacks each.

    python benchmarks/cost/storage.py [--targets 1000] [--stacks 100] [--per-service 20]

Plays 36 hours of profiles, in which a tenth of the stacks vary, and then all of them. Prints the CPU of a save of
all targets and of a save after one more block, how long it blocks the event loop, the size on disk, and how long
a start takes with and without the file.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from leakwatch.clock import Clock
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Frame, Process, Sample, Stack, Target
from leakwatch.pipeline import Pipeline
from leakwatch.storage.config import StorageConfig
from leakwatch.storage.database import FILE
from leakwatch.storage.storage import Storage

BLOCK = 300.0
HOURS = 36
DEPTH = 8  # frames of a stack
HEARTBEAT = 0.002


class NoAlerts:
    """Alerts without a state."""

    def to_plain(self) -> dict[str, Any]:
        """Return no state."""
        return {}

    def restore(self, plain: Any) -> None:
        """Restore nothing."""


def stacks(number: int) -> list[Stack]:
    """Return stacks like those of a service: a few packages, eight frames each."""
    made = []
    for i in range(number):
        names = [f"example.com/acme/shop/pkg{i % 7}.(*Type{i}).Method{depth}" for depth in range(DEPTH)]
        frames = tuple(Frame(name, f"/src/shop/pkg{i % 7}/file{i}.go", 10 + i) for name in names)
        key = Fingerprint(f"{i:016x}")
        made.append(
            Stack(fingerprint=key, frames=frames, blamed=frames[2], origin=frames[-1].function, wait="select")
        )
    return made


class World:
    """Targets of which the first `varying` stacks have another count in each profile."""

    def __init__(self, targets: int, number: int, per_service: int, varying: int) -> None:
        self.pipeline = Pipeline(DetectionSettings())
        self._stacks, self._varying = stacks(number), varying
        names = (Target(f"service{i // per_service}", f"10.0.{i // 250}.{i % 250}:6060") for i in range(targets))
        self._states = [self.pipeline.add_target(target) for target in names]
        self._rng = np.random.default_rng(1)
        self._base = self._rng.choice([1, 1, 2, 5, 20, 100], number)
        self._time = time.time() - HOURS * 3600

    def play(self, blocks: int) -> None:
        """Record one profile of each target per block."""
        for _ in range(blocks):
            self._time += BLOCK
            for state in self._states:
                counts = self._base.copy()
                counts[: self._varying] += self._rng.poisson(self._base[: self._varying])
                samples = {s.fingerprint: Sample(s, int(n)) for s, n in zip(self._stacks, counts, strict=True)}
                self.pipeline.observe(state, self._time, int(counts.sum()), samples, Process("run", "build"))


def storage(folder: Path, pipeline: Pipeline) -> Storage:
    """Return a storage of a pipeline."""
    return Storage(StorageConfig(path=folder), pipeline, NoAlerts(), Clock())


async def longest_delay(stop: asyncio.Event) -> float:
    """Return the longest time by which the event loop was late until `stop`, in seconds."""
    longest = 0.0
    while not stop.is_set():
        begin = time.perf_counter()
        await asyncio.sleep(HEARTBEAT)
        longest = max(longest, time.perf_counter() - begin - HEARTBEAT)
    return longest


async def saved(target: Storage) -> tuple[float, float]:
    """Save what has changed; return CPU seconds of all threads, and the longest delay of the event loop."""
    stop = asyncio.Event()
    delays = asyncio.create_task(longest_delay(stop))
    await asyncio.sleep(0.05)
    begin = time.process_time()
    await target.save()
    cpu = time.process_time() - begin
    stop.set()
    return cpu, await delays


async def started(folder: Path) -> float:
    """Return the CPU seconds of a start in a folder."""
    new = storage(folder, Pipeline(DetectionSettings()))
    begin = time.process_time()
    await new.start()
    seconds = time.process_time() - begin
    await new.stop()
    return seconds


async def measure(world: World, folder: Path, share: float, series: int) -> str:
    """Return a row of the table."""
    writing = storage(folder, world.pipeline)
    await writing.start()
    first, _ = await saved(writing)
    world.play(1)
    again, delay = await saved(writing)
    await writing.stop()
    size = (folder / FILE).stat().st_size
    restored, empty = await started(folder), await started(folder / "empty")
    return (
        f"| {share:.0%} | {first:.2f} s | {again:.2f} s | {delay * 1000:.0f} ms"
        f" | {size / 1e6:.1f} MB | {size / series * 1e5 / 1e6:.1f} MB | {restored:.2f} s | {empty:.2f} s |"
    )


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--targets", type=int, default=1000)
    arguments.add_argument("--stacks", type=int, default=100)
    arguments.add_argument("--per-service", type=int, default=20)
    given = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    print("| varying | first save | after a block | loop late | size | per 100,000 series | start | empty |")
    print("|---|---|---|---|---|---|---|---|")
    for share in (0.1, 1.0):
        world = World(given.targets, given.stacks, given.per_service, int(share * given.stacks))
        world.play(round(HOURS * 3600 / BLOCK))
        with tempfile.TemporaryDirectory() as folder:
            row = asyncio.run(measure(world, Path(folder), share, given.targets * given.stacks))
        print(row)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
