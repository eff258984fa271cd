"""What is known and thought of one target, and of all targets of a service together. State; time comes in."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from leakwatch.detect import pool_scores as pooling
from leakwatch.detect.columns import BLOCKS, SCRAPES_PER_BLOCK
from leakwatch.detect.daily import Daily
from leakwatch.detect.detector import Detector, patience
from leakwatch.detect.growth import score_blocks, score_hours
from leakwatch.detect.history import History
from leakwatch.detect.min_age import Lows, lows, older
from leakwatch.detect.proof import confirm
from leakwatch.detect.restarts import ProcessTracker
from leakwatch.detect.series import Series
from leakwatch.leaks.findings import ProbeResults
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.sites import Functions, Sites
from leakwatch.leaks.tracker import Judged, Proven
from leakwatch.model import NO_GROWTH, Fingerprint, Judgement, Target, Verdict

EXPLAINS: Final = 0.5  # of the growth: what is proven was counted a little earlier, and the runtime may miss some


class TargetState:
    """All that is known of one target: the latest total, the history, what is thought of its stacks."""

    def __init__(self, target: Target, settings: DetectionSettings, functions: Functions) -> None:
        self.target = target
        self.total = 0
        self.restarts = 0
        self._lows: dict[Fingerprint, Lows] = {}
        self._lows_at = (0.0, 0.0, 0)
        self.replacement = False
        """Whether it has taken another target's place."""
        self.identity = ProcessTracker()
        self.mixed_since: float | None = None
        """Since when several processes answer in turn."""
        self.answers = ProbeResults()
        self._functions = functions
        self.forget(settings)

    def forget(self, settings: DetectionSettings) -> None:
        """Begin anew, with no history."""
        self.history = History(settings.block, settings.series_limit)
        self.sites = Sites(self.history, self._functions)
        self.detector: Detector[Series] = Detector(score_blocks, score_hours, Daily())
        self.site_detector: Detector[Series] = Detector(score_blocks, score_hours)
        self.judged: Judged = {}
        self.judged_sites: Judged = {}

    def judge(self, siblings: Collection["TargetState"]) -> None:
        """Judge stacks and sites when a block has closed; `siblings`: the other targets of the service."""
        _judge(self.detector, self.history, [other.history for other in siblings])
        _judge(self.site_detector, self.sites, [other.sites for other in siblings])
        self.learn()

    def learn(self) -> None:
        """Judge by what is proven."""
        self._weigh_proof()
        if self.proven:
            confirm(self.detector, self.history, self.proven, self.answers.more_proven)
            confirm(self.site_detector, self.sites, self.proven)
        self.update_judgements()

    def update_judgements(self) -> None:
        """Say what is thought now."""
        self.judged = self.detector.judgements(self.history)
        self.judged_sites = self.site_detector.judgements(self.sites)

    @property
    def judgements(self) -> Judged:
        """What is thought of stacks and sites."""
        return {**self.judged, **self.judged_sites}

    @property
    def proven(self) -> Proven:
        """Stack or site -> goroutines of which the runtime says that nothing can wake them."""
        proof = self.answers.proof
        return {key: proof.goroutines.get(key, 0) for key in self.answers.convincing} if proof else {}

    def _weigh_proof(self) -> None:
        """Take for proven what explains the growth: one that was lost long ago is no proof of a hundred."""
        answers, judgements = self.answers, self.judgements
        if answers.proof is None:
            return
        answers.convincing |= set(answers.more_proven)
        for key, goroutines in answers.proof.goroutines.items():
            said = judgements.get(key)
            grown = said[1].gained if said else self.count(key)
            if goroutines and goroutines >= EXPLAINS * grown:
                answers.convincing.add(key)

    def older(self, fingerprint: Fingerprint) -> Mapping[float, int]:
        """Return seconds -> goroutines of a stack or site that are at least as old, as their counts show."""
        series: History = self.history if fingerprint in self.history.rows else self.sites
        row = series.rows.get(fingerprint)
        if row is None:
            return {}
        said = self.judgement_of(fingerprint)
        before = said.before if said else math.nan
        return older(self._lows_of(series, fingerprint), int(series.last[row]), before)

    def _lows_of(self, series: History, fingerprint: Fingerprint) -> Lows:
        """Return the lows of a stack or site, which are asked for far more often than blocks close."""
        block = (series.block_start, series.block, self.restarts)
        if self._lows_at != block:
            self._lows_at, self._lows = block, {}
        found = self._lows.get(fingerprint)
        if found is None:
            found = self._lows[fingerprint] = lows(series, series.rows[fingerprint])
        return found

    def judgement_of(self, fingerprint: Fingerprint) -> Judgement | None:
        """Return what is thought of a stack or site."""
        found = self.judged.get(fingerprint) or self.judged_sites.get(fingerprint)
        return found[1] if found else None

    def series(self, fingerprint: Fingerprint) -> "JudgedSeries | None":
        """Return the series of a stack or site, None if the target has no series of it."""
        history: History
        for history in (self.history, self.sites):
            row = history.rows.get(fingerprint)
            if row is not None:
                return JudgedSeries(history, row, self.judgement_of(fingerprint))
        return None

    def restart(self) -> None:
        """Begin a new lifetime."""
        self.restarts += 1
        self.answers.restart()
        self.history.restart()
        self.sites.restart()
        self.detector.restart(self.history)
        self.site_detector.restart(self.sites)
        self.update_judgements()

    def mixed(self, time: float) -> "DepartedTarget":
        """Return what is known from when one process answered: it is as if that one had gone away."""
        if self.mixed_since is None:
            self.mixed_since = time
            self.answers.restart()
        return DepartedTarget(self.mixed_since, self)

    def take_over(self, old: "TargetState") -> None:
        """Take over what is known of a target that is gone, and whose place this one takes."""
        old.restart()
        self.replacement = True
        self.identity.take_over(old.identity)
        for history, its in ((self.history, old.history), (self.sites, old.sites)):
            history.adopt(its)
        self.detector.take_over(old.detector, self.history)
        self.site_detector.take_over(old.site_detector, self.sites)
        self.update_judgements()

    def stretch(self, interval: float, block: float) -> bool:
        """Fit the block to scrapes `interval` seconds apart, if possible `block`; tell whether it had to grow."""
        grew = False
        for history, detector in ((self.history, self.detector), (self.sites, self.site_detector)):
            before = history.closed
            if history.fit(interval):
                detector.stretch(history, before)
                grew = True
        if SCRAPES_PER_BLOCK * interval <= block and self.history.closed >= BLOCKS and not self.judgements:
            self.history.shrink()
            self.sites.shrink()
        return grew

    def count(self, fingerprint: Fingerprint) -> int:
        """Return the goroutines now in a stack or at a site."""
        series: History = self.history
        row = series.rows.get(fingerprint)
        if row is None:
            series = self.sites
            row = series.rows.get(fingerprint)
        return 0 if row is None else int(series.last[row])


@dataclass(frozen=True, slots=True)
class JudgedSeries:
    """A stack or site of one target: its row in `history`, and its judgement, None if it is normal."""

    history: History
    row: int
    judgement: Judgement | None

    @property
    def count(self) -> int:
        """The goroutines of the latest scrape."""
        return int(self.history.last[self.row])


@dataclass(frozen=True, slots=True)
class DepartedTarget:
    """A target that went away at `time`, and what was known of it."""

    time: float
    state: TargetState

    def judged(self, time: float) -> Judged:
        """Return what is still thought of it at `time`: the process has gone, the cause of a leak has not."""
        waited, block = time - self.time, self.state.history.block
        return {
            key: (stack, replace(said, restarted=True, growth=NO_GROWTH))
            for key, (stack, said) in self.state.judgements.items()
            if said.verdict >= Verdict.LEAKING and waited < patience(said.grew, block)
        }


def _judge(detector: Detector[Series], history: History, siblings: Sequence[History]) -> None:
    def is_explained(fingerprint: Fingerprint, window: str) -> bool:
        return window not in pooling.BLATANT and not pooling.stands_out(history, siblings, fingerprint)

    detector.judge(history, is_explained)
