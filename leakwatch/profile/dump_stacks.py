"""Which goroutines of a full dump are of a stack, and how they wait. Pure."""

from collections import Counter
from collections.abc import Sequence

from leakwatch.model import Fingerprint, Frame, Stack, Trace, Waiting
from leakwatch.profile.dump import Dump, Goroutine
from leakwatch.profile.fingerprint import names_of
from leakwatch.profile.stacks import Identifier
from leakwatch.profile.wait_times import together


class Waits:
    """Finds the goroutines of a dump that are of a stack, whatever format that stack was read from."""

    def __init__(self, dump: Dump, identifier: Identifier) -> None:
        self.by_stack: dict[Fingerprint, list[Goroutine]] = {}
        """The goroutines of each stack of the dump."""
        self._by_trace: dict[Trace, list[Goroutine]] = {}
        self._stacks: dict[Trace, Stack] = {}
        for goroutine in dump.goroutines:
            trace = goroutine.trace
            if not trace.frames:
                continue
            stack = self._stacks[trace] = identifier.stack(trace)
            self.by_stack.setdefault(stack.fingerprint, []).append(goroutine)
            self._by_trace.setdefault(trace, []).append(goroutine)

    def of(self, stack: Stack) -> list[Goroutine]:
        """Return those of `stack`, or of all stacks of a site; all that may be, where frames are missing."""
        return [
            goroutine
            for trace, goroutines in self._by_trace.items()
            if self._fits(stack, trace, goroutines[0].gap)
            for goroutine in goroutines
        ]

    def _fits(self, stack: Stack, trace: Trace, gap: int) -> bool:
        found = self._stacks[trace]
        if stack.site:
            return found.blamed.function == stack.blamed.function
        if found.fingerprint == stack.fingerprint:
            return True
        return (stack.truncated or trace.truncated or gap > 0) and _may_be(stack, trace, gap)


def _may_be(stack: Stack, trace: Trace, gap: int) -> bool:
    """Tell whether what is there of both is the same; the root side may be cut of either, the trace have a gap."""
    whole, shown = _names(stack.frames), _names(trace.frames)
    if gap:
        shown, root = shown[: (head := len(_names(trace.frames[:gap])))], shown[head:]
        if not stack.truncated and (len(whole) < head + len(root) or whole[len(whole) - len(root) :] != root):
            return False
    elif not stack.truncated and len(whole) < len(shown):
        return False  # the cut one would be longer than the whole
    elif not trace.truncated and len(shown) < len(whole):
        return False
    both = min(len(whole), len(shown))
    return whole[:both] == shown[:both]


def _names(frames: Sequence[Frame]) -> list[str]:
    return names_of([frame.function for frame in frames])


def waiting(goroutines: Sequence[Goroutine]) -> Waiting:
    """Return how `goroutines` wait."""
    minutes = Counter(goroutine.minutes for goroutine in goroutines)
    states = Counter(goroutine.state for goroutine in goroutines)
    creators = Counter(goroutine.creator for goroutine in goroutines if goroutine.creator is not None)
    return together([Waiting(minutes, states, creators)])
