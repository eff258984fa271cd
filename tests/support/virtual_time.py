"""An event loop in virtual time: its time jumps to the next timer, so that tests do not wait."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from leakwatch.clock import Clock
from tests.support.simulated import START

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """A selector that does not wait for a timeout, but adds it to `now`."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the events that are ready; without a timer, wait for the first one."""
        ready = super().select(timeout and 0)
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a time that begins at 0 and passes only while all tasks wait."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual time."""
        return self._virtual.now

    def block(self, seconds: float) -> None:
        """Let time pass while no task can run, as a long computation does."""
        self._virtual.now += seconds


class VirtualClock(Clock):
    """The time of a virtual loop, as unix seconds since START."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def time(self) -> float:
        """Return the time of the loop."""
        return START + self._loop.time()

    def stopwatch(self) -> float:
        """Return the time of the loop."""
        return self._loop.time()

    def wall(self, moment: float) -> float:
        """Return `moment`."""
        return moment


def run_virtual(loop: VirtualLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run `main` in `loop`, close the loop, and return the result."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)
