"""Which states have changed since they were saved, and their conversion to the rows of the database."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from leakwatch.clock import Turns
from leakwatch.detect.plain import SharedValues
from leakwatch.leaks.service_state import ServiceState
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Target
from leakwatch.pipeline import Pipeline
from leakwatch.storage.rows import ServiceRow, TargetRow

Mark = tuple[object, ...]
"""Changes when a target has to be saved again: its block closed, its process restarted, or it was removed."""
Marks = Mapping[str, Mark]
"""By the name of the target."""
GROWTH: Final = 2  # with so many times as many shared values as at first, most of them may be of older builds
SPARE: Final = 1000  # shared values
DAY: Final = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The changes of one attempt to save: the rows of changed services, and the services that have ended."""

    rows: Sequence[ServiceRow]
    ended: Sequence[str]
    urgent: frozenset[Target]
    marks: Mapping[str, Marks]
    """Service -> what its targets were when they were converted."""
    values: Mapping[str, int]
    """Service -> number of its shared values."""


class SavedService:
    """The part of one service that is in the database: the marks of its targets, and its shared values."""

    def __init__(self) -> None:
        self.marks: Marks = {}
        self.shared = SharedValues()
        self.values: int | None = None
        """Shared values in the database, None if the service may be missing there."""
        self._limit: int | None = None

    def begin(self) -> None:
        """Begin a new numbering of shared values, and save all targets again, if there are too many values."""
        if self._limit is not None and len(self.shared) > self._limit:
            self.marks, self.shared, self.values, self._limit = {}, SharedValues(), None, None

    def saved(self, marks: Marks, values: int) -> None:
        """Record that targets with these marks, and the first `values` shared values, are in the database."""
        self.marks, self.values = marks, values
        if self._limit is None:
            self._limit = GROWTH * values + SPARE


class Changes:
    """The changes of a pipeline since the last save."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.skip_normal = False
        """Whether targets without a leak are not saved, because the database has reached its limit."""
        self._pipeline = pipeline
        self._services: dict[str, SavedService] = {}
        self._urgent: set[Target] = set()

    def clear(self) -> None:
        """Save everything again, to a new database."""
        self._services.clear()

    def restored(self, services: Iterable[str]) -> None:
        """Record that services were restored, so that they are removed from the database when they end."""
        self._services |= {name: SavedService() for name in services}

    def add(self, targets: Iterable[Target]) -> None:
        """Add targets with verdicts that have changed."""
        self._urgent.update(targets)

    async def take(self, now: float, *, everything: bool) -> Taken:
        """Return the changes; `now`: seconds of the stopwatch, `everything`: also the counts of open blocks."""
        urgent, self._urgent = frozenset(self._urgent), set()
        rows: list[ServiceRow] = []
        all_marks: dict[str, Marks] = {}
        turns = Turns()
        for service in list(self._pipeline.services.values()):
            saved = self._services.setdefault(service.name, SavedService())
            saved.begin()
            states = self._states(service)
            marks = {state.target.name: _mark(service, state, now) for state in states}
            new = {name for name, mark in marks.items() if everything or saved.marks.get(name) != mark}
            changed = [state for state in states if state.target.name in new or state.target in urgent]
            if changed or marks.keys() != saved.marks.keys():
                targets = []
                for state in changed:
                    targets.append(_target_row(state, saved.shared, now))
                    await turns.pause()
                rows.append(_service_row(service, saved, targets, marks, now))
                all_marks[service.name] = marks
                await turns.pause()
        ended = [name for name in self._services if name not in self._pipeline.services]
        values = {name: len(self._services[name].shared) for name in all_marks}
        return Taken(rows=rows, ended=ended, urgent=urgent, marks=all_marks, values=values)

    def saved(self, taken: Taken) -> None:
        """Record that changes are in the database."""
        for name, marks in taken.marks.items():
            self._services[name].saved(marks, taken.values[name])
        for name in taken.ended:
            self._services.pop(name, None)

    def not_saved(self, taken: Taken) -> None:
        """Record that changes are not in the database, so that the next ones include them."""
        self._urgent |= taken.urgent

    def _states(self, service: ServiceState) -> list[TargetState]:
        """Return the states to save: of targets with a profile."""
        return [
            state for state in service.states if state.is_observed and (not self.skip_normal or state.judgements)
        ]


def _mark(service: ServiceState, state: TargetState, now: float) -> Mark:
    history, departed = state.history, service.departed.get(state.target)
    day = int(now / DAY)  # a target that is down for weeks is still within the retention
    return (history.block_start, history.block, state.restarts, state.mixed_since, departed and departed.time, day)


def _target_row(state: TargetState, shared: SharedValues, now: float) -> TargetRow:
    return TargetRow(
        name=state.target.name,
        document=state.to_plain(shared, now),
        series=len(state.history.rows) + len(state.sites.rows),
        leaks=len(state.judgements),
    )


def _service_row(
    service: ServiceState, saved: SavedService, targets: Sequence[TargetRow], marks: Marks, now: float
) -> ServiceRow:
    document = service.to_plain(saved.shared, now)  # after the targets: it may add shared values, too
    shared = None
    if len(saved.shared) != saved.values:
        # A copy, because it is encoded in a thread while the next documents may add values.
        shared = {kind: list(values) for kind, values in saved.shared.plain.items()}
    return ServiceRow(
        name=service.name,
        shared=shared,
        document=document,
        leaks=len(service.leaks.groups),
        targets=targets,
        names=marks.keys(),
    )
