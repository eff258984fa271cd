"""Judges recorded profiles, in virtual time, by the pipeline that watches live services."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from leakwatch.cli.analyze.csv_file import Table
from leakwatch.cli.analyze.folders import find
from leakwatch.cli.analyze.recordings import RecordedTarget, Recording, Say, merge, tell_apart
from leakwatch.detect.growth import quarter_columns
from leakwatch.detect.history import History
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

SHOWN = 20  # complaints of one run
LEAST = min(window.columns for window in BLOCK_WINDOWS)
"""Blocks without which no window judges."""

Seen = dict[tuple[str, Fingerprint], Leak]
"""Service, fingerprint -> the last that is known of a leak."""


@dataclass(slots=True)
class Analysis:
    """What a recording says: per target what could be read, and the leaks, the fastest first."""

    kept: Sequence[RecordedTarget]
    block: float
    leaks: list[Leak] = field(default_factory=list)
    unjudged: list[tuple[RecordedTarget, str]] = field(default_factory=list)
    """The targets that no window had enough profiles of, and why."""
    folded: dict[Target, int] = field(default_factory=dict)
    """Target -> the most stacks of one profile that were not judged, for they were beyond the limit."""
    unmatched: list[IgnoreRule] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)
    """IgnoreRule -> the leaks that it kept out of sight at the end."""

    @property
    def judged(self) -> bool:
        """Whether any target could be judged."""
        return len(self.unjudged) < len(self.kept)


class Complaints:
    """Passes on the first complaints, and counts the rest."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._count = 0

    def __call__(self, line: str) -> None:
        """Take in one."""
        self._count += 1
        if self._count <= SHOWN:
            self._say(line)

    def close(self) -> None:
        """Say how many were not passed on."""
        if self._count > SHOWN:
            self._say(f"and {self._count - SHOWN} more of this kind")


def read(paths: Sequence[Path], own_code: Sequence[str], say: Say) -> list[Recording]:
    """Return the recordings at `paths`: folders of bodies, CSV files, bodies; raises ConfigError.

    `own_code`: prefixes of functions that are own code wherever their files lie.
    """
    identifier = Identifier(own_code)
    recordings: list[Recording] = []
    folders = []
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path}: there is no such file or folder")
        if path.is_file() and path.suffix == ".csv":
            try:
                recordings.append(Table(path, identifier, say))
            except OSError as error:
                raise ConfigError(f"{path}: {error.strerror}") from error
        else:
            folders.append(path)
    recordings += find(folders, identifier, say)
    tell_apart(recordings, say)
    return recordings


def analyze(recordings: Sequence[Recording], settings: DetectionSettings, advance: Callable[[], None]) -> Analysis:
    """Play `recordings` through the pipeline; `advance` is called after each profile."""
    pipeline = Pipeline(settings)
    seen: Seen = {}
    leaving = _leaving(recordings, 2 * settings.block)
    states: dict[Target, TargetState] = {}
    judged: set[Target] = set()
    folded: dict[Target, int] = {}
    for observation in merge(recordings):
        advance()
        if observation is not None:
            time, target, total, samples = observation
            while leaving and leaving[-1][0] <= time:
                for event in pipeline.leave(leaving.pop()[1], time):
                    _remember(seen, event)
            for event in pipeline.observe(target, time, total, samples):
                _remember(seen, event)
            states[target] = pipeline.targets[target]
            history = states[target].history
            if target not in judged and _can_judge(history):
                judged.add(target)
            if history.folded_stacks:
                folded[target] = max(folded.get(target, 0), history.folded_stacks)
    still_open = {(leak.service, leak.stack.fingerprint): leak for leak in pipeline.open_leaks()}
    seen = _told_once(still_open, {key: leak for key, leak in seen.items() if key not in still_open})
    found = Analysis([kept for one in recordings for kept in one.kept], settings.block)
    found.leaks = sorted(seen.values(), key=lambda leak: -leak.grew.rate)
    found.unjudged = [
        (kept, _why(kept, states, settings.block)) for kept in found.kept if kept.target not in judged
    ]
    found.folded = folded
    found.ignored = {rule: leaks for rule, leaks in pipeline.leaks.ignored().items() if leaks}
    found.unmatched = unmatched(
        settings.ignore,
        ((stack, t.shown) for t, state in states.items() for stack in state.history.stacks if stack is not None),
    )
    return found


def _leaving(recordings: Sequence[Recording], grace: float) -> list[tuple[float, Target]]:
    """Return the targets whose service goes on without them, and when: `grace` seconds after their last profile.

    The latest comes first.
    """
    last: dict[Target, float] = {}
    for kept in (kept for one in recordings for kept in one.kept if kept.times):
        last[kept.target] = max(kept.times[-1], last.get(kept.target, 0.0))
    ends: dict[str, float] = {}
    for target, end in last.items():
        ends[target.service] = max(end, ends.get(target.service, 0.0))
    gone = [(end + grace, target) for target, end in last.items() if end + grace <= ends[target.service]]
    return sorted(gone, key=lambda leave: -leave[0])


def _can_judge(history: History) -> bool:
    """Tell whether any window has the profiles that it asks for."""
    return history.closed >= LEAST and any(
        quarter_columns(columns, window)
        for columns, windows in ((history.blocks, BLOCK_WINDOWS), (history.hours, HOUR_WINDOWS))
        for window in windows
    )


def _why(kept: RecordedTarget, states: Mapping[Target, TargetState], block: float) -> str:
    """Return why a target could not be judged."""
    if kept.profiles < 2:
        return "one profile is nothing to compare with" if kept.profiles else "none of its profiles could be read"
    if kept.spacing.longest < LEAST * block:
        why = f"the longest stretch without a gap is {format_duration(kept.spacing.longest)}"
    elif restarts := states[kept.target].restarts:
        why = f"its process restarted {restarts} times"
    elif kept.spacing.step > block:
        why = f"its profiles are {format_duration(kept.spacing.step)} apart"
    else:
        why = "too many of its profiles are missing"
    return f"{why}: it takes {LEAST} blocks of {format_duration(block)} in a row"


def _remember(seen: Seen, event: Event) -> None:
    """Keep the last that is known of a leak, also of one that is over; what was a suspicion only is dropped."""
    key = event.leak.service, event.leak.stack.fingerprint
    if event.leak.verdict is not Verdict.NORMAL:
        seen[key] = event.leak
    elif key in seen and seen[key].highest < Verdict.LEAKING:
        del seen[key]
    elif key in seen:
        seen[key] = replace(seen[key], highest=max(event.leak.highest, seen[key].highest))


def _told_once(still_open: Seen, closed: Seen) -> Seen:
    """Return all leaks but those closed that belong to another one: told alone before that was known."""
    found = still_open | closed
    for key, leak in list(found.items()):
        if key in found:
            for related in leak.related:
                other = leak.service, related.fingerprint
                if other in closed and closed[other].highest <= leak.highest:
                    found.pop(other, None)
    return found


def to_json(analysis: Analysis) -> str:
    """Return the answer as one JSON object, times in unix seconds."""
    answer = {
        "block": round(analysis.block, 3),
        "targets": [
            {
                "service": kept.target.service,
                "target": kept.target.name,
                "profiles": kept.profiles,
                "skipped": kept.skipped,
                "first": kept.first,
                "last": kept.last,
            }
            for kept in analysis.kept
        ],
        "leaks": [leak_json(leak) for leak in analysis.leaks],
    }
    return json.dumps(answer, indent=2, ensure_ascii=False) + "\n"
