"""Whether a soak run shows a leak or a lost scrape. Pure."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median

from tests.soak.samples import Sample

MAX_GROWTH = 0.03
"""Largest growth of a median from the first half to the second."""
NOISE = 2
"""File descriptors and tasks that come and go."""
FILLED = 0.35
"""Share of the run after which the histories are full: 34 hours at 50 times the rate are 41 of 120 minutes."""


def halves(samples: Sequence[Sample]) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """Return the samples of the first half of the run with full histories, and those of the second half."""
    end = samples[-1].time
    first = [sample for sample in samples if FILLED * end <= sample.time <= end / 2]
    return first, [sample for sample in samples if sample.time > end / 2]


def medians(samples: Sequence[Sample], value: Callable[[Sample], float]) -> tuple[float, float]:
    """Return the medians of a value in both halves."""
    first, second = (median(map(value, half)) for half in halves(samples))
    return first, second


def problems(samples: Sequence[Sample]) -> list[str]:
    """Return a sentence for each limit that the run exceeds."""
    found = []
    for name, value, noise in (
        ("resident memory", lambda sample: sample.resident / 2**20, 0.0),
        ("file descriptors", lambda sample: sample.files, NOISE),
        ("tasks", lambda sample: sample.tasks, NOISE),
    ):
        first, second = medians(samples, value)
        if second > first * (1 + MAX_GROWTH) + noise:
            found.append(f"{name}: the median grew from {first:g} in the first half to {second:g} in the second")
    if samples[-1].failures:
        found.append(f"{samples[-1].failures} scrapes of healthy targets failed")
    return found


def summary(samples: Sequence[Sample]) -> str:
    """Return the figures of a run."""
    last, health = samples[-1], sorted(sample.health for sample in samples)
    rows = [
        ("minutes", f"{last.time / 60:.0f}"),
        ("scrapes of healthy targets", f"{last.scrapes:,}, of which {last.failures} failed"),
        ("scrapes of other targets", f"{last.other_scrapes:,}"),
        ("restarts, reloads", f"{last.restarts}, {last.reloads}"),
        ("RSS", "{:.0f} MiB in the first half, {:.0f} MiB in the second".format(*medians(samples, _mebibytes))),
        ("file descriptors", "{:.0f}, {:.0f}".format(*medians(samples, lambda sample: sample.files))),
        ("tasks", "{:.0f}, {:.0f}".format(*medians(samples, lambda sample: sample.tasks))),
        ("share of a core", f"{last.cpu / last.time:.0%}"),
        ("lag of the event loop", f"{last.lag / last.time:.1%} of the time"),
        ("/-/healthy", f"median {1000 * median(health):.0f} ms, p99 {1000 * _p99(health):.0f} ms"),
    ]
    return "\n".join(f"{name + ':':28}{value}" for name, value in rows)


def rates(samples: Sequence[Sample], value: Callable[[Sample], float]) -> list[float]:
    """Return the increase of a counter per second before each sample but the first."""
    return [(value(new) - value(old)) / (new.time - old.time) for old, new in pairwise(samples)]


def _mebibytes(sample: Sample) -> float:
    return sample.resident / 2**20


def _p99(ordered: Sequence[float]) -> float:
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
