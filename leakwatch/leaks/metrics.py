"""Metrics of leaks. All series of one leak have the same labels, which stay the same when its verdict changes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import nlargest
from operator import itemgetter
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric

from leakwatch.leaks.labels import leak_labels, shown
from leakwatch.leaks.model import Leak
from leakwatch.leaks.past import past_of_service
from leakwatch.leaks.service_state import ServiceState
from leakwatch.leaks.wording import caller_sentence
from leakwatch.model import Fingerprint, Stack, Verdict
from leakwatch.profile.wait_times import ages
from leakwatch.settings.units import format_duration

RELATED = ("service", "stack", "related", "function", "wait")

SPANS: Final = ("brief", "lasting")
"""Values of the label span, in the order of the known drops."""
VERDICTS: Final = [verdict for verdict in Verdict if verdict is not Verdict.NORMAL]
LIFETIMES: Final = ("1", "2", "3")
"""Values of the label lifetime, the latest first."""

Labels = Mapping[str, str]
Labelled = Sequence[tuple[Leak, Labels]]
"""Leaks with their labels, which are built once for all metrics."""


class LeakFamily:
    """One metric of leaks."""

    def __init__(self, name: str, text: str) -> None:
        self.metric = GaugeMetricFamily(f"leakwatch_leak_{name}", text)

    def add(self, labels: Labels, value: float | None, **more: str) -> None:
        """Add the series of one leak, unless its value is unknown; `more`: additional labels."""
        if value is not None:
            self.metric.add_sample(self.metric.name, {**labels, **more}, value)


def leak_metrics(
    leaks: Sequence[Leak], wall: Callable[[float], float], *, verdict_label: bool = False
) -> Iterator[Metric]:
    """Yield all metrics of `leaks`; `wall`: converts the daemon's time to the wall clock's.

    `verdict_label`: whether all metrics have the label verdict, as in earlier versions.
    """
    labelled = [(leak, leak_labels(leak)) for leak in leaks]
    yield _verdicts(labelled)
    if verdict_label:
        labelled = [(leak, {**labels, "verdict": leak.verdict.word}) for leak, labels in labelled]
    yield from _judgements(labelled, wall)
    yield from _related(leaks)
    yield _causes(leaks)
    yield _callers(leaks)
    yield from _findings(labelled)
    yield from _costs(labelled)


def _judgements(leaks: Labelled, wall: Callable[[float], float]) -> Iterator[Metric]:
    """Yield the numbers of the judgements; `wall`: as in `leak_metrics`."""
    goroutines = LeakFamily(
        "goroutines", "Goroutines in a leaking or suspected stack, summed over all targets of the service."
    )
    growth = LeakFamily(
        "growth_goroutines_per_second",
        "Growth of a leaking or suspected stack in goroutines per second, summed over all targets of the service.",
    )
    confidence = LeakFamily(
        "confidence_ratio",
        "Confidence of the verdict on a leak, from 0 to 1; it orders leaks and is not a probability.",
    )
    seen = LeakFamily("first_seen_timestamp_seconds", "Unix time at which the growth of a leak began.")
    detected = LeakFamily(
        "detected_timestamp_seconds",
        "Unix time at which a stack was first judged as leaking; absent while it is only suspected.",
    )
    page = LeakFamily(
        "page", "Severity of a leak: 1 for page, 0 for ticket; absent if the stack was never leaking."
    )
    for leak, labels in leaks:
        goroutines.add(labels, leak.goroutines)
        growth.add(labels, leak.growth.rate)
        confidence.add(labels, leak.confidence)
        seen.add(labels, wall(leak.first_seen))
        detected.add(labels, None if leak.detected_at is None else wall(leak.detected_at))
        page.add(labels, float(leak.severity == "page") if leak.severity else None)
    yield from (family.metric for family in (goroutines, growth, confidence, seen, detected, page))


def _verdicts(leaks: Labelled) -> Metric:
    """Return the verdicts as a state set: a changed verdict ends no series."""
    verdicts = LeakFamily(
        "verdict", "Verdict of a leak: 1 for the current value of the label verdict, 0 for the others."
    )
    for leak, labels in leaks:
        for verdict in VERDICTS:
            verdicts.add(labels, float(leak.verdict is verdict), verdict=verdict.word)
    return verdicts.metric


def _findings(leaks: Labelled) -> Iterator[Metric]:
    """Yield the results of probes, without the leaks that have none."""
    proven = LeakFamily(
        "proven_goroutines",
        "Goroutines of a leak of which Go's runtime reports that nothing can wake them; absent if not probed.",
    )
    oldest = LeakFamily(
        "oldest_seconds", "Wait time of the oldest goroutine of a leak in the latest full dump, in seconds."
    )
    median = LeakFamily(
        "median_wait_seconds", "Median wait time of the goroutines of a leak in the latest full dump, in seconds."
    )
    older = LeakFamily(
        "older_goroutines",
        "Lower bound of the number of goroutines of a leak that are older than the label age, by their counts.",
    )
    for leak, labels in leaks:
        findings = leak.findings
        proven.add(labels, findings.proven)
        if findings.waiting:
            minutes = ages(findings.waiting)
            oldest.add(labels, None if minutes.oldest is None else 60 * minutes.oldest)
            median.add(labels, None if minutes.median is None else 60 * minutes.median)
        for seconds, goroutines in findings.older.items():
            older.add(labels, goroutines, age=format_duration(seconds))
    yield from (family.metric for family in (proven, oldest, median, older))


def _costs(leaks: Labelled) -> Iterator[Metric]:
    """Yield the memory cost of the leaks."""
    stacks = LeakFamily(
        "bytes", "Memory held by the stacks of the goroutines of a leak, in bytes; at least 2 KiB per goroutine."
    )
    resident = LeakFamily(
        "resident_bytes",
        "Estimated resident memory held by the goroutines of a leak, stacks and heap, in bytes; "
        "absent if unknown.",
    )
    growth = LeakFamily(
        "growth_bytes_per_second",
        "Growth of the memory held by a leak in bytes per second, with its heap if that is known.",
    )
    until = LeakFamily(
        "until_memory_limit_seconds",
        "Time until the first target of a leak reaches its memory limit at the current growth, in seconds.",
    )
    for leak, labels in leaks:
        memory = leak.memory
        if memory is None:
            continue
        stacks.add(labels, memory.stack.value * memory.goroutines)
        resident.add(labels, memory.resident.value * memory.goroutines if memory.resident else None)
        growth.add(labels, memory.per_second.value)
        if memory.limit:
            until.add(labels, memory.limit.soonest, bound="soonest")
            until.add(labels, memory.limit.latest, bound="latest")
    yield from (family.metric for family in (stacks, resident, growth, until))


def _related(leaks: Sequence[Leak]) -> Iterator[Metric]:
    related = GaugeMetricFamily(
        "leakwatch_leak_related_goroutines",
        "Goroutines in a stack that grows in step with a leak, and so belongs to the leak.",
        labels=RELATED,
    )
    growth = GaugeMetricFamily(
        "leakwatch_leak_related_growth_goroutines_per_second",
        "Growth in goroutines per second of a stack that belongs to a leak, while it last grew.",
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
        "Likely cause of a leak, with its fix; always 1.",
        labels=("service", "stack", "cause", "title", "fix", "code", "docs"),
    )
    for leak in leaks:
        if cause := leak.cause:
            what = (cause.id, cause.title, cause.fix, cause.code, cause.docs)
            causes.add_metric((shown(leak.service), leak.stack.fingerprint, *what), 1)
    return causes


def _callers(leaks: Sequence[Leak]) -> Metric:
    callers = GaugeMetricFamily(
        "leakwatch_leak_caller_info",
        "Own code that probably opens a leak without own code, as a sentence; always 1.",
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
