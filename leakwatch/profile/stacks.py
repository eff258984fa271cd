"""Merges the groups of a profile into samples, one per stack."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from leakwatch.model import Fingerprint, Frame, Profile, Sample, Samples, Stack, Trace
from leakwatch.profile.blame import blamed_dependency
from leakwatch.profile.cache import GenerationCache
from leakwatch.profile.fingerprint import fingerprint_of
from leakwatch.profile.packages import is_dependency, is_std
from leakwatch.profile.wait_reason import PARKED, RUNNABLE, wait_reason


class Identifier:
    """Identifies the stack of each trace. Repeated traces and stacks are cached; equal stacks are then one object.

    `own_code`: prefixes of functions that are own code regardless of their files.
    """

    def __init__(self, own_code: Sequence[str] = (), size: int = 100_000) -> None:
        self._own_code = tuple(own_code)
        self._by_trace: GenerationCache[Trace, Stack] = GenerationCache(size)
        self._by_fingerprint: GenerationCache[Fingerprint, Stack] = GenerationCache(size)

    def empty_copy(self) -> "Identifier":
        """Return an identifier with the same own code and empty caches, for another thread."""
        return Identifier(self._own_code)

    def stack(self, trace: Trace) -> Stack:
        """Return the stack of `trace`, which must have frames."""
        stack = self._by_trace.newer.get(trace) or self._by_trace.get(trace)
        if stack is None:
            stack = self._identify(trace)
            if trace.repeated and stack.wait != RUNNABLE:
                self._by_trace.put(trace, stack, 1 + len(trace.counters) // 1024)
        return stack

    def identify(self, profile: Profile) -> Samples:
        """Return the samples of `profile`, groups of equal stacks merged.

        Groups without frames are omitted; their goroutines have not run yet.
        """
        return self.merge(profile.groups, {})

    def merge(
        self, groups: Iterable[tuple[Trace, int]], samples: dict[Fingerprint, Sample]
    ) -> dict[Fingerprint, Sample]:
        """Add `groups` to `samples`, and return `samples`."""
        cached = self._by_trace.newer
        for trace, goroutines in groups:
            if not trace.frames:
                continue
            stack = cached.get(trace) or self.stack(trace)
            fingerprint = stack.fingerprint
            sample = samples.get(fingerprint)
            if sample is None:
                samples[fingerprint] = Sample(stack, goroutines, trace)
            else:  # the first group is the largest, and its lines are shown
                samples[fingerprint] = Sample(sample.stack, sample.goroutines + goroutines, sample.trace)
        return samples

    def set_wait_reasons(self, samples: dict[Fingerprint, Sample], symbols: Mapping[int, str]) -> None:
        """Set the wait reasons of `samples`; `symbols`: address -> function of their process.

        Wait reasons are cached for equal traces, and for equal stacks after a restart.
        """
        for fingerprint, sample in samples.items():
            trace, stack = sample.trace, sample.stack
            wait = PARKED.get(symbols.get(trace.parked_at, "")) if trace else None
            if not trace or not wait or wait == stack.wait:
                continue
            cached = self._by_fingerprint.get(fingerprint)
            stack = replace(stack, wait=_best_wait(wait, cached))
            if cached == stack:
                stack = cached
            self._by_fingerprint.put(fingerprint, stack)
            if trace.repeated and wait != RUNNABLE:
                self._by_trace.put(trace, stack)
            samples[fingerprint] = replace(sample, stack=stack)

    def _identify(self, trace: Trace) -> Stack:
        frames = trace.frames
        fingerprint = fingerprint_of([frame.function for frame in frames])
        cached = self._by_fingerprint.get(fingerprint)
        wait = _best_wait(trace.wait or wait_reason(frames, trace.parked), cached)
        if cached and (cached.frames, cached.wait, cached.truncated) == (frames, wait, trace.truncated):
            return cached  # replicas and rebuilds have equal stacks, but different traces
        stack = Stack(
            fingerprint=fingerprint,
            frames=frames,
            blamed=self.blame(frames),
            origin="" if trace.truncated else frames[-1].function,
            wait=wait,
            truncated=trace.truncated,
        )
        if cached or self._by_fingerprint.admits(fingerprint):
            self._by_fingerprint.put(fingerprint, stack, _weight(frames))
        return stack

    def blame(self, frames: Sequence[Frame]) -> Frame:
        """Return the blamed frame: the innermost of own code, else of a dependency, else the outermost frame.

        In a stack of the standard library alone, the outermost frame names the part of the library that runs, the
        innermost only the wait.
        """
        own = next((frame for frame in frames if self.is_own(frame)), None)
        return own or blamed_dependency(frames) or frames[-1]

    def is_own(self, frame: Frame) -> bool:
        """Return whether `frame` is own code: neither the standard library nor a dependency."""
        if self._own_code and frame.function.startswith(self._own_code):
            return True
        if is_std(frame.function):
            return False
        return not is_dependency(frame)


def _best_wait(wait: str, cached: Stack | None) -> str:
    """Return `wait`, or the wait reason of the `cached` stack if `wait` is unknown or runnable."""
    return cached.wait or wait if cached and wait in {"", RUNNABLE} else wait


def _weight(frames: Iterable[Frame]) -> int:
    """Return the share of a stack in the size of a cache: one for each KB."""
    return 1 + sum(len(frame.function) + len(frame.file) for frame in frames) // 1024
