"""Turns the groups of a profile into samples: one per stack, with identity and what a reader wants to know.

The fingerprint must survive restarts, rebuilds and Go upgrades, so it sees function names only, and those
without what differs between builds of the same source: generic arguments, build hashes, how deep a recursion
is, which inner functions of package sync a lock went through, names that Go's own authors changed. Nor does it
see the runtime's own functions, of which each format of a profile shows others.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

from leakwatch.model import Fingerprint, Frame, Profile, Sample, Samples, Stack, Trace
from leakwatch.profile.cache import Memo

STD_NAMES = """
archive bufio bytes cmp compress container context crypto database debug embed encoding errors expvar flag fmt go
hash html image index internal io iter log maps math mime net os path plugin reflect regexp runtime slices sort
strconv strings structs sync syscall testing text time unicode unique unsafe vendor weak
"""
STD = frozenset(STD_NAMES.split())
"""First path elements of Go's standard library; a test compares them with `go list std`."""

RUNTIME = ("runtime.", "internal/runtime/", "runtime/internal/")
"""Prefixes of the runtime's own functions; runtime/pprof and the like are no part of it."""

DEPENDENCY = re.compile(r"/pkg/mod/|@v|/vendor/")
BRACKET = re.compile(r"[\[\]]")
CLOSURE = re.compile(r"(\.func|-range|\.gowrap)[0-9.]+")
CGO_EXPORT = re.compile(r"^_cgoexp_[0-9a-f]+_")
RENAMED = {
    # 1.23
    "context.propagateCancel.func": "context.(*cancelCtx).propagateCancel.func",
}
"""Functions of the standard library whose name changed while their source did not: old name -> new name."""

RUNNABLE = "runnable"
"""It does not wait, for a moment; where it waits at other times is what matters, so this is not remembered."""

WAITS = {
    # Where the first visible frame alone says what the stack is blocked in, in debug=2's words (Go 1.24+).
    "time.Sleep": "sleep",
    "internal/poll.runtime_pollWait": "IO wait",
    "internal/poll.runtime_Semacquire": "semacquire",
    "os/signal.signal_recv": "syscall",
    "sync.runtime_notifyListWait": "sync.Cond.Wait",
    "sync.runtime_SemacquireMutex": "sync.Mutex.Lock",
    "sync.runtime_SemacquireRWMutexR": "sync.RWMutex.RLock",
    "sync.runtime_SemacquireRWMutex": "sync.RWMutex.Lock",
    "sync.runtime_SemacquireWaitGroup": "sync.WaitGroup.Wait",
}
LOCKS = {
    # Older Go used one name for several locks; the caller tells them apart.
    "sync.(*RWMutex).RLock": "sync.RWMutex.RLock",
    "sync.(*RWMutex).Lock": "sync.RWMutex.Lock",
    "sync.(*WaitGroup).Wait": "sync.WaitGroup.Wait",
    "sync.(*Mutex).Lock": "sync.Mutex.Lock",
}
PARKED = {
    # The runtime function that the innermost visible frame called, where the profile names it.
    "runtime.chanrecv1": "chan receive",
    "runtime.chanrecv2": "chan receive",
    "runtime.chansend1": "chan send",
    "runtime.selectgo": "select",
    "runtime.block": "select (no cases)",
    "runtime.coroswitch": "coroutine",
    "runtime.cgocall": "syscall",
    "runtime.asyncPreempt": RUNNABLE,
    "runtime.Gosched": RUNNABLE,
}


class Identifier:
    """Gives each trace its stack; remembers traces and stacks, so that equal stacks are one object.

    `own_code`: prefixes of functions that are own code wherever their files lie.
    """

    def __init__(self, own_code: Sequence[str] = (), size: int = 100_000) -> None:
        self._own_code = tuple(own_code)
        self._by_trace: Memo[Trace, Stack] = Memo(size)
        self._by_fingerprint: Memo[Fingerprint, Stack] = Memo(size)

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


def is_std(function: str) -> bool:
    """Tell whether `function` belongs to Go's standard library or runtime."""
    path, slash, rest = function.partition("/")
    element = path if slash else rest or path
    return element.partition(".")[0] in STD and (not slash or "." not in path)


def is_dependency(frame: Frame) -> bool:
    """Tell whether a frame lies in the module cache or in vendor/; package main is always own code."""
    return bool(DEPENDENCY.search(frame.file)) and not frame.function.startswith("main.")


def fingerprint_of(functions: Sequence[str]) -> Fingerprint:
    """Return the fingerprint of a stack of `functions`, leaf first: 16 hex digits."""
    # Only the innermost call of each function: recursion, also mutual, gives one stack whatever its depth.
    distinct = dict.fromkeys(names_of(functions))
    return Fingerprint(blake2b("\0".join(distinct).encode("utf-8", "replace"), digest_size=8).hexdigest())


def site_of(function: str) -> Fingerprint:
    """Return the fingerprint of the site of all stacks that blame `function`."""
    return fingerprint_of(("site", function))


def names_of(functions: Sequence[str]) -> list[str]:
    """Return the names that tell stacks apart, leaf first; the runtime's only if there are no others."""
    names = [normalise(function) for function in functions if not function.startswith(RUNTIME)]
    return _without_lock_internals(names or [normalise(function) for function in functions])


def normalise(function: str) -> str:
    """Return `function` without what differs between builds and Go versions."""
    if "[" in function:
        function = without_brackets(function)
    if function.startswith("_cgoexp_"):
        return CGO_EXPORT.sub("_cgoexp_", function)
    if is_std(function):
        if function.startswith("internal/sync."):
            function = function.removeprefix("internal/")
        function = CLOSURE.sub(r"\1", function)  # Go's authors add and remove closures; ours are our user's names
        return RENAMED.get(function, function)
    return function


def without_brackets(function: str) -> str:
    """Return `function` without generic arguments, nested ones too."""
    depth, kept, at = 0, [], 0
    for bracket in BRACKET.finditer(function):
        if bracket[0] == "[":
            if depth == 0:
                kept.append(function[at : bracket.start()])
            depth += 1
        elif depth:
            depth -= 1
            at = bracket.end()
    return "".join(kept) + function[at:] if depth == 0 else function


def _better(wait: str, known: Stack | None) -> str:
    """Return `wait`, or what is `known` of the stack where that says more."""
    return known.wait or wait if known and wait in {"", RUNNABLE} else wait


def _without_lock_internals(names: list[str]) -> list[str]:
    """Fold the innermost calls within package sync to the one that was called from outside."""
    inside = 0
    while inside < len(names) and names[inside].startswith("sync."):
        inside += 1
    return names[max(inside - 1, 0) :]


def wait_reason(frames: Sequence[Frame], parked: str = "") -> str:
    """Return the wait reason, "" where neither the visible frames nor the function that `parked` it tell."""
    name = normalise(frames[0].function)
    if name in {"sync.runtime_SemacquireMutex", "sync.runtime_Semacquire"}:
        for frame in frames[1:4]:
            if lock := LOCKS.get(normalise(frame.function)):
                return lock
    if name.startswith("syscall.") and name.partition(".")[2].lower().startswith(("syscall", "rawsyscall")):
        return "syscall"
    return WAITS.get(name) or PARKED.get(parked, "")
