"""Goroutines over time, for plots. Pure: state in, models out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from leakwatch.detect.columns import FLOOR, MEAN, Sums
from leakwatch.detect.trend import slopes
from leakwatch.errors import NotFoundError
from leakwatch.leaks.model import Leak
from leakwatch.leaks.reason import combined
from leakwatch.leaks.target_state import Series, TargetState
from leakwatch.model import Fingerprint, Judgement
from leakwatch.settings.units import format_duration, format_size
from leakwatch.web.api.aggregate import Resolution, SeriesSum, columns_of, curve, interpolate, middles, summed
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.api.leaks import hourly
from leakwatch.web.api.models import leaks as models
from leakwatch.web.api.models.targets import StackSeries
from leakwatch.web.api.targets import find as find_target

TARGETS: Final = 12  # plots of single targets
MARKS: Final = 100
BUILD: Final = 12  # characters of a build
ENDED: Final = 3  # blocks without a new maximum, after which the growth has ended
EMPTY: Final = models.SeriesLine(seconds=0, times=[], mean=[], floor=[])


def leak_series(view: FleetView, leak: Leak, targets: int = TARGETS) -> models.LeakSeries:
    """Return a leak over time: the sum of all targets, and the `targets` with the fastest growth."""
    key = leak.stack.fingerprint
    found = {state: series for state in view.states(leak.service) if (series := state.series(key))}
    fastest = sorted(
        found, key=lambda state: (-_rate(state, found[state], key), -found[state].count, state.target.name)
    )
    states = list(found)
    sums, count = summed(states, [key]), float(sum(series.count for series in found.values()))
    newest = max((state.history.time or 0.0 for state in states), default=None)
    recent, hours = (_line_of(total).model(view, newest, count) for total in sums) if sums else (EMPTY, EMPTY)
    return models.LeakSeries(
        service=leak.service,
        stack=key,
        now=view.wall(view.now),
        recent=recent,
        hours=hours,
        targets=[_target(view, state, found[state], key) for state in fastest[:targets]],
        others=max(len(fastest) - targets, 0),
        fit=_fit(view, leak, sums, newest),
        forecast=_forecast(view, leak),
        marks=sorted(_marks(view, leak, states), key=lambda mark: mark.time)[-MARKS:],
    )


def target_series(view: FleetView, path: str, stack: str) -> StackSeries:
    """Return a stack or site of the target at `path`, service/name, over time; raise NotFoundError."""
    target, _ = find_target(view, path)
    state = view.pipeline.targets.get(target)
    key = Fingerprint(stack)
    series = state.series(key) if state else None
    if series is None:
        raise NotFoundError(f"target {target.name!r} of {target.service!r} has no stack {stack}")
    series_stack = series.history.stacks[series.row]
    recent, hours = lines(view, series)
    return StackSeries(
        service=target.service,
        target=target.name,
        stack=stack,
        function=series_stack.blamed.function if series_stack else "",
        now=view.wall(view.now),
        recent=recent,
        hours=hours,
    )


def lines(view: FleetView, series: Series) -> tuple[models.SeriesLine, models.SeriesLine]:
    """Return the blocks and the hours of a series; the last point of both is the current count."""
    return _line(view, series, "blocks"), _line(view, series, "hours")


def _line(view: FleetView, series: Series, resolution: Resolution) -> models.SeriesLine:
    columns, end, width = columns_of(series.history, resolution)
    scraped = columns.scrapes > 0
    values = np.where(scraped, columns.values[:, series.row], np.nan)
    line = PlotLine(width=width, times=middles(end, width, len(scraped)), mean=values[MEAN], floor=values[FLOOR])
    return line.model(view, series.history.time, float(series.count))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotLine:
    """Columns of `width` seconds and their middles; nan in a gap."""

    width: float
    times: Sums
    mean: Sums
    floor: Sums

    def model(self, view: FleetView, now: float | None, count: float) -> models.SeriesLine:
        """Return the line from the first column without a gap; the last point is `count` at `now`."""
        present = np.flatnonzero(~np.isnan(self.mean))
        first = int(present[0]) if len(present) else len(self.times)
        last_time, last_count = ([], []) if now is None else ([view.wall(now)], [count])
        return models.SeriesLine(
            seconds=self.width,
            times=(self.times[first:] + view.wall(0.0)).tolist() + last_time,
            mean=self.mean[first:].round(2).tolist() + last_count,
            floor=self.floor[first:].round(2).tolist() + last_count,
        )


def _line_of(total: SeriesSum) -> PlotLine:
    """Return the line of a sum, with a gap if no target was scraped."""
    mean, floor = (np.where(total.seen, values[0], np.nan) for values in (total.mean, total.floor))
    return PlotLine(width=total.width, times=total.times, mean=mean, floor=floor)


def _target(view: FleetView, state: TargetState, series: Series, key: Fingerprint) -> models.TargetSeries:
    recent, hours = lines(view, series)
    judgement, fit = state.judgement_of(key), None
    if judgement is not None:
        fit = _fitted(view, summed([state], [key]), series.count, judgement.before, [judgement])
    return models.TargetSeries(
        target=state.target.name, goroutines=series.count, recent=recent, hours=hours, fit=fit
    )


def _rate(state: TargetState, series: Series, key: Fingerprint) -> float:
    judgement = state.judgement_of(key)
    return judgement.growth.rate if judgement else float(slopes(series.history, [series.row])[0])


def _fit(view: FleetView, leak: Leak, sums: Sequence[SeriesSum], now: float | None) -> models.Fit | None:
    """Return the growth behind the verdict of a leak: of the pooled judgement, or of the targets together."""
    service = view.pipeline.service(leak.service)
    candidate = service.leaks.candidates.get(leak.stack.fingerprint) if service else None
    # The counts before a restart are not part of the plot.
    judgements = (
        [judgement for judgement in candidate.deciding_judgements if not judgement.restarted] if candidate else []
    )
    if not judgements:
        return None
    since = min(judgement.since for judgement in judgements)
    # A target that began to grow later had fewer goroutines at `since`.
    before = sum(
        max(judgement.before - judgement.grew.rate * (judgement.since - since), 0.0) for judgement in judgements
    )
    if np.isnan(before):  # a pooled judgement has only the growth of the sum, so the level is read from the sums
        times, levels = curve(sums, [leak.goroutines], now or since) if sums else (np.zeros(1), np.zeros((1, 1)))
        before = float(interpolate(times, levels, np.array([since]))[0, 0])
    return _fitted(view, sums, leak.goroutines, before, judgements)


def _fitted(
    view: FleetView, sums: Sequence[SeriesSum], count: int, before: float, judgements: Sequence[Judgement]
) -> models.Fit:
    """Return a line with the rate of the growth that lies in the middle of the measured points.

    `before`: its level if nothing was measured. The judgement's own level is a floor, and lies below the means.
    """
    growth = combined([judgement.grew for judgement in judgements])
    since = min(judgement.since for judgement in judgements)
    until = max(judgement.rose for judgement in judgements)
    now = view.now
    ended = until if sums and until < now - ENDED * sums[0].width else None
    if sums:
        times, levels = curve(sums, [count], now)
        inside = (times >= since) & (times <= (ended or now))
        if inside.any():
            before = max(float(np.median(levels[0][inside] - growth.rate * (times[inside] - since))), 0.0)
    return models.Fit(
        since=view.wall(since),
        until=None if ended is None else view.wall(ended),
        before=before,
        per_hour=hourly(growth),
    )


def _forecast(view: FleetView, leak: Leak) -> models.Forecast | None:
    limit = leak.memory.limit if leak.memory else None
    if limit is None or not leak.growth.rate:
        return None
    soonest, latest = (
        None if time is None else view.wall(view.now + time) for time in (limit.soonest, limit.latest)
    )
    text = f"{limit.target} reaches its memory limit of {format_size(limit.size)}"
    return models.Forecast(text=text, soonest=soonest, latest=latest, per_hour=hourly(leak.growth))


def _marks(view: FleetView, leak: Leak, states: Sequence[TargetState]) -> Iterator[models.Mark]:
    if not np.isnan(leak.first_seen):
        yield models.Mark(time=view.wall(leak.first_seen), kind="first_seen", text="growth starts")
    for transition in leak.transitions:
        time = view.wall(transition.time)
        yield models.Mark(time=time, kind="verdict", text=transition.verdict.word)
    for pause in view.pauses.since(leak.first_seen):
        text = f"leakwatch did not run for {format_duration(pause.end - pause.start)}"
        yield models.Mark(time=view.wall(pause.end), kind="pause", text=text)
    for state in states:
        if (state.restarts or state.replacement) and state.history.since is not None:
            name, since = state.target.name, view.wall(state.history.since)
            if state.process_tracker.rebuilt:
                process = state.process_tracker.process
                build = f"build {process.build[:BUILD]}" if process and process.build else "another build"
                yield models.Mark(time=since, kind="deploy", text=f"{name} runs {build}", target=name)
            else:
                text = f"{name} restarted" if state.restarts else f"{name} replaced another target"
                yield models.Mark(time=since, kind="restart", text=text, target=name)
