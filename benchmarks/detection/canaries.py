"""Measures `leakwatch check --against`: false alarms and leaks found, on pairs of a new process and a baseline.

    python benchmarks/detection/canaries.py [--seed 500] [--checks 200] [--stacks 100] [--jobs 1]

Each pair is a service of 60 stacks in two processes under the same load: a baseline that started a day before, and
a new process of 0.5 to 10 minutes. Both pass through leakwatch's own pipeline. Prints a Markdown table with
columns for checks without and with --against. Seeds 1-99 are for tuning, seeds from 100 on for reporting.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from multiprocessing import Pool
from typing import Final

import numpy as np
from arrivals import filled, long, short
from kinds import Kind, const, sawtooth, warm_up
from play import START, Counted
from scenarios import seeded
from scene import DAY, HOUR, Counts, Floats, Scene, noise

from leakwatch.cli.check.regressions import compare_with
from leakwatch.cli.check.result import choose_plan, split_by_verdict
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Fingerprint, Process, Target
from leakwatch.pipeline import Pipeline

MINUTE: Final = 60.0
SPANS: Final = (2 * MINUTE, 10 * MINUTE)
RATES: Final = (5.0, 10.0, 30.0)  # per minute
SHARES: Final = (1.0, 0.1)
"""The load of the new process, relative to the baseline."""
SCRAPES: Final = 120  # of a check, the fewest
TOGETHER: Final = 10  # further stacks in one pair
YOUNG: Final = (30.0, 600.0)  # seconds of the new process at the first scrape
CANARY, BASELINE = Target("new", "new:6060"), Target("baseline", "old:6060")


@dataclass(frozen=True)
class Side:
    """One process of a pair: its stacks, and its load relative to the baseline."""

    scene: Scene
    share: float

    def of(self, rows: int, *seeds: str | int) -> "Side":
        """Return the same process with other stacks."""
        scene = replace(self.scene, rows=rows, shared=seeded(*seeds, 0), own=seeded(*seeds, 1, self.scene.first))
        return replace(self, scene=scene)


def swing(scene: Scene) -> Floats:
    """Return a load that swings within 20 s to 16 min, with noise."""
    period, phase, depth = scene.spread(20, 960), scene.uniform(0, 2 * np.pi), scene.uniform(0, 0.8)
    return (1 + depth * np.sin(2 * np.pi * scene.times[:, None] / period + phase)) * noise(scene, 0.01, 0.05)


def busy(side: Side) -> Counts:
    """Count short-lived goroutines under load that swings."""
    return short(side.scene, side.share * side.scene.spread(20, 500) * swing(side.scene)).counts


def keep_alive(side: Side) -> Counts:
    """Count idle connections that are closed after 10 s to 10 min."""
    lifetime = side.scene.spread(10, 600)
    return long(
        side.scene, side.share * side.scene.spread(20, 500) / lifetime * swing(side.scene), lifetime
    ).counts


def sessions(side: Side) -> Counts:
    """Count sessions of 0.25 to 6 h, of which a new process has few yet."""
    lifetime = side.scene.spread(0.25 * HOUR, 6 * HOUR)
    return long(
        side.scene, side.share * side.scene.spread(20, 500) / lifetime * swing(side.scene), lifetime
    ).counts


def step_up(side: Side) -> Counts:
    """Count a load that goes up 1.3 to 4 times during the check."""
    begin = side.scene.uniform(0, side.scene.times[-1])
    up = 1 + side.scene.during(begin, side.scene.spread(10, 60)) * (side.scene.uniform(1.3, 4) - 1)
    return short(side.scene, side.share * side.scene.spread(20, 500) * up).counts


def slower(side: Side) -> Counts:
    """Count requests that take up to twice as long in the new build."""
    slowdown = side.scene.uniform(0, 1) * side.scene.first
    return short(side.scene, side.share * side.scene.spread(20, 500) * swing(side.scene) * (1 + slowdown)).counts


def pool(side: Side) -> Counts:
    """Count a pool of 10 to 200 that fills in 1 to 60 min, in a straight line or ever more slowly.

    Its size differs by some per cent between the processes.
    """
    length, bend = side.scene.spread(MINUTE, HOUR), side.scene.uniform(1, 3)
    slots = side.scene.spread(10, 200) * side.scene.own.lognormal(0, 0.05, side.scene.rows)
    return filled(side.scene, slots, lambda u, row: length[row] * (1 - (1 - u) ** (1 / bend[row]))).counts


def new_pool(side: Side) -> Counts:
    """Count a pool that only the new build has."""
    return pool(side) * side.scene.first


def running_max(side: Side) -> Counts:
    """Count a pool that grows to the highest demand so far and does not shrink."""
    demand = side.scene.own.poisson(side.share * side.scene.spread(20, 200) * swing(side.scene))
    if not side.scene.first:
        demand[0] = demand.max()  # a day of such demand has passed
    return np.maximum.accumulate(demand, axis=0).astype(np.int32)


def fixed(kind: Kind) -> Callable[[Side], Counts]:
    """Return a kind that does not depend on the share of the load."""
    return lambda side: kind(side.scene).counts


HEALTHY: Final[Mapping[str, tuple[int, Callable[[Side], Counts]]]] = {
    "const": (40, fixed(const)),
    "busy": (6, busy),
    "keep-alive": (3, keep_alive),
    "sessions": (2, sessions),
    "step up": (1, step_up),
    "slower": (2, slower),
    "warm-up": (2, fixed(warm_up)),
    "pool": (2, pool),
    "running max": (1, running_max),
    "sawtooth": (1, fixed(sawtooth)),
}
"""Number of stacks of each kind in a service."""


def leaks(side: Side, *, rate: float, in_busy: bool) -> Counts:
    """Return the counts of leaks of the new build, `rate` per minute on average, proportional to the load."""
    load = swing(side.scene)
    healthy = short(side.scene, side.share * side.scene.spread(20, 500) * load).counts
    if not in_busy:
        healthy = np.broadcast_to(side.scene.shared.integers(0, 4, side.scene.rows), load.shape)
    if not side.scene.first:
        return healthy
    before = side.scene.own.poisson(rate / MINUTE * float(side.scene.age[0]), side.scene.rows)
    arrivals = side.scene.own.poisson(rate / MINUTE * side.scene.interval * load)
    return np.asarray(healthy + before + np.cumsum(arrivals, axis=0), np.int32)


More = Callable[[Side], Counts]
"""Further stacks of a pair, TOGETHER of them."""


def pair(part: int, seed: int, span: float, share: float, more: More | None) -> Iterator[Counts]:
    """Yield the counts of the new process and of the baseline."""
    times = np.arange(0.0, span + 4 * span / 24, span / SCRAPES)
    age = float(seeded(seed, "age", part).uniform(*YOUNG))
    for first, start, load in ((1, age, share), (0, DAY, 1.0)):
        scene = Scene(times, times + start, 0, seeded(seed, part), seeded(seed, part), first)
        side = Side(scene, load)
        columns = [make(side.of(rows, seed, name, part)) for name, (rows, make) in HEALTHY.items()]
        if more is not None:
            columns.append(more(side.of(TOGETHER, seed, "more", part)))
        yield np.concatenate(columns, axis=1)


def observe(pipeline: Pipeline, target: Target, stacks: list[Counted], counts: Counts, time: float) -> TargetState:
    """Pass the counts of a scrape to the pipeline."""
    pairs = zip(stacks, counts.tolist(), strict=True)
    samples = {stack.stack.fingerprint: stack[count] for stack, count in pairs if count}
    state = pipeline.add_target(target)
    pipeline.observe(state, START + time, int(counts.sum()), samples, Process(target.name, ""))
    return state


@dataclass(frozen=True, slots=True)
class Failing:
    """Stacks that fail a check: by its verdicts alone, and by the comparison with the baseline."""

    alone: frozenset[int]
    against: frozenset[int]


def check(part: int, *, seed: int, span: float, share: float = 1.0, more: More | None = None) -> Failing:
    """Return the stacks of one pair that fail the check."""
    canary, baseline = pair(part, seed, span, share, more)
    interval = span / SCRAPES
    pipeline = Pipeline(DetectionSettings(block=choose_plan(span, interval, None).block))
    stacks = [Counted(number) for number in range(canary.shape[1])]
    rows = {stack.stack.fingerprint: row for row, stack in enumerate(stacks)}
    for i in range(len(canary)):
        old = observe(pipeline, BASELINE, stacks, baseline[i], i * interval)
        new = observe(pipeline, CANARY, stacks, canary[i], i * interval)
    comparison = compare_with(old, [new])
    confirmed, suspected = split_by_verdict([leak for leak in pipeline.open_leaks() if leak.service == "new"])
    failing = [leak for leak in (*confirmed, *suspected) if comparison.fails(leak, strict=False)]
    keys = {leak.stack.fingerprint for leak in failing}
    keys |= {each.comparison.stack.fingerprint for each in comparison.regressions(failing)}
    return Failing(_rows({leak.stack.fingerprint for leak in confirmed}, rows), _rows(keys, rows))


def _rows(keys: set[Fingerprint], rows: Mapping[Fingerprint, int]) -> frozenset[int]:
    return frozenset(rows[key] for key in keys)


def kind_of(row: int) -> str:
    """Return the kind of a stack."""
    for name, (number, _) in HEALTHY.items():
        if row < number:
            return name
        row -= number
    return "more"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checks", type=int, default=200)
    parser.add_argument("--stacks", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    print("| pairs | load of the new process | `--for` | alone | `--against` |\n|---|---|---|---|---|")
    with Pool(options.jobs) as workers:
        for share, span in product(SHARES, SPANS):
            play = partial(check, seed=options.seed, span=span, share=share)
            print_healthy(workers.map(play, range(options.checks), chunksize=4), share, span)
        further: dict[str, More] = {"10 pools that only the new build has": new_pool}
        for in_busy, rate in product((False, True), RATES):
            name = f"{rate:g}/min in {'busy' if in_busy else 'quiet'} stacks"
            further[name] = partial(leaks, rate=rate, in_busy=in_busy)
        for (name, more), share, span in product(further.items(), SHARES, SPANS):
            play = partial(check, seed=options.seed, span=span, share=share, more=more)
            print_more(workers.map(play, range(options.stacks // TOGETHER), chunksize=1), name, share, span)


def print_healthy(results: list[Failing], share: float, span: float) -> None:
    """Print the number of healthy pairs that fail, and their stacks."""
    cells = []
    for sets in ([each.alone for each in results], [each.against for each in results]):
        kinds = sorted({kind_of(row) for rows in sets for row in rows})
        named = f" ({', '.join(kinds)})" if kinds else ""
        cells.append(f"{sum(map(bool, sets))} of {len(sets)}{named}")
    print(f"| healthy | {share:.0%} | {span / MINUTE:g}m | {' | '.join(cells)} |", flush=True)


def print_more(results: list[Failing], name: str, share: float, span: float) -> None:
    """Print the share of the further stacks that fail the check."""
    number = len(results) * TOGETHER
    failing = [
        sum(kind_of(row) == "more" for rows in sets for row in rows) / number
        for sets in ([each.alone for each in results], [each.against for each in results])
    ]
    print(f"| {name} | {share:.0%} | {span / MINUTE:g}m | {failing[0]:.0%} | {failing[1]:.0%} |", flush=True)


if __name__ == "__main__":
    main()
