"""What leaks cost, as Prometheus reads it."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from leakwatch.model import Memory

Labelled = Sequence[tuple[Sequence[str], Memory]]


def families(names: Sequence[str], leaks: Labelled) -> Iterator[Metric]:
    """Yield all series; `names`: of the labels of each leak."""
    held = GaugeMetricFamily(
        "leakwatch_leak_bytes",
        "Memory that the stacks of a leak's goroutines take, at least 2 KiB each.",
        labels=names,
    )
    resident = GaugeMetricFamily(
        "leakwatch_leak_resident_bytes", "The same with the heap that comes with them, where known.", labels=names
    )
    growth = GaugeMetricFamily(
        "leakwatch_leak_growth_bytes_per_second", "How fast that grows, with heap where known.", labels=names
    )
    until = GaugeMetricFamily(
        "leakwatch_leak_until_memory_limit_seconds",
        "Time until the first target reaches its memory limit if the leak goes on so.",
        labels=(*names, "bound"),
    )
    for labels, memory in leaks:
        held.add_metric(labels, memory.stack.value * memory.goroutines)
        growth.add_metric(labels, memory.per_second.value)
        if memory.resident:
            resident.add_metric(labels, memory.resident.value * memory.goroutines)
        if memory.limit:
            for bound, seconds in (("soonest", memory.limit.soonest), ("latest", memory.limit.latest)):
                if seconds is not None:
                    until.add_metric((*labels, bound), seconds)
    yield from (held, resident, growth, until)
