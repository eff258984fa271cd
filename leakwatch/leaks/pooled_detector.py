"""Judges the stacks, or the sites, of all targets of a service as one."""

from collections.abc import Mapping
from dataclasses import replace

from leakwatch.detect.detector import Detector
from leakwatch.detect.history import History
from leakwatch.detect.plain import Plain, PlainReader, PlainWriter
from leakwatch.detect.pool import Pool
from leakwatch.detect.pool_scores import grown_targets, score_blocks, score_dumps, score_hours
from leakwatch.model import Fingerprint, JudgedStack, JudgedStacks


class PooledDetector:
    """Judges the stacks, or the sites, of all targets of a service as one."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._detector = Detector(score_blocks, score_hours)

    def to_plain(self, writer: PlainWriter, histories: Mapping[str, History]) -> Plain:
        """Return the state; `histories`: of all targets, by name."""
        return {"pool": self._pool.to_plain(writer, histories), "detector": writer.state(self._detector)}

    def restore(self, plain: PlainReader, histories: Mapping[str, History]) -> None:
        """Restore the state of another detector into this new one; `histories`: of all targets, by name."""
        self._pool.restore(plain["pool"], histories)
        plain["detector"].fill(self._detector)
        if not self._detector.cases.keys() <= self._pool.rows.keys():
            raise plain["detector"].error("has cases without a series")

    def is_due(self, time: float) -> bool:
        """Return whether a block has ended."""
        return self._pool.is_due(time)

    def judge(self, time: float, histories: Mapping[str, History]) -> JudgedStacks:
        """Return the judgements of all `histories`, by target name, after a block has ended."""
        self._pool.set_members(histories)
        self._pool.advance(time, protected=self._detector.cases)
        self._detector.judge(self._pool)
        return self._judgements(histories)

    def judge_dump(self, histories: Mapping[str, History]) -> JudgedStacks:
        """Return the judgements after a full dump of one of the targets; `histories`: of all, by name."""
        self._detector.judge_dump(self._pool, score_dumps(self._pool))
        return self._judgements(histories)

    def _judgements(self, histories: Mapping[str, History]) -> JudgedStacks:
        judgements = self._detector.judgements(self._pool)
        return {key: self._on_targets(key, judged, histories) for key, judged in judgements.items()}

    def _on_targets(self, key: Fingerprint, judged: JudgedStack, histories: Mapping[str, History]) -> JudgedStack:
        targets = grown_targets(self._pool, self._pool.rows[key], 24)
        stack = judged.stack
        for history in histories.values():  # the histories have the lines of the latest build
            if key in history.rows:
                stack = history.stacks[history.rows[key]] or stack
        return JudgedStack(stack, replace(judged.judgement, targets=tuple(targets)))
