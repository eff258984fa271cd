"""The series of leaks: what Prometheus reads of each, all with the same labels."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from leakwatch.leaks.labels import leak_labels, shown
from leakwatch.leaks.model import Leak
from leakwatch.model import Fingerprint
from leakwatch.profile.wait_times import ages
from leakwatch.settings.units import format_duration

LEAK = ("service", "stack", "function", "wait", "verdict", "owner")


class Family:
    """One metric of leaks; `more`: labels besides those of the leak."""

    def __init__(self, name: str, text: str, *more: str) -> None:
        self.metric = GaugeMetricFamily(f"leakwatch_leak_{name}", text, labels=(*LEAK, *more))

    def add(self, leak: Leak, value: float | None, *more: str) -> None:
        """Add the series of one leak, unless its value is not known."""
        if value is not None:
            said = {**leak_labels(leak), "verdict": leak.verdict.word}
            self.metric.add_metric((*(said[name] for name in LEAK), *more), value)


def leak_metrics(
    leaks: Sequence[Leak], count: Callable[[str, Fingerprint], int], wall: Callable[[float], float]
) -> Iterator[Metric]:
    """Yield all series of `leaks`.

    `count`: asked for the goroutines of a service in one stack; `wall`: turns the daemon's time into the wall
    clock's.
    """
    goroutines = Family("goroutines", "Goroutines in a judged stack, over all targets of the service.")
    growth = Family("growth_goroutines_per_second", "Their growth, over all targets.")
    confidence = Family("confidence_ratio", "How sure we are, from 0 to 1.")
    seen = Family("first_seen_timestamp_seconds", "When the growth began.")
    for leak in leaks:
        goroutines.add(leak, leak.goroutines)
        growth.add(leak, leak.growth.rate)
        confidence.add(leak, leak.confidence)
        seen.add(leak, wall(leak.first_seen))
    yield from (family.metric for family in (goroutines, growth, confidence, seen))
    yield _related(leaks, count)
    yield from _looked_at(leaks)
    yield from _costs(leaks)


def _looked_at(leaks: Sequence[Leak]) -> Iterator[Metric]:
    """Yield what closer looks told; nothing of a leak where they told nothing."""
    proven = Family("proven_goroutines", "Those of which Go's runtime says that nothing can wake them.")
    oldest = Family("oldest_seconds", "How long the oldest has waited, by the latest full dump.")
    median = Family("median_wait_seconds", "How long half of them have waited at least, by the latest full dump.")
    older = Family("older_goroutines", "At least so many are older than this age, as their counts show.", "age")
    for leak in leaks:
        found = leak.findings
        proven.add(leak, found.proven)
        if found.waiting:
            known = ages(found.waiting)
            oldest.add(leak, None if known.oldest is None else 60 * known.oldest)
            median.add(leak, None if known.median is None else 60 * known.median)
        for seconds, goroutines in found.older.items():
            older.add(leak, goroutines, format_duration(seconds))
    yield from (family.metric for family in (proven, oldest, median, older))


def _costs(leaks: Sequence[Leak]) -> Iterator[Metric]:
    """Yield what the leaks take of memory."""
    stacks = Family("bytes", "Memory that their stacks take, at least 2 KiB each.")
    resident = Family("resident_bytes", "The same with the heap that comes with them, where that is known.")
    growth = Family("growth_bytes_per_second", "How fast that grows, with the heap where it is known.")
    until = Family(
        "until_memory_limit_seconds", "Until the first target reaches its memory limit, if it goes on so.", "bound"
    )
    for leak in leaks:
        memory = leak.memory
        if memory is None:
            continue
        stacks.add(leak, memory.stack.value * memory.goroutines)
        resident.add(leak, memory.resident.value * memory.goroutines if memory.resident else None)
        growth.add(leak, memory.per_second.value)
        if memory.limit:
            until.add(leak, memory.limit.soonest, "soonest")
            until.add(leak, memory.limit.latest, "latest")
    yield from (family.metric for family in (stacks, resident, growth, until))


def _related(leaks: Sequence[Leak], count: Callable[[str, Fingerprint], int]) -> Metric:
    related = GaugeMetricFamily(
        "leakwatch_leak_related_goroutines",
        "Goroutines in a stack that grows in step with a leak and belongs to it.",
        labels=("service", "stack", "related", "function", "wait"),
    )
    for leak in leaks:
        for other in leak.related:
            place = (shown(leak.service), leak.stack.fingerprint, other.fingerprint, shown(other.blamed.function))
            related.add_metric((*place, other.wait), count(leak.service, other.fingerprint))
    return related
