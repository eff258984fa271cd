"""What is known and thought of one target, and of all targets of a service together. State; time comes in."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from leakwatch.detect import pool_scores as pooling
from leakwatch.detect.columns import BLOCKS, SCRAPES_PER_BLOCK
from leakwatch.detect.daily import Daily
from leakwatch.detect.detector import Detector, patience
from leakwatch.detect.growth import score_blocks, score_hours
from leakwatch.detect.history import History
from leakwatch.detect.min_age import Lows, lows, older
from leakwatch.detect.pool import Pool
from leakwatch.detect.proof import convict
from leakwatch.detect.restarts import Identity
from leakwatch.detect.series import Series
from leakwatch.leaks.findings import Answers
from leakwatch.leaks.ignore import Rule
from leakwatch.leaks.ownership.go_modules import Repository
from leakwatch.leaks.ownership.source_links import Links
from leakwatch.leaks.sites import Functions, Sites
from leakwatch.leaks.tracker import Judged, Proven
from leakwatch.model import NO_GROWTH, Fingerprint, Judgement, Stack, Target, Verdict

EXPLAINS: Final = 0.5  # of the growth: what is proven was counted a little earlier, and the runtime may miss some


@dataclass(frozen=True, slots=True)
class Settings:
    """How to judge.

    `block`: seconds; `own_code`: prefixes; `owners`: package, type or function -> team; `series_limit`: kept per
    target; `ignore`: what is kept out of sight; `repositories`: whose that is which `owners` does not name;
    `links`: where sources are shown.
    """

    block: float = 300.0
    own_code: tuple[str, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict)
    series_limit: int = 1000
    ignore: tuple[Rule, ...] = ()
    repositories: tuple[Repository, ...] = ()
    links: Links = field(default_factory=Links)


class Watch:
    """All that is known of one target: the latest total, the history, what is thought of its stacks."""

    def __init__(self, target: Target, settings: Settings, functions: Functions) -> None:
        self.target = target
        self.total = 0
        self.restarts = 0
        self._lows: dict[Fingerprint, Lows] = {}
        self._lows_at = (0.0, 0.0, 0)
        self.heir = False
        """Whether it has taken another target's place."""
        self.identity = Identity()
        self.mixed_since: float | None = None
        """Since when several processes answer in turn."""
        self.answers = Answers()
        self._functions = functions
        self.forget(settings)

    def forget(self, settings: Settings) -> None:
        """Begin anew, with no history."""
        self.history = History(settings.block, settings.series_limit)
        self.sites = Sites(self.history, self._functions)
        self.detector: Detector[Series] = Detector(score_blocks, score_hours, Daily())
        self.site_detector: Detector[Series] = Detector(score_blocks, score_hours)
        self.judged: Judged = {}
        self.judged_sites: Judged = {}

    def judge(self, siblings: Collection["Watch"]) -> None:
        """Judge stacks and sites when a block has closed; `siblings`: the other targets of the service."""
        _judge(self.detector, self.history, [other.history for other in siblings])
        _judge(self.site_detector, self.sites, [other.sites for other in siblings])
        self.learn()

    def learn(self) -> None:
        """Judge by what is proven."""
        self._weigh_proof()
        if self.proven:
            convict(self.detector, self.history, self.proven, self.answers.more_proven)
            convict(self.site_detector, self.sites, self.proven)
        self.conclude()

    def conclude(self) -> None:
        """Say what is thought now."""
        self.judged = self.detector.judgements(self.history)
        self.judged_sites = self.site_detector.judgements(self.sites)

    @property
    def thoughts(self) -> Judged:
        """What is thought of stacks and sites."""
        return {**self.judged, **self.judged_sites}

    @property
    def proven(self) -> Proven:
        """Stack or site -> goroutines of which the runtime says that nothing can wake them."""
        proof = self.answers.proof
        return {key: proof.goroutines.get(key, 0) for key in self.answers.convincing} if proof else {}

    def _weigh_proof(self) -> None:
        """Take for proven what explains the growth: one that was lost long ago is no proof of a hundred."""
        answers, thoughts = self.answers, self.thoughts
        if answers.proof is None:
            return
        answers.convincing |= set(answers.more_proven)
        for key, goroutines in answers.proof.goroutines.items():
            said = thoughts.get(key)
            grown = said[1].gained if said else self.count(key)
            if goroutines and goroutines >= EXPLAINS * grown:
                answers.convincing.add(key)

    def older(self, fingerprint: Fingerprint) -> Mapping[float, int]:
        """Return seconds -> goroutines of a stack or site that are at least as old, as their counts show."""
        series: History = self.history if fingerprint in self.history.rows else self.sites
        row = series.rows.get(fingerprint)
        if row is None:
            return {}
        said = self.thought(fingerprint)
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

    def thought(self, fingerprint: Fingerprint) -> Judgement | None:
        """Return what is thought of a stack or site."""
        found = self.judged.get(fingerprint) or self.judged_sites.get(fingerprint)
        return found[1] if found else None

    def restart(self) -> None:
        """Begin a new lifetime."""
        self.restarts += 1
        self.answers.restart()
        self.history.restart()
        self.sites.restart()
        self.detector.restart(self.history)
        self.site_detector.restart(self.sites)
        self.conclude()

    def mixed(self, time: float) -> "Gone":
        """Return what is known from when one process answered: it is as if that one had gone away."""
        if self.mixed_since is None:
            self.mixed_since = time
            self.answers.restart()
        return Gone(self.mixed_since, self)

    def inherit(self, old: "Watch") -> None:
        """Take over what is known of a target that is gone, and whose place this one takes."""
        old.restart()
        self.heir = True
        self.identity.inherit(old.identity)
        for history, its in ((self.history, old.history), (self.sites, old.sites)):
            history.adopt(its)
        self.detector.inherit(old.detector, self.history)
        self.site_detector.inherit(old.site_detector, self.sites)
        self.conclude()

    def stretch(self, interval: float, block: float) -> bool:
        """Fit the block to scrapes `interval` seconds apart, if possible `block`; tell whether it had to grow."""
        grew = False
        for history, detector in ((self.history, self.detector), (self.sites, self.site_detector)):
            before = history.closed
            if history.fit(interval):
                detector.stretch(history, before)
                grew = True
        if SCRAPES_PER_BLOCK * interval <= block and self.history.closed >= BLOCKS and not self.thoughts:
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
class Gone:
    """A target that went away at `time`, and what was known of it."""

    time: float
    watch: Watch

    def judged(self, time: float) -> Judged:
        """Return what is still thought of it at `time`: the process has gone, the cause of a leak has not."""
        waited, block = time - self.time, self.watch.history.block
        return {
            key: (stack, replace(said, restarted=True, growth=NO_GROWTH))
            for key, (stack, said) in self.watch.thoughts.items()
            if said.verdict >= Verdict.LEAKING and waited < patience(said.grew, block)
        }


class Pooled:
    """The targets of a service judged as one: their stacks or their sites."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._detector = Detector(pooling.score_blocks, pooling.score_hours)

    def is_due(self, time: float) -> bool:
        """Tell whether a block has ended."""
        return self._pool.is_due(time)

    def judge(self, time: float, histories: Mapping[str, History]) -> Judged:
        """Return what is thought of all `histories` by target, when a block has ended."""
        self._pool.follow(histories)
        self._pool.protected = self._detector.cases
        self._pool.advance(time)
        self._detector.judge(self._pool)
        said = self._detector.judgements(self._pool)
        return {key: self._on_targets(key, *one, histories) for key, one in said.items()}

    def _on_targets(
        self, key: Fingerprint, stack: Stack, judgement: Judgement, histories: Mapping[str, History]
    ) -> tuple[Stack, Judgement]:
        targets = pooling.grown_targets(self._pool, self._pool.rows[key], 24)
        for history in histories.values():  # theirs has the lines of the latest build
            if key in history.rows:
                stack = history.stacks[history.rows[key]] or stack
        return stack, replace(judgement, targets=tuple(targets))


class Service:
    """The targets that run the same program, and what is thought of all of them together."""

    def __init__(self) -> None:
        self.watches: dict[str, Watch] = {}
        """By the names of their targets."""
        self.gone: dict[Target, Gone] = {}
        self.functions = Functions()
        self.judged: Judged = {}
        """What was last thought of all together."""
        self._pooled: tuple[Pooled, Pooled] | None = None

    def on(self, targets: Iterable[str]) -> list[Watch]:
        """Return the watches of `targets` that are there."""
        return [self.watches[name] for name in targets if name in self.watches]

    def forget(self) -> None:
        """Begin anew, with no history."""
        self.gone = {}
        self.functions.clear()
        self.judged = {}
        self._pooled = None

    def judge(self, time: float, block: float) -> Judged | None:
        """Return what is thought of the service, None if that cannot have changed since the last time."""
        if len(self.watches) < 2 and not self.gone:
            alone, self._pooled = self._pooled is not None, None
            self.judged = {}
            return self.judged if alone else None
        if self._pooled is None:
            stacks = Pool(block, time)
            self._pooled = Pooled(stacks), Pooled(Pool(block, time, stacks))
        if not self._pooled[0].is_due(time):
            return None
        of_stacks, of_sites = self._pooled
        self.judged = {
            **of_stacks.judge(time, {name: watch.history for name, watch in self.watches.items()}),
            **of_sites.judge(time, {name: watch.sites for name, watch in self.watches.items()}),
        }
        return self.judged


def _judge(detector: Detector[Series], history: History, siblings: Sequence[History]) -> None:
    def excused(fingerprint: Fingerprint, window: str) -> bool:
        return window not in pooling.BLATANT and not pooling.stands_out(history, siblings, fingerprint)

    detector.judge(history, excused)
