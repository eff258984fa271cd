"""State of one service: its targets, its pooled history and judgements."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from leakwatch.detect.detector import Detector
from leakwatch.detect.history import History
from leakwatch.detect.pool import Pool
from leakwatch.detect.pool_scores import grown_targets, score_blocks, score_hours
from leakwatch.leaks.sites import Functions
from leakwatch.leaks.target_state import DepartedTarget, TargetState
from leakwatch.leaks.tracker import Judged
from leakwatch.model import Fingerprint, Judgement, Stack, Target


class PooledDetector:
    """The targets of a service judged as one: their stacks or their sites."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._detector = Detector(score_blocks, score_hours)

    def is_due(self, time: float) -> bool:
        """Tell whether a block has ended."""
        return self._pool.is_due(time)

    def judge(self, time: float, histories: Mapping[str, History]) -> Judged:
        """Return what is thought of all `histories` by target, when a block has ended."""
        self._pool.set_members(histories)
        self._pool.advance(time, protected=self._detector.cases)
        self._detector.judge(self._pool)
        said = self._detector.judgements(self._pool)
        return {key: self._on_targets(key, *one, histories) for key, one in said.items()}

    def _on_targets(
        self, key: Fingerprint, stack: Stack, judgement: Judgement, histories: Mapping[str, History]
    ) -> tuple[Stack, Judgement]:
        targets = grown_targets(self._pool, self._pool.rows[key], 24)
        for history in histories.values():  # theirs has the lines of the latest build
            if key in history.rows:
                stack = history.stacks[history.rows[key]] or stack
        return stack, replace(judgement, targets=tuple(targets))


class ServiceState:
    """The targets that run the same program, and what is thought of all of them together."""

    def __init__(self) -> None:
        self.targets: dict[str, TargetState] = {}
        """By the names of their targets."""
        self.gone: dict[Target, DepartedTarget] = {}
        self.functions = Functions()
        self.judged: Judged = {}
        """What was last thought of all together."""
        self._pooled: tuple[PooledDetector, PooledDetector] | None = None

    def on(self, targets: Iterable[str]) -> list[TargetState]:
        """Return the watches of `targets` that are there."""
        return [self.targets[name] for name in targets if name in self.targets]

    def forget(self) -> None:
        """Begin anew, with no history."""
        self.gone = {}
        self.functions.clear()
        self.judged = {}
        self._pooled = None

    def judge(self, time: float, block: float) -> Judged | None:
        """Return what is thought of the service, None if that cannot have changed since the last time."""
        if len(self.targets) < 2 and not self.gone:
            alone, self._pooled = self._pooled is not None, None
            self.judged = {}
            return self.judged if alone else None
        if self._pooled is None:
            stacks = Pool(block, time)
            self._pooled = PooledDetector(stacks), PooledDetector(Pool(block, time, stacks))
        if not self._pooled[0].is_due(time):
            return None
        of_stacks, of_sites = self._pooled
        self.judged = {
            **of_stacks.judge(time, {name: state.history for name, state in self.targets.items()}),
            **of_sites.judge(time, {name: state.sites for name, state in self.targets.items()}),
        }
        return self.judged
