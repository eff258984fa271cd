"""Metrics of leaks. All series of one leak have the same labels."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import nlargest
from operator import itemgetter
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric

from leakwatch.leaks.labels import leak_labels, shown
from leakwatch.leaks.model import Leak
from leakwatch.leaks.past import past_of_service
from leakwatch.leaks.service_state import ServiceState
from leakwatch.leaks.wording import caller_sentence
from leakwatch.model import Fingerprint, Stack
from leakwatch.profile.wait_times import ages
from leakwatch.settings.units import format_duration

LEAK = ("service", "stack", "function", "wait", "verdict", "owner")
RELATED = ("service", "stack", "related", "function", "wait")

SPANS: Final = ("brief", "lasting")
"""Values of the label span, in the order of the known drops."""
LIFETIMES: Final = ("1", "2", "3")
"""Values of the label lifetime, the latest first."""

LabelValues = tuple[str, ...]
"""The values of the labels of LEAK, in that order."""
Labelled = Sequence[tuple[Leak, LabelValues]]
"""Leaks with their label values, which are built once for all metrics."""


class LeakFamily:
    """One metric of leaks; `more`: names of additional labels."""

    def __init__(self, name: str, text: str, *more: str) -> None:
        self.metric = GaugeMetricFamily(f"leakwatch_leak_{name}", text, labels=(*LEAK, *more))

    def add(self, labels: LabelValues, value: float | None, *more: str) -> None:
        """Add the series of one leak, unless its value is unknown; `more`: values of the additional labels."""
        if value is not None:
            self.metric.add_metric((*labels, *more), value)


def leak_metrics(leaks: Sequence[Leak], wall: Callable[[float], float]) -> Iterator[Metric]:
    """Yield all metrics of `leaks`; `wall`: converts the daemon's time to the wall clock's."""
    goroutines = LeakFamily("goroutines", "Goroutines of the leak, over all targets of the service.")
    growth = LeakFamily("growth_goroutines_per_second", "Growth of the leak, over all targets of the service.")
    confidence = LeakFamily("confidence_ratio", "Confidence that it is a leak, from 0 to 1; not a probability.")
    seen = LeakFamily("first_seen_timestamp_seconds", "Time at which the growth began.")
    detected = LeakFamily("detected_timestamp_seconds", "Time at which the leak was found; absent before.")
    labelled = [(leak, _label_values(leak)) for leak in leaks]
    for leak, labels in labelled:
        goroutines.add(labels, leak.goroutines)
        growth.add(labels, leak.growth.rate)
        confidence.add(labels, leak.confidence)
        seen.add(labels, wall(leak.first_seen))
        detected.add(labels, None if leak.detected_at is None else wall(leak.detected_at))
    yield from (family.metric for family in (goroutines, growth, confidence, seen, detected))
    yield from _related(leaks)
    yield _causes(leaks)
    yield _callers(leaks)
    yield from _findings(labelled)
    yield from _costs(labelled)


def _label_values(leak: Leak) -> LabelValues:
    labels = {**leak_labels(leak), "verdict": leak.verdict.word}
    return tuple(labels[name] for name in LEAK)


def _findings(leaks: Labelled) -> Iterator[Metric]:
    """Yield the results of probes, without the leaks that have none."""
    proven = LeakFamily(
        "proven_goroutines", "Goroutines of the leak of which Go's runtime reports that nothing can wake them."
    )
    oldest = LeakFamily("oldest_seconds", "Wait time of the oldest goroutine, by the latest full dump.")
    median = LeakFamily("median_wait_seconds", "Median wait time of the goroutines, by the latest full dump.")
    older = LeakFamily("older_goroutines", "Goroutines that are at least this old, as their counts prove.", "age")
    for leak, labels in leaks:
        findings = leak.findings
        proven.add(labels, findings.proven)
        if findings.waiting:
            minutes = ages(findings.waiting)
            oldest.add(labels, None if minutes.oldest is None else 60 * minutes.oldest)
            median.add(labels, None if minutes.median is None else 60 * minutes.median)
        for seconds, goroutines in findings.older.items():
            older.add(labels, goroutines, format_duration(seconds))
    yield from (family.metric for family in (proven, oldest, median, older))


def _costs(leaks: Labelled) -> Iterator[Metric]:
    """Yield the memory cost of the leaks."""
    stacks = LeakFamily("bytes", "Memory of the stacks of the leak, at least 2 KiB per goroutine.")
    resident = LeakFamily("resident_bytes", "Memory of the stacks and the heap of the leak, if the heap is known.")
    growth = LeakFamily(
        "growth_bytes_per_second", "Growth of the memory of the leak, with its heap if it is known."
    )
    until = LeakFamily(
        "until_memory_limit_seconds",
        "Time until the first target reaches its memory limit at the current growth.",
        "bound",
    )
    for leak, labels in leaks:
        memory = leak.memory
        if memory is None:
            continue
        stacks.add(labels, memory.stack.value * memory.goroutines)
        resident.add(labels, memory.resident.value * memory.goroutines if memory.resident else None)
        growth.add(labels, memory.per_second.value)
        if memory.limit:
            until.add(labels, memory.limit.soonest, "soonest")
            until.add(labels, memory.limit.latest, "latest")
    yield from (family.metric for family in (stacks, resident, growth, until))


def _related(leaks: Sequence[Leak]) -> Iterator[Metric]:
    related = GaugeMetricFamily(
        "leakwatch_leak_related_goroutines",
        "Goroutines of a stack that grows in step with a leak, and so belongs to it.",
        labels=RELATED,
    )
    growth = GaugeMetricFamily(
        "leakwatch_leak_related_growth_goroutines_per_second",
        "Growth of such a stack, while it last grew.",
        labels=RELATED,
    )
    for leak in leaks:
        for other in leak.related:
            stack = other.stack
            place = (shown(leak.service), leak.stack.fingerprint, stack.fingerprint, shown(stack.blamed.function))
            related.add_metric((*place, stack.wait), other.goroutines)
            growth.add_metric((*place, stack.wait), other.grew.rate)
    yield from (related, growth)


def _causes(leaks: Sequence[Leak]) -> Metric:
    causes = GaugeMetricFamily(
        "leakwatch_leak_cause_info",
        "Likely cause of a leak, with what fixes it. The value is 1.",
        labels=("service", "stack", "cause", "title", "fix", "code"),
    )
    for leak in leaks:
        if cause := leak.cause:
            what = (cause.id, cause.title, cause.fix, cause.code)
            causes.add_metric((shown(leak.service), leak.stack.fingerprint, *what), 1)
    return causes


def _callers(leaks: Sequence[Leak]) -> Metric:
    callers = GaugeMetricFamily(
        "leakwatch_leak_caller_info",
        "Own code that opens a leak without own code, as a sentence. The value is 1.",
        labels=("service", "stack", "caller"),
    )
    for leak in leaks:
        if caller := caller_sentence(leak):
            callers.add_metric((shown(leak.service), leak.stack.fingerprint, caller), 1)
    return callers


def past_metrics(
    services: Iterable[ServiceState], stacks: dict[Fingerprint, Stack], most: int
) -> Iterator[Metric]:
    """Yield what later processes continue with: of each service, the `most` series with the largest values.

    Their stacks are added to `stacks`.
    """
    drop = GaugeMetricFamily(
        "leakwatch_stack_known_drop_goroutines",
        "Largest fall of the goroutines of a stack, halved every three days, which growth must exceed. "
        "span=brief: from any level, lasting: from levels held for hours. Maximum over all targets.",
        labels=("service", "stack", "span"),
    )
    ceiling = GaugeMetricFamily(
        "leakwatch_stack_ceiling_goroutines",
        "Goroutines at which a stack stopped growing in an earlier lifetime of its process. "
        "lifetime=1: the latest that has ended. Maximum over all targets.",
        labels=("service", "stack", "lifetime"),
    )
    for service in services:
        pasts = past_of_service(service)
        series = [
            (value, family, key, label)
            for key, (_, past) in pasts.items()
            for family, labels, values in ((drop, SPANS, past.known_drop), (ceiling, LIFETIMES, past.ceilings))
            for label, value in zip(labels, values, strict=True)
            if value
        ]
        for value, family, key, label in nlargest(most, series, key=itemgetter(0)):
            family.add_metric((shown(service.name), key, label), value)
            stacks.setdefault(key, pasts[key][0])
    yield from (drop, ceiling)
