"""Values of a full dump: its goroutines, and those that started them."""

from dataclasses import dataclass

from leakwatch.model import Frame, Trace


@dataclass(frozen=True, slots=True)
class Ancestor:
    """The goroutine `number` at the time when it started a goroutine.

    `frames`: leaf first, then the call that started the ancestor itself, if the dump has it.
    """

    number: int
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goroutine:
    """One goroutine of a dump.

    `trace` has the frames that debug=1 would show, none before the goroutine first runs. `gap` is the number of
    frames before the omitted middle of a deep stack, 0 if the stack is complete. `state` is in the words of Go
    1.24. `minutes` is the time in this state, None if the dump omits it. `creator` is the call that started the
    goroutine, in the goroutine `parent`, 0 if unknown. `ancestors`: those that started it, the nearest first, if
    the process runs with GODEBUG=tracebackancestors.
    """

    number: int
    trace: Trace
    state: str
    minutes: int | None = None
    creator: Frame | None = None
    parent: int = 0
    gap: int = 0
    locked: bool = False
    leaked: bool = False
    ancestors: tuple[Ancestor, ...] = ()
