"""Own code that other stacks of a service show in a call into a library. Pure; a cache."""

from collections.abc import Iterator, Sequence
from typing import Final

from leakwatch.detect.columns import MEAN
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Fingerprint, Frame, Stack
from leakwatch.profile.blame import IsOwn, innermost_own, part_of

TARGETS: Final = 8  # targets with stacks to search: replicas run the same code
MAX_STACKS: Final = 100_000
MAX_TARGETS: Final = 1000

Calls = dict[str, dict[str, tuple[Frame, float]]]
"""Part -> function of own code -> its frame, and its goroutines in the latest blocks."""


class SeenCalls:
    """The direct calls of own code into other parts in the stacks of a service.

    Each stack is examined once, and each target once per scrape, however many leaks need them: 1,000 stacks of a
    target take 4 ms at first and 0.4 ms later.
    """

    def __init__(self) -> None:
        self._stacks: dict[Fingerprint, tuple[Stack, str, Frame | None]] = {}
        self._targets: dict[str, tuple[float | None, Calls]] = {}
        """Target -> time of its latest scrape, and the calls in its stacks then."""

    def callers(self, part: str, states: Sequence[TargetState], is_own: IsOwn) -> list[Frame]:
        """Return the own code that calls a part directly on the first TARGETS targets, the most frequent first."""
        frames, presence = dict[str, Frame](), dict[str, float]()
        for state in states[:TARGETS]:
            for name, (frame, goroutines) in self._calls(state, is_own).get(part, {}).items():
                frames[name] = frame
                presence[name] = presence.get(name, 0.0) + goroutines
        return sorted(frames.values(), key=lambda frame: -presence[frame.function])

    def clear(self) -> None:
        """Drop all stacks, because the definition of own code has changed."""
        self._stacks.clear()
        self._targets.clear()

    def _calls(self, state: TargetState, is_own: IsOwn) -> Calls:
        """Return the calls in the stacks of a target."""
        name, time = state.target.name, state.history.time
        cached = self._targets.get(name)
        if cached is not None and cached[0] == time and time is not None:
            return cached[1]
        calls: Calls = {}
        for part, frame, goroutines in self._seen(state, is_own):
            functions = calls.setdefault(part, {})
            before = functions.get(frame.function, (frame, 0.0))
            functions[frame.function] = frame, before[1] + goroutines
        if len(self._targets) >= MAX_TARGETS:
            self._targets.clear()
        self._targets[name] = time, calls
        return calls

    def _seen(self, state: TargetState, is_own: IsOwn) -> Iterator[tuple[str, Frame, float]]:
        """Yield each stack of a target with a call: the part, the own code, and its goroutines."""
        goroutines = state.history.blocks.values[MEAN].sum(axis=1)
        for row, stack in enumerate(state.history.stacks):
            part, frame = self._call(stack, is_own) if stack is not None else ("", None)
            if frame is not None:
                yield part, frame, float(goroutines[row])

    def _call(self, stack: Stack, is_own: IsOwn) -> tuple[str, Frame | None]:
        """Return the part that the innermost own code of a stack calls directly, and its frame, if it has any."""
        known = self._stacks.get(stack.fingerprint)
        if known is None or known[0] is not stack:  # a new build has new lines
            if len(self._stacks) >= MAX_STACKS:
                self._stacks.clear()
            known = self._stacks[stack.fingerprint] = (stack, *_direct_call(stack.frames, is_own))
        return known[1:]


def _direct_call(frames: Sequence[Frame], is_own: IsOwn) -> tuple[str, Frame | None]:
    own = innermost_own(frames, is_own)
    return (part_of(frames[own - 1].function), frames[own]) if own else ("", None)
