"""Goroutines over time, for plots. Pure: state in, models out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from leakwatch.detect.columns import FLOOR, MEAN, Sums
from leakwatch.detect.history import History
from leakwatch.detect.trend import slopes
from leakwatch.errors import NotFoundError
from leakwatch.leaks.model import Leak
from leakwatch.leaks.reason import combined
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Fingerprint, Judgement
from leakwatch.web.api.aggregate import Reach, Sum, between, columns_of, curve, history_of, middles, summed
from leakwatch.web.api.leaks import find, hourly
from leakwatch.web.api.models import leaks as models
from leakwatch.web.api.models.targets import StackSeries
from leakwatch.web.api.state import AppState
from leakwatch.web.api.targets import find as find_target

TARGETS: Final = 12  # small multiples
MARKS: Final = 100
EMPTY: Final = models.Line(seconds=0, times=[], mean=[], floor=[])


def leak_series(source: AppState, service: str, stack: str, targets: int = TARGETS) -> models.LeakSeries:
    """Return a leak over time, and on the `targets` that grow fastest; raises NotFoundError."""
    leak = find(source, service, stack)
    key = leak.stack.fingerprint
    found = source.pipeline.service(leak.service)
    states = [state for state in found.targets.values() if history_of(state, key)] if found else []
    fastest = sorted(states, key=lambda state: (-_rate(state, key), -state.count(key), state.target.name))
    sums, count = summed(states, [key]), float(source.pipeline.count(leak.service, key))
    newest = max((state.history.time or 0.0 for state in states), default=None)
    recent, hours = (_drawn(one).model(source, newest, count) for one in sums) if sums else (EMPTY, EMPTY)
    return models.LeakSeries(
        service=leak.service,
        stack=key,
        now=source.wall(source.now()),
        recent=recent,
        hours=hours,
        targets=[_target(source, state, key) for state in fastest[:targets]],
        others=max(len(fastest) - targets, 0),
        fit=_fit(source, leak, sums, newest),
        marks=sorted(_marks(source, leak, states), key=lambda mark: mark.time)[-MARKS:],
    )


def target_series(source: AppState, path: str, stack: str) -> StackSeries:
    """Return one stack or site of the target at `path`, service/name, over time; raises NotFoundError."""
    target, _ = find_target(source, path)
    state = source.pipeline.targets.get(target)
    found = history_of(state, Fingerprint(stack)) if state else None
    if state is None or found is None:
        raise NotFoundError(f"target {target.name!r} of {target.service!r} has no stack {stack}")
    history, row = found
    known = history.stacks[row]
    recent, hours = lines(source, history, row)
    return StackSeries(
        service=state.target.service,
        target=state.target.name,
        stack=stack,
        function=known.blamed.function if known else "",
        now=source.wall(source.now()),
        recent=recent,
        hours=hours,
    )


def lines(source: AppState, history: History, row: int) -> tuple[models.Line, models.Line]:
    """Return the blocks and the hours of one series, each with the present count as its last point."""
    return _line(source, history, row, "blocks"), _line(source, history, row, "hours")


def _line(source: AppState, history: History, row: int, reach: Reach) -> models.Line:
    columns, end, width = columns_of(history, reach)
    known = columns.scrapes > 0
    values = np.where(known, columns.values[:, row], np.nan)
    line = Drawn(width, middles(end, width, len(known)), values[MEAN], values[FLOOR])
    return line.model(source, history.time, float(history.last[row]))


@dataclass(frozen=True, slots=True)
class Drawn:
    """Columns of `width` seconds and their middles; nan where nothing is known."""

    width: float
    times: Sums
    mean: Sums
    floor: Sums

    def model(self, source: AppState, now: float | None, count: float) -> models.Line:
        """Return the line from its first known column on, with the `count` of `now` as its last point."""
        known = np.flatnonzero(~np.isnan(self.mean))
        first = int(known[0]) if len(known) else len(self.times)
        more = [] if now is None else [count]
        return models.Line(
            seconds=self.width,
            times=[source.wall(time) for time in (*self.times[first:].tolist(), *([] if now is None else [now]))],
            mean=self.mean[first:].round(2).tolist() + more,
            floor=self.floor[first:].round(2).tolist() + more,
        )


def _drawn(one: Sum) -> Drawn:
    """Return the line of a sum; there is nothing where no target was scraped."""
    mean, floor = (np.where(one.seen, values[0], np.nan) for values in (one.mean, one.floor))
    return Drawn(one.width, one.times, mean, floor)


def _target(source: AppState, state: TargetState, key: Fingerprint) -> models.TargetSeries:
    history, row = history_of(state, key) or (state.history, 0)
    recent, hours = lines(source, history, row)
    said = _judgement(state, key)
    fit = None
    if said is not None:
        fit = models.Fit(since=source.wall(said.since), before=said.before, per_hour=hourly(said.grew))
    return models.TargetSeries(
        target=state.target.name, goroutines=state.count(key), recent=recent, hours=hours, fit=fit
    )


def _judgement(state: TargetState, key: Fingerprint) -> Judgement | None:
    return state.judgement_of(key)


def _rate(state: TargetState, key: Fingerprint) -> float:
    said, found = _judgement(state, key), history_of(state, key)
    if said is not None:
        return said.growth.rate
    return float(slopes(found[0], [found[1]])[0]) if found else 0.0


def _fit(source: AppState, leak: Leak, sums: Sequence[Sum], now: float | None) -> models.Fit | None:
    """Return the growth that a leak is founded on: of the service as a whole, or of its targets together."""
    service = source.pipeline.service(leak.service)
    candidate = service.leaks.candidates.get(leak.stack.fingerprint) if service else None
    # What was before a restart is forgotten, and no part of the line.
    said = [judgement for judgement in candidate.evidence if not judgement.restarted] if candidate else []
    if not said:
        return None
    since = min(judgement.since for judgement in said)
    before = sum(
        max(one.before - one.grew.rate * (one.since - since), 0.0) for one in said
    )  # those that came later
    if np.isnan(before):  # a service as a whole is known by what it gained: how many there were, its targets tell
        times, levels = curve(sums, [leak.goroutines], now or since) if sums else (np.zeros(1), np.zeros((1, 1)))
        before = float(between(times, levels, np.array([since]))[0, 0])
    return models.Fit(
        since=source.wall(since), before=before, per_hour=hourly(combined([one.grew for one in said]))
    )


def _marks(source: AppState, leak: Leak, states: Sequence[TargetState]) -> Iterator[models.Mark]:
    if not np.isnan(leak.first_seen):
        yield models.Mark(time=source.wall(leak.first_seen), kind="first_seen", text="growth begins")
    for turn in leak.transitions:
        yield models.Mark(time=source.wall(turn.time), kind="verdict", text=turn.verdict.word)
    for state in states:
        if (state.restarts or state.replacement) and state.history.since is not None:
            name, since = state.target.name, source.wall(state.history.since)
            if state.process_tracker.rebuilt:
                yield models.Mark(time=since, kind="deploy", text=f"{name} runs another build", target=name)
            else:
                said = f"{name} restarted" if state.restarts else f"{name} came for one that went"
                yield models.Mark(time=since, kind="restart", text=said, target=name)
