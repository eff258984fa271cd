"""State of one target: health, history and judgements. Callers pass the time."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from leakwatch.detect.case import grace_period
from leakwatch.detect.columns import BLOCKS, SCRAPES_PER_BLOCK
from leakwatch.detect.daily import DailyScorer
from leakwatch.detect.detector import Detector
from leakwatch.detect.dump_history import all_goroutines
from leakwatch.detect.dump_judge import observe_dump
from leakwatch.detect.dumped import DumpedStacks
from leakwatch.detect.finalizers import stuck_finalizers
from leakwatch.detect.growth import score_blocks, score_hours
from leakwatch.detect.history import History
from leakwatch.detect.liveness import merged_liveness
from leakwatch.detect.min_age import Lows, lows, older
from leakwatch.detect.plain import Plain, PlainReader, PlainWriter, SharedObjects, SharedValues
from leakwatch.detect.pool_scores import stands_out
from leakwatch.detect.proof import confirm
from leakwatch.detect.restarts import ProcessTracker
from leakwatch.detect.stuck import grown_within
from leakwatch.detect.windows import Window
from leakwatch.errors import quote
from leakwatch.leaks.findings import ProbeResults
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.sites import Functions, Sites
from leakwatch.model import (
    NO_GROWTH,
    Fingerprint,
    JudgedStack,
    JudgedStacks,
    Judgement,
    Target,
    TargetHealth,
    Verdict,
)
from leakwatch.profile.label_counts import LabelCounts


@dataclass(frozen=True, slots=True)
class Series:
    """The counts of one stack or site over time: a row of a history; `count`: goroutines in the latest profile."""

    history: History
    row: int
    count: int


class TargetState:
    """All state of one target: health, totals, history, judgements and results of probes."""

    STATE: ClassVar = {
        "target": Target,
        "health": TargetHealth,
        "total": int,
        "restarts": int,
        "replacement": bool,
        "process_tracker": ProcessTracker,
        "mixed_since": float | None,
        "probe_results": ProbeResults,
        "is_observed": bool,
        "history": History,
        "sites": Sites,
        "detector": Detector,
        "site_detector": Detector,
        "_daily": DailyScorer,
        "judged": JudgedStacks,
        "judged_sites": JudgedStacks,
    }

    def __init__(self, target: Target, settings: DetectionSettings, functions: Functions) -> None:
        self.target = target
        self.health = TargetHealth()
        self.total = 0
        """Goroutines in the latest profile."""
        self.restarts = 0
        self.replacement = False
        """Whether the target took over the state of a removed one."""
        self.process_tracker = ProcessTracker()
        self.mixed_since: float | None = None
        """Time since which several processes answer, None if one does."""
        self.probe_results = ProbeResults()
        self.labels: LabelCounts = {}
        """Labels of suspected stacks without own code in the latest profile, a cache."""
        self.grown_within = math.inf
        """The shortest span in which a stack grew by so much that a full dump may confirm a leak, in seconds."""
        self._lows: dict[Fingerprint, Lows] = {}
        self._lows_block = (0.0, 0.0, 0)
        self.clear(settings, functions)

    def clear(self, settings: DetectionSettings, functions: Functions) -> None:
        """Start over without history."""
        self.is_observed = False
        """Whether the pipeline has recorded a profile."""
        self._settings = settings
        self.history = History(settings.block, settings.series_limit)
        self.sites = Sites(self.history, functions)
        self._daily = DailyScorer()
        self.detector: Detector[History] = Detector(score_blocks, self._daily.score_hours)
        self.site_detector: Detector[History] = Detector(score_blocks, score_hours)
        self.judged: JudgedStacks = {}
        self.judged_sites: JudgedStacks = {}

    def to_plain(self, shared: SharedValues, now: float) -> Plain:
        """Return the state as plain values; `shared`: of the service, `now`: seconds of the stopwatch."""
        writer, settings = PlainWriter(shared, now), self._settings
        return writer.document(writer.state(self), block=settings.block, series_limit=settings.series_limit)

    @classmethod
    def from_plain(
        cls,
        plain: Any,
        shared: SharedObjects,
        settings: DetectionSettings,
        functions: Functions,
        *,
        now: float,
    ) -> "TargetState":
        """Return the state that `to_plain` converted. Raise StateError if it is invalid or has other settings."""
        block, series_limit = settings.block, settings.series_limit
        reader = PlainReader.document(plain, "target", shared, now, block=block, series_limit=series_limit)
        state = cls(reader["target"].read(Target), settings, functions)
        reader.place = f"target {quote(state.target.name)}"
        reader.fill(state)
        if not state.detector.cases.keys() <= state.history.rows.keys():
            raise reader["detector"].error("has cases without a series")
        if not state.site_detector.cases.keys() <= state.sites.rows.keys():
            raise reader["site_detector"].error("has cases without a series")
        return state

    def adopt(self, other: "TargetState") -> None:
        """Continue with the history and the judgements of `other`, another state of the same target."""
        own = {name: getattr(self, name) for name in ("target", "health", "total", "probe_results")}
        vars(self).update({**vars(other), **own})

    def judge(self, siblings: Collection["TargetState"]) -> None:
        """Judge all stacks and sites after a block has closed; `siblings`: the other targets of the service."""
        _judge(self.detector, self.history, [sibling.history for sibling in siblings])
        _judge(self.site_detector, self.sites, [sibling.sites for sibling in siblings])
        self.grown_within = min(
            grown_within(self.history, self.detector.leaking), grown_within(self.sites, self.site_detector.leaking)
        )
        self.apply_proof()

    def observe_dump(self, time: float, stacks: DumpedStacks) -> None:
        """Record a full dump, and judge the stacks and sites with stuck goroutines."""
        everyone = all_goroutines(stacks)
        observe_dump(self.detector, self.history, time, stacks, everyone)
        observe_dump(self.site_detector, self.sites, time, self.sites.dumped(stacks), everyone)
        self.update_judgements()

    def apply_proof(self) -> None:
        """Confirm the stacks and sites that the runtime proves to leak."""
        self.probe_results.select_convincing(self.judgements, self.count)
        if self.proven:
            confirm(self.detector, self.history, self.proven, self.probe_results.more_proven)
            confirm(self.site_detector, self.sites, self.proven)
        self.update_judgements()

    def update_judgements(self) -> None:
        """Derive the judgements from the cases of the detectors."""
        self.judged = {**stuck_finalizers(self.history), **self.detector.judgements(self.history)}
        self.judged_sites = self.site_detector.judgements(self.sites)

    @property
    def judgements(self) -> JudgedStacks:
        """The judged stacks and sites."""
        return {**self.judged, **self.judged_sites}

    def judgement_of(self, fingerprint: Fingerprint) -> Judgement | None:
        """Return the judgement of a stack or site, None if it is normal."""
        judged = self.judged.get(fingerprint) or self.judged_sites.get(fingerprint)
        return judged.judgement if judged else None

    @property
    def proven(self) -> Mapping[Fingerprint, int]:
        """Stack or site -> goroutines that the runtime reports as leaked."""
        proof = self.probe_results.proof
        if proof is None:
            return {}
        return {key: proof.goroutines.get(key, 0) for key in self.probe_results.convincing}

    def series(self, fingerprint: Fingerprint) -> Series | None:
        """Return the series of a stack or site, None if there is none."""
        for history in (self.history, self.sites):
            row = history.rows.get(fingerprint)
            if row is not None:
                return Series(history, row, int(history.last[row]))
        return None

    def count(self, fingerprint: Fingerprint) -> int:
        """Return the goroutines of a stack or site in the latest profile."""
        series = self.series(fingerprint)
        return series.count if series else 0

    def older(self, fingerprint: Fingerprint) -> Mapping[float, int]:
        """Return age in seconds -> goroutines of a stack or site that are at least that old, by their counts."""
        series = self.series(fingerprint)
        if series is None:
            return {}
        judgement = self.judgement_of(fingerprint)
        before = judgement.before if judgement else math.nan
        return older(self._lows_of(series, fingerprint), series.count, before)

    def _lows_of(self, series: Series, fingerprint: Fingerprint) -> Lows:
        """Return the lows of a stack or site, cached until a block closes: reads are far more frequent."""
        history = series.history
        block = (history.block_start, history.block, self.restarts)
        if self._lows_block != block:
            self._lows_block, self._lows = block, {}
        if fingerprint not in self._lows:
            self._lows[fingerprint] = lows(history, series.row)
        return self._lows[fingerprint]

    def restart(self) -> None:
        """Begin a new lifetime."""
        self.restarts += 1
        self.probe_results.restart()
        self.labels = {}
        self.history.restart()
        self.sites.restart()
        self.detector.restart(self.history)
        self.site_detector.restart(self.sites)
        self.update_judgements()

    def mixed_judgements(self, time: float) -> JudgedStacks:
        """Return the judgements while several processes answer, as if the judged process had ended."""
        if self.mixed_since is None:
            self.mixed_since = time
            self.probe_results.restart()
        return self.fading_judgements(time - self.mixed_since)

    def fading_judgements(self, seconds: float) -> JudgedStacks:
        """Return the leaks that remain open `seconds` after the process ended: the next process may leak too."""
        return {
            key: JudgedStack(judged.stack, replace(judged.judgement, restarted=True, growth=NO_GROWTH))
            for key, judged in self.judgements.items()
            if judged.judgement.verdict >= Verdict.LEAKING
            and seconds < grace_period(judged.judgement.grew, self.history.block)
        }

    def take_over(self, old: "TargetState") -> None:
        """Continue with the state of a removed target that this target replaces."""
        old.restart()
        self.replacement = True
        self.process_tracker.take_over(old.process_tracker)
        self.history.take_over(old.history)
        self.sites.take_over(old.sites)
        self.detector.take_over(old.detector, self.history)
        self.site_detector.take_over(old.site_detector, self.sites)
        self.update_judgements()

    def stretch(self, interval: float) -> bool:
        """Fit the block to scrapes `interval` seconds apart; return whether the block grew.

        A block that had grown returns to its configured length if that fits again; this begins a new lifetime.
        """
        grew = False
        for history, detector in ((self.history, self.detector), (self.sites, self.site_detector)):
            closed = history.closed
            if history.fit(interval):
                detector.stretch(history, closed)
                grew = True
        fits = SCRAPES_PER_BLOCK * interval <= self._settings.block
        if fits and self.history.closed >= BLOCKS and not self.judgements:
            self.history.shrink()
            self.sites.shrink()
        return grew


@dataclass(frozen=True, slots=True)
class DepartedTarget:
    """State of a target that was removed at `time`."""

    time: float
    state: TargetState

    def judgements(self, time: float) -> JudgedStacks:
        """Return the leaks that remain open at `time`."""
        return self.state.fading_judgements(time - self.time)


def _judge(detector: Detector[History], history: History, siblings: Sequence[History]) -> None:
    time = history.block_start
    others = (sibling.dumps.liveness_at(time) for sibling in siblings)
    history.liveness = merged_liveness(history.dumps.liveness_at(time), others)

    def is_explained(fingerprint: Fingerprint, window: Window) -> bool:
        return window.must_stand_out and not stands_out(history, siblings, fingerprint)

    detector.judge(history, is_explained)
