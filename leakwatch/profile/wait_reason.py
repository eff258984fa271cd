"""Wait reason of a stack, in the words of debug=2."""

from collections.abc import Sequence

from leakwatch.model import Frame
from leakwatch.profile.fingerprint import normalise

RUNNABLE = "runnable"
"""State of a goroutine that runs at the moment. It is not cached, because the stack usually waits elsewhere."""

WAITS = {
    # The innermost visible function -> wait reason in the words of debug=2 (Go 1.24+).
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
    # Older Go versions block all locks in one function; its caller is the lock.
    "sync.(*RWMutex).RLock": "sync.RWMutex.RLock",
    "sync.(*RWMutex).Lock": "sync.RWMutex.Lock",
    "sync.(*WaitGroup).Wait": "sync.WaitGroup.Wait",
    "sync.(*Mutex).Lock": "sync.Mutex.Lock",
}

PARKED = {
    # The hidden runtime function that the innermost visible function called -> wait reason.
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

REASONS = frozenset({*WAITS.values(), *LOCKS.values(), *PARKED.values()})
"""All wait reasons of a profile; a full dump has more, which name states of the runtime."""


def wait_reason(frames: Sequence[Frame], parked: str = "") -> str:
    """Return the wait reason, "" if it is unknown; `parked`: the hidden function at the leaf, or ""."""
    name = normalise(frames[0].function)
    if name in {"sync.runtime_SemacquireMutex", "sync.runtime_Semacquire"}:
        for frame in frames[1:4]:
            if lock := LOCKS.get(normalise(frame.function)):
                return lock
    if name.startswith("syscall.") and name.partition(".")[2].lower().startswith(("syscall", "rawsyscall")):
        return "syscall"
    return WAITS.get(name) or PARKED.get(parked, "")
