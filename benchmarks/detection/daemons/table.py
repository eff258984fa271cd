"""Print the growing stacks of a run of watch.py with the share of their silent goroutines, and all verdicts.

A stack is growing if it gained 8 goroutines within 10 minutes. Its goroutines are counted over all pairs of
dumps that are 5 minutes apart. A goroutine of the first dump is *ended* if its ID is missing in the second. It is
*silent* if all dumps from the first to the second have it in the same stack, with a wait time that never falls
and is at last 3 minutes or more (the runtime measures it up to two minutes late). All others *woke up*.
"""

import argparse
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from leakwatch.detect.dump_history import AGES
from leakwatch.detect.stuck import SPANS
from leakwatch.profile import dump
from leakwatch.profile.goroutine import Goroutine
from leakwatch.profile.stacks import Identifier

MIN_GROWTH, WITHIN = 8, 600.0
"""Goroutines and seconds that make a stack growing."""

APART, TOLERANCE = 300.0, 20.0
"""Seconds between the two dumps of a pair."""

LATE = 2
"""Minutes by which the runtime measures wait times too late at most."""

COLUMNS = (
    "process", "blamed function", "waits for", "grew", "lost per minute", "silent", "ended", "woke up", "n",
    "stuck / x",
)  # fmt: skip

Key = tuple[str, str]
"""Blamed function and wait reason."""

Stacks = dict[Key, dict[int, Goroutine]]
"""Goroutines by ID, by stack."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The goroutines of one dump; `time` in seconds."""

    time: float
    stacks: Stacks


@dataclass(frozen=True, slots=True)
class Growth:
    """The largest growth of a stack within WITHIN seconds, between two dumps of a process, by their indices."""

    key: Key
    first: int
    last: int
    begin: int
    end: int


@dataclass(slots=True)
class Fates:
    """The goroutines of a stack in first dumps of pairs, by what became of them."""

    counts: Counter[str] = field(default_factory=Counter)

    def share(self, fate: str) -> str:
        """Return the share of a fate as a percentage, "-" without goroutines."""
        return f"{self.counts[fate] / self.counts.total():.0%}" if self.counts else "-"


def read_dump(path: Path, identifier: Identifier) -> Taken:
    """Read one dump."""
    stacks: Stacks = defaultdict(dict)
    for goroutine in dump.parse(gzip.decompress(path.read_bytes())).goroutines:
        if goroutine.trace.frames:
            stack = identifier.stack(goroutine.trace)
            stacks[stack.blamed.function, stack.wait][goroutine.number] = goroutine
    return Taken(float(path.name.partition(".")[0]), stacks)


def growths(dumps: Sequence[Taken]) -> Iterator[Growth]:
    """Yield the largest growth of each growing stack."""
    for key in sorted({key for each in dumps for key in each.stacks}):
        counts = [len(each.stacks.get(key, ())) for each in dumps]
        pairs = [
            (counts[j] - counts[i], i, j)
            for i in range(len(dumps))
            for j in range(i + 1, len(dumps))
            if dumps[j].time - dumps[i].time <= WITHIN + TOLERANCE
        ]
        growth, i, j = max(pairs, default=(0, 0, 0))
        if growth >= MIN_GROWTH:
            yield Growth(key, i, j, counts[i], counts[j])


def lost_per_minute(dumps: Sequence[Taken], growth: Growth) -> float:
    """Return how many IDs a stack lost per minute while it grew; goroutines between two dumps are not seen."""
    inside = dumps[growth.first : growth.last + 1]
    lost = sum(
        len(before.stacks.get(growth.key, {}).keys() - after.stacks.get(growth.key, {}).keys())
        for before, after in pairwise(inside)
    )
    return lost / ((inside[-1].time - inside[0].time) / 60)


def fates(dumps: Sequence[Taken], key: Key) -> Fates:
    """Count what became of the goroutines of a stack within APART seconds."""
    result = Fates()
    for i, first in enumerate(dumps):
        ends = [j for j, each in enumerate(dumps) if abs(each.time - first.time - APART) <= TOLERANCE]
        if not ends:
            continue
        later = dumps[i : ends[0] + 1]
        alive = {number for members in later[-1].stacks.values() for number in members}
        for number in first.stacks.get(key, {}):
            if number not in alive:
                result.counts["ended"] += 1
            else:
                result.counts["silent" if is_silent(later, key, number) else "woke up"] += 1
    return result


def is_silent(dumps: Sequence[Taken], key: Key, number: int) -> bool:
    """Return whether a goroutine has waited in one stack since the first of the dumps."""
    members = [each.stacks.get(key, {}).get(number) for each in dumps]
    if None in members:
        return False
    waits = [each.minutes or 0 for each in members if each]
    is_steady = all(before <= after for before, after in pairwise(waits))
    return is_steady and waits[-1] >= APART / 60 - LATE


def stuck_growth(dumps: Sequence[Taken], key: Key) -> float:
    """Return the largest growth of stuck goroutines in terms of what the window W requires of an old process."""
    best = 0.0
    for each in dumps:
        minutes = [goroutine.minutes or 0 for goroutine in each.stacks.get(key, {}).values()]
        for span in SPANS:
            age = AGES[span.age]
            came = sum(age <= wait < age + span.minutes for wait in minutes)
            best = max(best, came / span.min_growth)
    return best


def rows(folder: Path) -> Iterator[str]:
    """Yield the rows of the table of growing stacks."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---" * len(COLUMNS) + "|"
    for home in sorted((folder / "dumps").iterdir()):
        identifier = Identifier()
        dumps = [read_dump(path, identifier) for path in sorted(home.iterdir())]
        for growth in growths(dumps):
            yield f"| {home.name} | {' | '.join(cells(dumps, growth))} |"


def cells(dumps: Sequence[Taken], growth: Growth) -> Iterator[str]:
    """Yield the cells of a row after the first."""
    function, wait = growth.key
    yield f"`{function.removeprefix('github.com/')}`"
    yield wait
    minutes = (dumps[growth.last].time - dumps[growth.first].time) / 60
    yield f"{growth.begin} to {growth.end} in {minutes:.0f} min"
    yield f"{lost_per_minute(dumps, growth):.1f}"
    fate = fates(dumps, growth.key)
    yield from (fate.share(name) for name in ("silent", "ended", "woke up"))
    yield str(fate.counts.total())
    yield f"{stuck_growth(dumps, growth.key):.2f}"


def verdicts(log: Path) -> Iterator[str]:
    """Yield the verdicts that a leakwatch logged."""
    for line in log.read_text().splitlines():
        event = json.loads(line)
        if "verdict" in event:
            yield " | ".join(
                str(event[name]) for name in ("timestamp", "service", "verdict", "function", "reason")
            )


def main() -> None:
    """Print the table and the verdicts of both leakwatches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder that watch.py filled")
    folder = parser.parse_args().folder
    print(*rows(folder), sep="\n")
    for log in sorted((folder / "logs").glob("leakwatch-*.log")):
        print(f"\n{log.stem}:", *verdicts(log), sep="\n")


if __name__ == "__main__":
    main()
