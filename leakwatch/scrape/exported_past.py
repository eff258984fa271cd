"""Queries the past of a service that other and earlier processes of leakwatch have exported.

Each process exports its own series, with other labels of the instance: the sidecar of each pod, or both processes
of a pair. So each query is an aggregate over all of them.
"""

from collections import defaultdict
from typing import Final

from leakwatch.detect.past import PastLeak, StackPast
from leakwatch.leaks.metrics import LIFETIMES, SPANS
from leakwatch.leaks.past import ServicePast
from leakwatch.model import Fingerprint, Verdict
from leakwatch.scrape.prometheus_api import PrometheusApi, quoted

OPEN: Final = 3600.0  # seconds since the last export of a leak within which it counts as open
STEP: Final = 60.0

KNOWN_DROPS: Final = "max by (stack, span) (last_over_time(leakwatch_stack_known_drop_goroutines{%s}[1d]))"
CEILINGS: Final = "max by (stack, lifetime) (last_over_time(leakwatch_stack_ceiling_goroutines{%s}[1d]))"
VERDICTS: Final = """
max by (stack, verdict) (leakwatch_leak_verdict{%s} == 1 or leakwatch_leak_goroutines{%s,verdict!=""})
"""  # earlier versions exported the verdict as a label of the goroutines
RATES: Final = "max by (stack) (max_over_time(leakwatch_leak_growth_goroutines_per_second{%s}[1h]))"
FIRST_SEEN: Final = "min by (stack) (last_over_time(leakwatch_leak_first_seen_timestamp_seconds{%s}[1h]))"
DETECTED: Final = "min by (stack) (last_over_time(leakwatch_leak_detected_timestamp_seconds{%s}[1h]))"

VERDICT: Final = {verdict.word: verdict for verdict in Verdict}
OPEN_VERDICTS: Final = {
    Verdict.PLATEAU: Verdict.PLATEAU,
    Verdict.LEAKING: Verdict.LEAKING,
    Verdict.PROVEN: Verdict.LEAKING,  # the proof is about another process
}


async def exported_past(prometheus: PrometheusApi, service: str, now: float, shift: float) -> ServicePast:
    """Return the exported past of a service at `now`, the server's time. Raises QueryError.

    `shift`: seconds from the server's time to the pipeline's.
    """
    labels = f"service={quoted(service)}"
    drops = await _by_stack(prometheus, KNOWN_DROPS % labels, now, "span", SPANS)
    ceilings = await _by_stack(prometheus, CEILINGS % labels, now, "lifetime", LIFETIMES)
    none = (0.0,) * len(SPANS), (0.0,) * len(LIFETIMES)
    stacks = {
        key: StackPast(drops.get(key, none[0]), ceilings.get(key, none[1]))
        for key in drops.keys() | ceilings.keys()
    }
    return ServicePast(stacks, await _leaks(prometheus, labels, now, shift))


async def _by_stack(
    prometheus: PrometheusApi, query: str, now: float, label: str, values: tuple[str, ...]
) -> dict[Fingerprint, tuple[float, ...]]:
    """Return stack -> one number for each of the `values` of `label`, 0 without one."""
    numbers: dict[Fingerprint, dict[str, float]] = defaultdict(dict)
    for series in await prometheus.instant(query, now):
        numbers[Fingerprint(series.labels.get("stack", ""))][series.labels.get(label, "")] = series.points[-1][1]
    return {key: tuple(by_value.get(value, 0.0) for value in values) for key, by_value in numbers.items()}


async def _leaks(prometheus: PrometheusApi, labels: str, now: float, shift: float) -> dict[Fingerprint, PastLeak]:
    """Return the leaks that were open when they were last exported."""
    latest: dict[str, tuple[float, Verdict]] = {}
    for series in await prometheus.range(VERDICTS.strip() % (labels, labels), now - OPEN, now, STEP):
        stack, word = series.labels.get("stack", ""), series.labels.get("verdict", "")
        verdict = series.points[-1][0], VERDICT.get(word, Verdict.NORMAL)
        latest[stack] = max(latest.get(stack, verdict), verdict)
    is_open = {stack: OPEN_VERDICTS[last] for stack, (_, last) in latest.items() if last in OPEN_VERDICTS}
    if not is_open:
        return {}
    rates, first_seen, detected = [
        {series.labels.get("stack", ""): series.points[-1][1] for series in await prometheus.instant(query, now)}
        for query in (RATES % labels, FIRST_SEEN % labels, DETECTED % labels)
    ]
    return {
        Fingerprint(stack): PastLeak(
            verdict=verdict,
            rate=rates.get(stack, 0.0),
            first_seen=first_seen[stack] + shift if stack in first_seen else None,
            detected_at=detected[stack] + shift if stack in detected else None,
        )
        for stack, verdict in is_open.items()
    }
