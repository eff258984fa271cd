"""The targets from which to request full dumps, and the times. Pure.

A dump is requested when the growth of a stack might be that of stuck goroutines, while a stack is suspected or
leaks, and every two hours, so that there is a dump to compare with. Dumps of three targets are enough for a
service, because the dump of one target also counts for the others.
"""

from collections.abc import Sequence
from typing import Final

from leakwatch.detect.case import SUSPECT, Case
from leakwatch.leaks.service_state import ServiceState
from leakwatch.leaks.target_state import TargetState
from leakwatch.leaks.tracker import LeakOnTarget
from leakwatch.model import Verdict

PAUSE: Final = 900.0  # seconds between two dumps of a target
NEW_LEAK_BLOCKS: Final = 3  # between two dumps, if a leak is new: no dump has its callers yet
SPAN_SHARE: Final = 6  # dumps per span of the growth; W needs two dumps that are a third of a span apart
LEAK_PAUSE: Final = 3600.0  # seconds, if the only reason is a leak that is known
BASELINE: Final = 7200.0  # seconds, without a reason
MIN_BLOCKS: Final = 1  # of a lifetime: no wait time of a younger process is useful
TARGETS: Final = 3  # of a service


def wants_dump(state: TargetState, service: ServiceState, leaks: Sequence[LeakOnTarget], time: float) -> bool:
    """Return whether to request a full dump of a target of a service; `leaks`: on this target."""
    last = state.history.dumps.time
    elapsed = float("inf") if last is None else time - last
    is_new = _has_new_leak(state, leaks)
    shortest = min(PAUSE, NEW_LEAK_BLOCKS * state.history.block) if is_new else PAUSE
    if elapsed < shortest or state.history.closed < MIN_BLOCKS:
        return False
    is_suspected = is_new or _is_suspected(state)
    pause = min(state.grown_within / SPAN_SHARE, LEAK_PAUSE if leaks else BASELINE)
    if elapsed < pause and not is_suspected:
        return False
    dumped = [other.history.dumps.time for other in service.targets.values() if other is not state]
    times = [each for each in dumped if each is not None]
    if sum(time - each < PAUSE for each in times) >= TARGETS:
        return False
    return last is not None or is_suspected or len(times) < TARGETS


def _has_new_leak(state: TargetState, leaks: Sequence[LeakOnTarget]) -> bool:
    """Return whether a leak is newer than the latest dump, which then lacks its wait times or was not stored."""
    dump = state.probe_results.full_dump
    if dump is None:
        return False
    history = state.history
    since = max((case.verdict_block for case in _cases(state) if case.verdict is Verdict.LEAKING), default=0)
    verdict_time = history.block_start - (history.closed - since) * history.block
    return dump.time < verdict_time or any(leak.stack.fingerprint not in dump.waiting for leak in leaks)


def _is_suspected(state: TargetState) -> bool:
    return any(case.verdict is Verdict.SUSPECTED and case.score >= SUSPECT for case in _cases(state))


def _cases(state: TargetState) -> list[Case]:
    return [*state.detector.cases.values(), *state.site_detector.cases.values()]
