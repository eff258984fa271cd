"""Replays recordings through the daemon's pipeline, in virtual time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from leakwatch.cli.analyze.csv_file import CsvRecording
from leakwatch.cli.analyze.folders import find_all
from leakwatch.cli.analyze.recordings import (
    Observation,
    ProfileRecording,
    RecordedTarget,
    merge,
    rename_overlapping,
)
from leakwatch.cli.symbol_files import Warn
from leakwatch.cli.terminal import json_text
from leakwatch.detect.history import History
from leakwatch.detect.quarters import quarter_columns
from leakwatch.detect.windows import BLOCK_WINDOWS, HOUR_WINDOWS
from leakwatch.errors import ConfigError
from leakwatch.leaks.ignore import IgnoreRule, unmatched
from leakwatch.leaks.leak_json import leak_json
from leakwatch.leaks.model import Event, Leak
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Fingerprint, Target, Verdict
from leakwatch.pipeline import Pipeline
from leakwatch.profile.stacks import Identifier
from leakwatch.settings.units import format_duration

LEAST = min(window.columns for window in BLOCK_WINDOWS)
"""Blocks without which no window is judged."""

Advance = Callable[[], None]
"""Is called after each profile."""

LatestLeaks = dict[tuple[str, Fingerprint], Leak]
"""Service, fingerprint -> the latest state of a leak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Result of a replay; `leaks`: the fastest first, including those that have recovered."""

    targets: Sequence[RecordedTarget]
    block: float
    leaks: Sequence[Leak]
    unjudged: Sequence[tuple[RecordedTarget, str]]
    """Targets without a judged window, and why."""
    folded: Mapping[Target, int]
    """Target -> largest number of stacks of one profile that were not judged (`detection.series_limit`)."""
    unmatched: Sequence[IgnoreRule]
    """Rules that match no stack."""
    ignored: Mapping[str, int]
    """Rule -> number of leaks that it hides at the end."""

    @property
    def is_judged(self) -> bool:
        """Whether at least one target was judged."""
        return len(self.unjudged) < len(self.targets)


def read(paths: Sequence[Path], own_code: Sequence[str], warn: Warn) -> list[ProfileRecording]:
    """Return the recordings at `paths`: folders of bodies, CSV files, bodies; raises ConfigError.

    `own_code`: prefixes of functions that count as own code.
    """
    identifier = Identifier(own_code)
    recordings: list[ProfileRecording] = []
    folders = []
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path}: there is no such file or folder")
        if path.is_file() and path.suffix == ".csv":
            try:
                recordings.append(CsvRecording(path, identifier, warn))
            except OSError as error:
                raise ConfigError(f"{path}: {error.strerror}") from error
        else:
            folders.append(path)
    recordings += find_all(folders, identifier, warn)
    rename_overlapping(recordings, warn)
    return recordings


class Analyzer:
    """Feeds recordings to a pipeline and collects the results."""

    def __init__(self, recordings: Sequence[ProfileRecording], settings: DetectionSettings) -> None:
        self._recordings = recordings
        self._settings = settings
        self._pipeline = Pipeline(settings)
        self._removals = _removals(recordings, 2 * settings.block)
        self._latest: LatestLeaks = {}
        self._states: dict[Target, TargetState] = {}
        self._judged: set[Target] = set()
        self._folded: dict[Target, int] = {}

    def run(self, advance: Advance) -> Analysis:
        """Return the analysis."""
        for observation in merge(self._recordings):
            advance()
            if observation is not None:
                self._observe(observation)
        targets = [target for recording in self._recordings for target in recording.targets]
        stacks = (
            (stack, target.all_labels)
            for target, state in self._states.items()
            for stack in state.history.stacks
            if stack is not None
        )
        ignored = self._pipeline.ignored()
        return Analysis(
            targets=targets,
            block=self._settings.block,
            leaks=self._leaks(),
            unjudged=[
                (target, self._why_unjudged(target)) for target in targets if target.target not in self._judged
            ],
            folded=self._folded,
            unmatched=unmatched(self._settings.ignore, stacks),
            ignored={rule: number for rule, number in ignored.items() if number},
        )

    def _observe(self, observation: Observation) -> None:
        time, target = observation.time, observation.target
        while self._removals and self._removals[-1][0] <= time:
            _, removed = self._removals.pop()
            self._record(self._pipeline.remove_target(removed, time))
        state = self._states[target] = self._pipeline.add_target(target)
        self._record(self._pipeline.observe(state, time, observation.total, observation.samples))
        for dumped_at, stacks in observation.dumps:
            self._record(self._pipeline.observe_dump(state, dumped_at, stacks))
        history = state.history
        if target not in self._judged and _has_judged_window(history):
            self._judged.add(target)
        if history.folded_stacks:
            self._folded[target] = max(self._folded.get(target, 0), history.folded_stacks)

    def _record(self, events: Sequence[Event]) -> None:
        """Record the latest state of each leak. When a leak closes, keep its last state if it was confirmed."""
        for event in events:
            key = event.leak.service, event.leak.stack.fingerprint
            latest = self._latest.get(key)
            if event.leak.verdict is not Verdict.NORMAL:
                self._latest[key] = event.leak
            elif latest and latest.highest < Verdict.LEAKING:
                del self._latest[key]
            elif latest:
                self._latest[key] = replace(latest, highest=max(event.leak.highest, latest.highest))

    def _leaks(self) -> list[Leak]:
        still_open = {(leak.service, leak.stack.fingerprint): leak for leak in self._pipeline.open_leaks()}
        closed = {key: leak for key, leak in self._latest.items() if key not in still_open}
        return sorted(_without_related(still_open, closed).values(), key=lambda leak: -leak.grew.rate)

    def _why_unjudged(self, target: RecordedTarget) -> str:
        block = self._settings.block
        if target.profiles < 2:
            return "it has only one profile" if target.profiles else "none of its profiles could be read"
        if target.spacing.longest < LEAST * block:
            why = f"the longest stretch without a gap is {format_duration(target.spacing.longest)}"
        elif restarts := self._states[target.target].restarts:
            why = f"its process restarted {restarts} times"
        elif target.spacing.step > block:
            why = f"its profiles are {format_duration(target.spacing.step)} apart"
        else:
            why = "too many of its profiles are missing"
        return f"{why}, but {LEAST} blocks of {format_duration(block)} in a row are needed"


def _removals(recordings: Sequence[ProfileRecording], grace: float) -> list[tuple[float, Target]]:
    """Return the targets that end before their service, and their removal times, the latest first.

    A target is removed `grace` seconds after its last profile.
    """
    last: dict[Target, float] = {}
    for recorded in (target for recording in recordings for target in recording.targets if target.times):
        last[recorded.target] = max(recorded.times[-1], last.get(recorded.target, 0.0))
    service_ends: dict[str, float] = {}
    for target, end in last.items():
        service_ends[target.service] = max(end, service_ends.get(target.service, 0.0))
    removals = [
        (end + grace, target) for target, end in last.items() if end + grace <= service_ends[target.service]
    ]
    return sorted(removals, key=lambda removal: -removal[0])


def _has_judged_window(history: History) -> bool:
    """Return whether any window has enough profiles."""
    return history.closed >= LEAST and any(
        quarter_columns(columns, window)
        for columns, windows in ((history.blocks, BLOCK_WINDOWS), (history.hours, HOUR_WINDOWS))
        for window in windows
    )


def _without_related(still_open: LatestLeaks, closed: LatestLeaks) -> LatestLeaks:
    """Return all leaks without closed ones that later turned out to be related to another leak."""
    leaks = still_open | closed
    for key, leak in list(leaks.items()):
        if key in leaks:
            for related in leak.related:
                other = leak.service, related.stack.fingerprint
                if other in closed and closed[other].highest <= leak.highest:
                    leaks.pop(other, None)
    return leaks


def to_json(analysis: Analysis) -> str:
    """Return the analysis as one JSON object; times in unix seconds."""
    document = {
        "block": round(analysis.block, 3),
        "targets": [
            {
                "service": recorded.target.service,
                "target": recorded.target.name,
                "profiles": recorded.profiles,
                "skipped": recorded.skipped,
                "first": recorded.first,
                "last": recorded.last,
            }
            for recorded in analysis.targets
        ],
        "leaks": [leak_json(leak) for leak in analysis.leaks],
    }
    return json_text(document)
