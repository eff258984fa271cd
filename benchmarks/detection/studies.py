"""The studies: each plays its traces and returns its numbers."""

from collections.abc import Sequence
from typing import Any, Final

import deploys as daily
import fleets
import numpy as np
from alarms import Alarms, alarms_of, detections, false_alarms, incidents, percentile
from baselines import STACK_RULES, TOTAL_RULES
from play import Outcome, play
from scenarios import SERVICE, Length, Traces, make, seeded
from scene import DAY, HOUR, PHASES, Counts, Floats

Numbers = dict[str, Any]
LEAKWATCH: Final = "leakwatch"
COMPACT: Final = (("pure", 10.0), ("pure", 60.0), ("pure", 1000.0), ("in a diurnal stack", 60.0))
"""Kinds and rates that are measured for the other rules too."""
TRACES_PER_PART: Final = 100
"""Traces of each kind per process that is deployed daily."""


def healthy(name: str, length: Length) -> Numbers:
    """Return the false alarms of one kind by leakwatch and by each rule over stacks."""
    traces = make(name, length)
    span = float(traces[0].times[-1])
    result = {LEAKWATCH: false_alarms(_alarms(traces), span)}
    counts = np.concatenate([trace.counts for trace in traces], axis=1)
    for rule, fires in STACK_RULES.items():
        result[rule] = false_alarms(alarms_of(*fires(traces[0].times, counts)), span)
    return result


def _alarms(traces: Sequence[Traces]) -> list[Alarms]:
    return [alarms for trace in traces for alarms in play([trace]).alarms]


def leak(name: str, rate: float, length: Length) -> Numbers:
    """Return how leakwatch finds a leak of `rate` per hour, and the ratio of its estimated to the true rate."""
    traces = make(name, length, rate)
    outcomes = [play([trace], until_found=True) for trace in traces]
    onset = np.concatenate([trace.onset for trace in traces])
    result: Numbers = {LEAKWATCH: detections([alarms for outcome in outcomes for alarms in outcome.alarms], onset)}
    result["ratio"] = _ratios(outcomes, rate)
    if (name, rate) in COMPACT:
        for rule, fires in STACK_RULES.items():
            result[rule] = detections(alarms_of(*fires(traces[0].times, traces[0].counts)), onset)
    return result


def _ratios(outcomes: Sequence[Outcome], rate: float) -> Numbers:
    rates = np.array([pair for outcome in outcomes for pair in outcome.rates]) / rate
    finite = [column[~np.isnan(column)] for column in rates.T]
    return {
        when: [percentile(ratios, share) for share in (50, 10, 90)]
        for when, ratios in zip(("at", "later"), finite, strict=True)
    }


def services(length: Length) -> Numbers:
    """Return false alarms and leaks found, by the rules for all goroutines of a service of 60 stacks."""
    totals = _totals(length)
    result: Numbers = {}
    for rule, fires in TOTAL_RULES.items():
        result[rule] = {"false": false_alarms(alarms_of(*fires(length.times, totals)), float(length.times[-1]))}
        for name, rate in COMPACT:
            trace = make(name, length, rate)[0]
            fired = alarms_of(*fires(length.times, totals + trace.counts))
            result[rule][f"{name}/{rate:g}"] = detections(fired, trace.onset)
    return result


def _totals(length: Length) -> Counts:
    """Return the total counts of as many services as there are traces; stacks of a service have the same phase."""
    rng = seeded(length.seed, "services")
    totals = np.zeros((len(length.times), length.traces), np.int32)
    for name, number in SERVICE.items():
        counts = np.concatenate([trace.counts for trace in make(name, length)], axis=1)
        for service in range(length.traces):
            same_phase = np.arange(service % PHASES, length.traces, PHASES)
            stacks = int(number + rng.random())
            totals[:, service] += counts[:, rng.choice(same_phase, stacks)].sum(axis=1, dtype=np.int32)
    return totals


def fleet(number: int, variant: str, length: Length) -> Numbers:
    """Return false alarms and leaks found in services of `number` replicas; more replicas, fewer services."""
    parts = max(length.traces // (5 * max(number, fleets.ROWS)), 1)
    alarms: dict[str, list[Alarms]] = {name: [] for name in fleets.names()}
    onsets: list[Floats] = []
    span = float(length.times[-1])
    for part in range(parts):
        traces = fleets.replicas(number, variant, length, part)
        played = play(traces).alarms
        for i, name in enumerate(alarms):
            alarms[name] += played[i * fleets.ROWS : (i + 1) * fleets.ROWS]
        onsets.append(traces[0].onset[-fleets.ROWS :])
    result: Numbers = {name: false_alarms(alarms[name], span) for name in fleets.POOLED}
    for name in (*fleets.EACH, fleets.ON_ONE):
        result[name] = detections(alarms[name], np.concatenate(onsets))
    result["per_day"] = sum(result[name]["per_day"] for name in fleets.POOLED)
    return result


def lifetimes(name: str, length: Length) -> Numbers:
    """Return alarms per stack in lifetime 3 and later, at most one in each, and the median hours until then.

    Of a leak also the share of lifetimes with an alarm, which may have begun before the restart.
    """
    traces = fleets.lifetimes(name, length)
    return later_alarms(name, traces, [play([trace]).alarms for trace in traces])


def later_alarms(name: str, traces: Sequence[Traces], alarms_of_traces: Sequence[Sequence[Alarms]]) -> Numbers:
    """Return the numbers of `lifetimes` from the alarms of each trace."""
    healthy = name in fleets.LIFETIMES
    delays: list[float] = []
    lifetimes_played = stacks = 0
    for trace, rows in zip(traces, alarms_of_traces, strict=True):
        starts = trace.times[np.flatnonzero(np.diff(trace.age) < 0) + 1][1:]
        lifetimes_played += len(starts) * len(trace.onset)
        stacks += len(trace.onset)
        for alarms in rows:
            for start, end in zip(starts, [*starts[1:], np.inf], strict=True):
                begins = [begin for begin, over in alarms if begin < end and (begin if healthy else over) >= start]
                delays += [max(begin - start, 0.0) / HOUR for begin in begins[:1]]
    result: Numbers = {"per_stack": len(delays) / stacks, "median": percentile(np.array(delays), 50)}
    return result if healthy else {**result, "found": len(delays) / lifetimes_played}


def deploys(start: daily.Start, length: Length) -> Numbers:
    """Return false alarms per service-day from the second day on, and how a leak that begins then is found.

    `again`: median hours from each later deploy until the leak is reported.
    """
    false, delays, again = 0, [], []
    parts = max(length.traces // TRACES_PER_PART, 1)
    for part in range(parts):
        traces = daily.services(part, length)
        for alarms, onset in zip(daily.play_pods(traces, start), traces.onset.tolist(), strict=True):
            if np.isinf(onset):
                false += sum(begin >= DAY for begin in incidents(alarms))
                continue
            delays.append(min((begin - onset for begin, _ in alarms if begin >= onset), default=np.inf) / HOUR)
            for deploy in np.arange(2, daily.DAYS) * DAY:
                begins = [begin for begin, end in alarms if end > deploy and begin < deploy + DAY]
                again.append(min((max(begin - deploy, 0.0) for begin in begins), default=np.inf) / HOUR)
    days = parts * daily.TOGETHER * (daily.DAYS - 1)
    return {
        "days": days,
        "false": false,
        "per_day": false / days,
        "median": percentile(np.array(delays), 50),
        "p90": percentile(np.array(delays), 90),
        "again": percentile(np.array(again), 50),
    }
