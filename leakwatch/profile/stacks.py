"""Turns the groups of a profile into samples: one per stack, with its identity."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from leakwatch.model import Fingerprint, Frame, Profile, Sample, Samples, Stack, Trace
from leakwatch.profile.cache import GenerationCache
from leakwatch.profile.fingerprint import fingerprint_of
from leakwatch.profile.packages import is_dependency, is_std
from leakwatch.profile.wait_reason import PARKED, RUNNABLE, wait_reason


class Identifier:
    """Gives each trace its stack; remembers traces and stacks, so that equal stacks are one object.

    `own_code`: prefixes of functions that are own code wherever their files lie.
    """

    def __init__(self, own_code: Sequence[str] = (), size: int = 100_000) -> None:
        self._own_code = tuple(own_code)
        self._by_trace: GenerationCache[Trace, Stack] = GenerationCache(size)
        self._by_fingerprint: GenerationCache[Fingerprint, Stack] = GenerationCache(size)

    def another(self) -> "Identifier":
        """Return one that does the same and knows nothing yet, for another thread."""
        return Identifier(self._own_code)

    def stack(self, trace: Trace) -> Stack:
        """Return the stack of `trace`, which must have frames."""
        stack = self._by_trace.young.get(trace) or self._by_trace.get(trace)
        if stack is None:
            stack = self._identify(trace)
            if stack.wait != RUNNABLE:
                self._by_trace.put(trace, stack)
        return stack

    def identify(self, profile: Profile) -> Samples:
        """Return the samples of `profile`, groups of equal stacks merged.

        A group without frames is left out: its goroutines were created and have not run yet.
        """
        return self.merge(profile.groups, {})

    def merge(
        self, groups: Iterable[tuple[Trace, int]], samples: dict[Fingerprint, Sample]
    ) -> dict[Fingerprint, Sample]:
        """Add `groups` to `samples` and return them."""
        known = self._by_trace.young
        for trace, goroutines in groups:
            if not trace.frames:
                continue
            stack = known.get(trace) or self.stack(trace)
            fingerprint = stack.fingerprint
            sample = samples.get(fingerprint)
            if sample is None:
                samples[fingerprint] = Sample(stack, goroutines, trace)
            else:  # the largest group comes first: its lines are shown
                samples[fingerprint] = Sample(sample.stack, sample.goroutines + goroutines, sample.trace)
        return samples

    def learn(self, samples: dict[Fingerprint, Sample], symbols: Mapping[int, str]) -> None:
        """Give `samples` the wait reasons that `symbols` tell, address -> function, of the process they come from.

        They are remembered: an equal trace, and what comes after a restart, have them at once.
        """
        for fingerprint, sample in samples.items():
            trace, stack = sample.trace, sample.stack
            wait = PARKED.get(symbols.get(trace.parked_at, "")) if trace else None
            if not trace or not wait or wait == stack.wait:
                continue
            known = self._by_fingerprint.get(fingerprint)
            stack = replace(stack, wait=_better(wait, known))
            if known == stack:
                stack = known
            self._by_fingerprint.put(fingerprint, stack)
            if wait != RUNNABLE:
                self._by_trace.put(trace, stack)
            samples[fingerprint] = replace(sample, stack=stack)

    def _identify(self, trace: Trace) -> Stack:
        frames = trace.frames
        fingerprint = fingerprint_of([frame.function for frame in frames])
        known = self._by_fingerprint.get(fingerprint)
        # Replicas of one program and rebuilds share the object: a fleet has few stacks and many traces.
        wait = _better(trace.wait or wait_reason(frames, trace.parked), known)
        if known is not None and (known.frames, known.wait, known.truncated) == (frames, wait, trace.truncated):
            return known
        stack = Stack(
            fingerprint,
            frames,
            self.blame(frames),
            "" if trace.truncated else frames[-1].function,
            wait,
            trace.truncated,
        )
        self._by_fingerprint.put(fingerprint, stack)
        return stack

    def blame(self, frames: Sequence[Frame]) -> Frame:
        """Return the frame to look at: the innermost of own code, else of a dependency, else the outermost.

        Where all is the standard library the outermost says which part of it, the innermost only how it waits.
        """
        dependency = None
        for frame in frames:
            if self.is_own(frame):
                return frame
            if not is_std(frame.function):
                dependency = dependency or frame
        return dependency or frames[-1]

    def is_own(self, frame: Frame) -> bool:
        """Tell whether a frame is own code: neither the standard library nor a dependency."""
        if self._own_code and frame.function.startswith(self._own_code):
            return True
        if is_std(frame.function):
            return False
        return not is_dependency(frame)


def _better(wait: str, known: Stack | None) -> str:
    """Return `wait`, or what is `known` of the stack where that says more."""
    return known.wait or wait if known and wait in {"", RUNNABLE} else wait
