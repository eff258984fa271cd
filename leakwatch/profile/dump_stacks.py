"""Finds the goroutines of a stack in a full dump, and how they wait."""

from collections import Counter
from collections.abc import Sequence

from leakwatch.model import Fingerprint, Frame, Stack, Trace, Waiting
from leakwatch.profile.dump import Dump
from leakwatch.profile.fingerprint import significant_names
from leakwatch.profile.goroutine import Goroutine
from leakwatch.profile.stacks import Identifier
from leakwatch.profile.wait_times import merge_waiting


class DumpIndex:
    """The goroutines of a dump by stack. The stacks may come from a profile in any format."""

    def __init__(self, dump: Dump, identifier: Identifier) -> None:
        self.by_stack: dict[Fingerprint, list[Goroutine]] = {}
        """The goroutines of each stack in the dump."""
        self.by_number = {goroutine.number: goroutine for goroutine in dump.goroutines}
        self._by_trace: dict[Trace, list[Goroutine]] = {}
        self._stacks: dict[Trace, Stack] = {}
        for goroutine in dump.goroutines:
            trace = goroutine.trace
            if not trace.frames:
                continue
            stack = self._stacks[trace] = identifier.stack(trace)
            self.by_stack.setdefault(stack.fingerprint, []).append(goroutine)
            self._by_trace.setdefault(trace, []).append(goroutine)

    def goroutines_of(self, stack: Stack) -> list[Goroutine]:
        """Return the goroutines of `stack`, or of all stacks of a site.

        If frames are missing, the result has all goroutines that match the other frames.
        """
        return [
            goroutine
            for trace, goroutines in self._by_trace.items()
            if self._matches(stack, trace, goroutines[0].gap)
            for goroutine in goroutines
        ]

    def _matches(self, stack: Stack, trace: Trace, gap: int) -> bool:
        candidate = self._stacks[trace]
        if stack.site:
            return candidate.blamed.function == stack.blamed.function
        if candidate.fingerprint == stack.fingerprint:
            return True
        return (stack.truncated or trace.truncated or gap > 0) and _may_match(stack, trace, gap)


def _may_match(stack: Stack, trace: Trace, gap: int) -> bool:
    """Return whether the known frames of both agree. Each may lack its root, and the trace may have a gap."""
    expected, names = _names(stack.frames), _names(trace.frames)
    if gap:
        head = len(_names(trace.frames[:gap]))
        names, root = names[:head], names[head:]
        if not stack.truncated and (
            len(expected) < head + len(root) or expected[len(expected) - len(root) :] != root
        ):
            return False
    elif not stack.truncated and len(expected) < len(names):
        return False  # a truncated trace is not longer than its complete stack
    elif not trace.truncated and len(names) < len(expected):
        return False
    common = min(len(expected), len(names))
    return expected[:common] == names[:common]


def _names(frames: Sequence[Frame]) -> list[str]:
    return significant_names([frame.function for frame in frames])


def waiting(goroutines: Sequence[Goroutine]) -> Waiting:
    """Return how `goroutines` wait."""
    minutes = Counter(goroutine.minutes for goroutine in goroutines)
    states = Counter(goroutine.state for goroutine in goroutines)
    creators = Counter(goroutine.creator for goroutine in goroutines if goroutine.creator is not None)
    return merge_waiting([Waiting(minutes, states, creators)])
