"""Goroutines of full dumps: living parents."""

import numpy as np
import pytest

from leakwatch.detect.dumped import UNKNOWN, DumpedStack, has_living_parents, merged


def dumped(*goroutines: tuple[int, int, int]) -> DumpedStack:
    """Return goroutines of (ID, minutes, parent)."""
    return DumpedStack(*np.array(goroutines, np.int64).reshape(-1, 3).T)


SESSIONS = [dumped(*((number, minutes, 0) for number in range(10, 20))) for minutes in (UNKNOWN, 3)]


@pytest.mark.parametrize(
    ("watchers", "everyone", "expected"),
    [
        pytest.param([(n + 100, 9, n) for n in range(10, 20)], SESSIONS[1], True, id="each has its own session"),
        pytest.param([(n + 100, 9, n) for n in range(10, 20)], SESSIONS[0], True, id="sessions that ran just now"),
        pytest.param(
            [(n + 100, 2, n) for n in range(10, 20)], SESSIONS[1], False, id="sessions that wait for longer"
        ),
        pytest.param([(n + 100, 9, 10) for n in range(10)], SESSIONS[1], False, id="one loop started all"),
        pytest.param([(n + 100, 9, n) for n in range(10, 22)], SESSIONS[1], False, id="sessions have ended"),
        pytest.param([(n + 100, 9, 0) for n in range(10)], SESSIONS[1], False, id="Go before 1.21"),
        pytest.param([], SESSIONS[1], False, id="no goroutine"),
    ],
)
def test_living_parents(watchers: list[tuple[int, int, int]], everyone: DumpedStack, *, expected: bool) -> None:
    """Watchers of living sessions have living parents; leaked goroutines do not."""
    stack = dumped(*watchers)
    assert has_living_parents(stack, merged([everyone, stack])) is expected
