"""What a full dump adds to a stack: how long its goroutines wait, in which states, who started them. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leakwatch.model import Fingerprint, Frame, Stack, Trace
from leakwatch.profile.dump import Dump, Goroutine
from leakwatch.stacks import Identifier, names_of


@dataclass(frozen=True, slots=True)
class Ages:
    """How long goroutines have been in their state, in minutes; `known` is how many of them say.

    A goroutine that does not say counts as younger than all that do, since the dump is silent on the first minute.
    `oldest` and `median` are None where that leaves them unknown.
    """

    goroutines: int
    known: int
    oldest: int | None
    median: int | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """How some goroutines wait; the most frequent states and creators come first."""

    ages: Ages
    states: Mapping[str, int]
    creators: Mapping[Frame, int]


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
    states = Counter(goroutine.state for goroutine in goroutines)
    creators = Counter(goroutine.creator for goroutine in goroutines if goroutine.creator is not None)
    return Waiting(
        ages([goroutine.minutes for goroutine in goroutines]),
        dict(states.most_common()),
        dict(creators.most_common()),
    )


def ages(minutes: Sequence[int | None]) -> Ages:
    """Return the ages of goroutines, each of so many minutes, None where that is not known."""
    known = sorted((number for number in minutes if number is not None), reverse=True)
    middle = len(minutes) // 2
    return Ages(
        len(minutes),
        len(known),
        known[0] if known else None,
        known[middle] if middle < len(known) else None,
    )
