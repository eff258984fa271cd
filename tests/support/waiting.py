"""Waiting for states, because no test asserts how long something takes."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

HANG = 300.0
"""Seconds after which a wait is a hang. The slowest wait took 60 s while two processes used both cores."""

LONGEST_PAUSE = 1.5
"""Seconds between two looks. A look at all metrics each 0.1 s took more CPU than the scrapes of the daemon."""

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T], timeout: float = HANG, *, pause: float = 0.1, show: Callable[[], object] = str
) -> T:
    """Return the first true result of `condition`; raise AssertionError after `timeout` seconds.

    `pause`: seconds between the first two looks; each pause is a tenth longer than the last, up to LONGEST_PAUSE.
    The error has the last result, and the result of `show`.
    """
    end = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() >= end:
            raise AssertionError(f"still {result!r} after {timeout:g} s: {show()}")
        time.sleep(pause)
        pause = max(pause, min(1.1 * pause, LONGEST_PAUSE))
    return result


async def until(condition: Callable[[], object]) -> None:
    """Return when `condition` is true; other tasks run meanwhile. Raise TimeoutError after `HANG` seconds."""
    async with asyncio.timeout(HANG):
        while not condition():  # noqa: ASYNC110  the state has no event
            await asyncio.sleep(0.01)
