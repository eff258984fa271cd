"""Wait reason of a stack, in the words of debug=2."""

from collections.abc import Sequence

from leakwatch.model import Frame
from leakwatch.profile.fingerprint import normalise

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
