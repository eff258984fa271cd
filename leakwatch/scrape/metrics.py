"""Metrics of targets, stacks, leaks and load, computed from the state at each request.

The series of stacks are limited: each target has its largest stacks, with hysteresis, and all judged stacks. Its
other stacks are summed up as stack="other". Each service has as many series of the past of its stacks as a target.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isinf
from typing import TypedDict

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from leakwatch.clock import Delays
from leakwatch.detect.trend import slopes
from leakwatch.leaks.labels import labels_of_target, shown
from leakwatch.leaks.metrics import leak_metrics, past_metrics
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Fingerprint, Stack, Target, TargetHealth
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.start_queue import StartQueue

STAYS = 1.5  # a stack gets a series among the K largest, and loses it beyond the 1.5 K largest

TARGET = ("service", "target")
STACK = (*TARGET, "stack", "function")


class TargetCollector(Collector):
    """Metrics of targets, their stacks and leaks.

    `health`: returns the health of each target; `wall`: converts the daemon's time to the wall clock's;
    `per_target`, `limit`: largest number of stack series, per target and in total.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        health: Callable[[], Mapping[Target, TargetHealth]],
        wall: Callable[[float], float],
        *,
        per_target: int,
        limit: int,
    ) -> None:
        self.per_target = per_target
        self.limit = limit
        self.verdict_label = False
        """Whether all metrics of leaks have the label verdict, as in earlier versions."""
        self._pipeline = pipeline
        self._health = health
        self._wall = wall
        self._shown: dict[Target, set[int]] = {}
        self._series_per_target = per_target
        """The share of a target or a service in the limit."""

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        health = self._health()
        yield from _loops(health, self._pipeline.settings.target_labels)
        yield from _targets(health, self._pipeline.targets)
        yield from _processes(health, self._pipeline.targets)
        leaks = self._pipeline.open_leaks()
        stacks = {leak.stack.fingerprint: leak.stack for leak in leaks}
        yield from self._stacks(stacks, {target for target, state in health.items() if state.up})
        yield from past_metrics(self._pipeline.services.values(), stacks, self._series_per_target)
        yield from leak_metrics(leaks, self._wall, verdict_label=self.verdict_label)
        ignored = GaugeMetricFamily(
            "leakwatch_ignored_leaks", "Number of leaks that a rule of ignore hides.", labels=("rule",)
        )
        for rule, count in self._pipeline.ignored().items():
            ignored.add_metric((shown(rule),), count)
        yield ignored
        info = GaugeMetricFamily(
            "leakwatch_stack_info",
            "Position, origin and wait reason of a stack, for joins on the label stack; always 1.",
            labels=("stack", "function", "file", "line", "origin", "wait"),
        )
        for fingerprint, stack in stacks.items():
            frame = stack.blamed
            place = (shown(frame.function), shown(frame.file), str(frame.line), shown(stack.origin), stack.wait)
            info.add_metric((fingerprint, *place), 1)
        yield info

    def _stacks(self, stacks: dict[Fingerprint, Stack], up: set[Target]) -> Iterator[Metric]:
        goroutines = GaugeMetricFamily(
            "leakwatch_stack_goroutines",
            "Goroutines in a stack of a target; the smaller stacks are summed up as stack=other.",
            labels=STACK,
        )
        growth = GaugeMetricFamily(
            "leakwatch_stack_growth_goroutines_per_second",
            "Growth of a stack of a target in goroutines per second.",
            labels=STACK,
        )
        number = GaugeMetricFamily("leakwatch_stacks", "Different stacks in a target's profile.", labels=TARGET)
        other = GaugeMetricFamily("leakwatch_stacks_other", "Stacks of a target in stack=other.", labels=TARGET)
        states = self._pipeline.targets
        self._shown = {target: rows for target, rows in self._shown.items() if target in states}
        sharing = sum(state.is_observed for state in states.values()) + len(self._pipeline.services)
        self._series_per_target = min(self.per_target, self.limit // max(sharing, 1))
        for target, state in states.items():
            if target not in up:
                continue  # its leaks stay, with the counts of its latest profile
            base = (shown(target.service), shown(target.name))
            rows = self._chosen(target, state)
            last, slope = state.history.last, slopes(state.history)
            for row in rows:
                stack = state.history.stacks[row]
                if stack is None:
                    continue
                stacks.setdefault(stack.fingerprint, stack)
                judged = state.judged.get(stack.fingerprint)
                labels = (*base, stack.fingerprint, shown(stack.blamed.function))
                goroutines.add_metric(labels, last[row])
                growth.add_metric(labels, judged.judgement.growth.rate if judged else slope[row])
            counted = int(np.count_nonzero(last))
            chosen = list(rows)
            goroutines.add_metric((*base, "other", ""), last.sum() - last[chosen].sum() + state.history.folded)
            number.add_metric(base, counted + state.history.folded_stacks)
            other.add_metric(base, counted - int(np.count_nonzero(last[chosen])) + state.history.folded_stacks)
        yield from (goroutines, growth, number, other)

    def _chosen(self, target: Target, state: TargetState) -> set[int]:
        """Return the rows with a series: the largest, previous ones that are still large, and all judged ones."""
        history = state.history
        most = self._series_per_target
        used = np.fromiter(history.rows.values(), np.intp, len(history.rows))
        ranked = used[np.argsort(-history.last[used], kind="stable")]
        before = self._shown.get(target, set())
        chosen = {row for row in ranked[: int(most * STAYS)].tolist() if row in before}
        chosen |= {row for row in ranked[:most].tolist() if history.last[row] > 0}
        self._shown[target] = chosen
        return chosen | {history.rows[key] for key in state.judged if key in history.rows}


def _loops(health: Mapping[Target, TargetHealth], names: tuple[str, ...]) -> Iterator[Metric]:
    """Yield whether each target is up, and its interval; `names`: labels of targets that leakwatch_up has, too."""
    up = GaugeMetricFamily(
        "leakwatch_up",
        "Whether the latest scrape of a target succeeded: 1 if so, otherwise 0.",
        labels=(*TARGET, *names),
    )
    interval = GaugeMetricFamily(
        "leakwatch_scrape_interval_seconds",
        "Current time between two scrapes of a target, in seconds; stretched if scrapes cost too much.",
        labels=TARGET,
    )
    stretched = GaugeMetricFamily(
        "leakwatch_scrape_interval_stretched",
        "Reason why the scrape interval of a target is stretched; always 1, absent if it is not.",
        labels=(*TARGET, "reason"),
    )
    for target, target_health in health.items():
        labels = (shown(target.service), shown(target.name))
        interval.add_metric(labels, target_health.interval)
        if target_health.stretched_by:
            stretched.add_metric((*labels, target_health.stretched_by), 1)
        if target_health.up is not None:
            up.add_metric((*labels, *labels_of_target(target, names).values()), target_health.up)
    yield from (up, interval, stretched)


def _targets(health: Mapping[Target, TargetHealth], states: Mapping[Target, TargetState]) -> Iterator[Metric]:
    total = GaugeMetricFamily(
        "leakwatch_goroutines", "Goroutines in the latest profile of a target.", labels=TARGET
    )
    scrapes = CounterMetricFamily(
        "leakwatch_scrapes",
        "Scrapes of a target by result: success, or the reason of the failure.",
        labels=(*TARGET, "result"),
    )
    duration = GaugeMetricFamily(
        "leakwatch_scrape_duration_seconds",
        "Duration of the latest scrape of a target, in seconds.",
        labels=TARGET,
    )
    size = GaugeMetricFamily(
        "leakwatch_scrape_body_bytes", "Size of the latest profile of a target, in bytes.", labels=TARGET
    )
    for target, target_health in health.items():
        labels = (shown(target.service), shown(target.name))
        for result, count in target_health.results.items():
            if count or result == "success":  # thousands of targets would have nine series each
                scrapes.add_metric((*labels, result), count)
        if target_health.up is None:
            continue
        duration.add_metric(labels, target_health.duration)
        size.add_metric(labels, target_health.body_bytes)
        state = states.get(target)
        if state is not None and target_health.up:
            total.add_metric(labels, state.total)
    yield from (total, scrapes, duration, size)


def _processes(health: Mapping[Target, TargetHealth], states: Mapping[Target, TargetState]) -> Iterator[Metric]:
    restarts = CounterMetricFamily(
        "leakwatch_process_restarts", "Restarts of the process of a target that leakwatch detected.", labels=TARGET
    )
    process = GaugeMetricFamily(
        "leakwatch_process_info",
        "Process of a target: the label start changes with each start, build with each build; always 1.",
        labels=(*TARGET, "start", "build"),
    )
    mixed = GaugeMetricFamily(
        "leakwatch_target_mixed",
        "Whether several processes answer in turn at the address of a target, which is then not judged.",
        labels=TARGET,
    )
    pause = GaugeMetricFamily(
        "leakwatch_full_dump_pause_seconds",
        "Longest time for which a full dump may have stopped the current process of a target, in seconds.",
        labels=TARGET,
    )
    for target, target_health in health.items():
        state = states.get(target)
        if state is None or not state.is_observed or target_health.up is None:
            continue
        labels = (shown(target.service), shown(target.name))
        if state.probe_results.longest_pause:
            pause.add_metric(labels, state.probe_results.longest_pause)
        restarts.add_metric(labels, state.restarts)
        mixed.add_metric(labels, state.process_tracker.mixed)
        current = state.process_tracker.process
        if current is not None and target_health.up:
            process.add_metric((*labels, shown(current.start), shown(current.build)), 1)
    yield from (restarts, process, mixed, pause)


class LoadCollector(Collector):
    """Metrics of the load of leakwatch itself.

    `lags`: lag of the event loop at each heartbeat; `tasks`: returns the number of asyncio tasks.
    """

    def __init__(self, starts: StartQueue, lags: Delays, tasks: Callable[[], int]) -> None:
        self._starts = starts
        self._lags = lags
        self._tasks = tasks

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        starts = self._starts
        yield GaugeMetricFamily(
            "leakwatch_overloaded",
            "Whether leakwatch has more targets than it can scrape at their intervals.",
            starts.overloaded,
        )
        yield CounterMetricFamily(
            "leakwatch_scrapes_missed",
            "Due scrapes that leakwatch skipped, because the previous scrape of the target still waited to start.",
            starts.missed,
        )
        yield HistogramMetricFamily(
            "leakwatch_scrape_start_delay_seconds",
            "Time between the due time and the start of a scrape, in seconds.",
            **_values(starts.delays),
        )
        yield HistogramMetricFamily(
            "leakwatch_event_loop_lag_seconds",
            "Time by which leakwatch's event loop was late, measured every 0.1 s, in seconds.",
            **_values(self._lags),
        )
        yield GaugeMetricFamily(
            "leakwatch_asyncio_tasks", "Number of tasks of leakwatch's event loop.", self._tasks()
        )


class _Values(TypedDict):
    """The values of a histogram."""

    buckets: list[tuple[str, float]]
    sum_value: float


def _values(delays: Delays) -> _Values:
    buckets = [("+Inf" if isinf(bound) else str(bound), float(count)) for bound, count in delays.cumulative()]
    return {"buckets": buckets, "sum_value": delays.sum}
