"""Windows: the properties that follow from their fields."""

import pytest

from leakwatch.detect.columns import BRIEF, LASTING
from leakwatch.detect.windows import (
    BLOCK_WINDOWS,
    C2,
    C8,
    C24,
    HOUR_WINDOWS,
    P0,
    P2,
    P8,
    P24,
    POOLED_HOUR_WINDOWS,
    Window,
)

WINDOWS = (*BLOCK_WINDOWS, *HOUR_WINDOWS, C24)


def names(windows: tuple[Window, ...]) -> list[str]:
    """Return the names of windows."""
    return [window.name for window in windows]


def test_names() -> None:
    """Each window has its own name, and the pooled windows have those of the others."""
    assert names(WINDOWS) == ["P0", "P2", "C2", "P8", "C8", "P24", "C24"]
    assert names(POOLED_HOUR_WINDOWS) == names(HOUR_WINDOWS)


@pytest.mark.parametrize("window", WINDOWS, ids=names(WINDOWS))
def test_properties(window: Window) -> None:
    """C windows need turnover, hourly windows use the lasting known drop, and a name states the hours."""
    assert window.needs_turnover == window.name.startswith("C")
    assert window.hourly == (window in (*HOUR_WINDOWS, C24))
    assert window.known_drop == (None if window is P24 else LASTING if window.hourly else BRIEF)
    assert window.must_stand_out == (window is not P0)
    assert window.warm_up == (12 if window is P24 else 8)
    if window not in (P0, C24):
        assert f"{window.hours}" == window.name[1:]


@pytest.mark.parametrize(
    ("window", "closed", "factor"),
    [
        *((P0, 16, 1.4), (P0, 17, 1.0)),
        *((P2, 1, 2.2), (P2, 48, 2.2), (P2, 49, 1.5), (P2, 192, 1.5), (P2, 193, 1.0)),
        *((C2, 48, 2.2), (C2, 193, 1.0)),
        *((P8, 132, 3.4), (P8, 133, 2.2), (P8, 288, 2.2), (P8, 289, 1.0)),
        *((C8, 132, 3.4), (C8, 288, 1.6), (C8, 289, 1.0)),
        *((P24, 1, 1.0), (C24, 1, 1.0)),
    ],
)
def test_young_factors(window: Window, closed: int, factor: float) -> None:
    """The minimum growth of a young process is multiplied by a factor that falls with its age in blocks."""
    assert window.young_factor(closed) == factor
