"""An event loop in virtual time: its time jumps to the next timer, so that tests do not wait."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

from leakwatch.clock import Clock
from tests.support.simulated import START

T = TypeVar("T")
THREAD = 0.01  # seconds between two checks of threads


class _Selector(selectors.DefaultSelector):
    """A selector that does not wait for a timeout, but adds it to `now`."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.threads = 0
        """Calls that run in threads, which take no virtual time."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the events that are ready; without a timer, wait for the first one."""
        ready = super().select(timeout and 0)
        while timeout and self.threads and not ready:
            ready = super().select(THREAD)
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a time that begins at 0 and passes only while all tasks wait.

    Both ends of a connection may be in the loop: loopback delivers at once.
    """

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual time."""
        return self._virtual.now

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]  # typeshed has variadic generics
        """Call `func` in a thread, during which no virtual time passes."""
        future = super().run_in_executor(executor, func, *args)
        self._virtual.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _future: asyncio.Future[Any]) -> None:
        self._virtual.threads -= 1

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
