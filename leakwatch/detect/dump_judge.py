"""Judges the stacks or sites of a target by a full dump."""

from leakwatch.detect.alive import liveness_of
from leakwatch.detect.detector import Detector
from leakwatch.detect.dumped import DumpedStack, DumpedStacks
from leakwatch.detect.history import History
from leakwatch.detect.liveness import Liveness, living
from leakwatch.detect.stuck import score_stuck


def observe_dump(
    detector: Detector[History], history: History, time: float, stacks: DumpedStacks, everyone: DumpedStack
) -> None:
    """Record a full dump in a history, and update the cases of the detector.

    `stacks`: the stacks or sites of the history; `everyone`: all goroutines of the process.
    """
    known = {fingerprint: stack for fingerprint, stack in stacks.items() if fingerprint in history.rows}
    if not history.dumps.record(time, known, everyone):
        return
    history.dumps.liveness = Liveness(
        {
            fingerprint: liveness_of(history, history.rows[fingerprint], stack, time)
            for fingerprint, stack in known.items()
        }
        | {fingerprint: living(len(history.dumps.waits[fingerprint])) for fingerprint in history.dumps.living}
    )
    detector.judge_dump(history, score_stuck(history))
