"""The windows in which growth is scored.

A P window scores growth without departures, a C window growth that turnover does not explain.
docs/how-it-judges.md describes them.
"""

from dataclasses import dataclass, replace
from typing import Final

from leakwatch.detect.columns import BLOCKS, BLOCKS_PER_HOUR, BRIEF, LASTING

SPANS: Final = (8, BLOCKS, 8 * BLOCKS_PER_HOUR, 24 * BLOCKS_PER_HOUR)
"""The lengths of all windows, in blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A span of blocks or hours in which growth is scored, and the growth that a score requires.

    Steps are the three differences between the four quarters, as shares of the growth.
    """

    name: str
    columns: int
    """Length in blocks, or in hours if the window is `hourly`."""
    hourly: bool = False
    """Whether the window is scored once per hour. One such score of 1 confirms a leak."""
    min_growth: float
    """The growth that scores 1: x in the documentation."""
    min_rises: float = 0
    """The effective number of rises that scores 1."""
    count_share: float | None = None
    """The share of the initial count that the growth must reach to score 1; None for P windows."""
    max_step: float = 0.60
    min_last_step: float = 0.22
    min_step: float | None = None
    """Lower bound of all steps, where the kind of the window does not set one."""
    known_drop: int | None = BRIEF
    """The known drop that growth must exceed: BRIEF, LASTING, or None if the window ignores it."""
    young: tuple[tuple[int, float], ...] = ()
    """Pairs of a number of blocks and a factor of the minimum growth in lifetimes of at most that many blocks."""
    must_stand_out: bool = True
    """Whether growth on a single target scores only if most other targets of the service do not share it."""
    warm_up: float = 8.0
    """Hours of uptime after which the targets of a service are expected to have warmed up."""

    @property
    def needs_turnover(self) -> bool:
        """Whether this is a C window, which needs the turnover of most blocks."""
        return self.count_share is not None

    @property
    def span(self) -> int:
        """Length in blocks; that of C24 is the day between the hours that it compares."""
        return min(self.columns * (BLOCKS_PER_HOUR if self.hourly else 1), SPANS[-1])

    @property
    def hours(self) -> int:
        """Hours of hourly data that belong to the window; a window of blocks uses the two hours of all blocks."""
        return self.columns if self.hourly else BLOCKS // BLOCKS_PER_HOUR

    def young_factor(self, closed: int) -> float:
        """Return the factor of the minimum growth after `closed` blocks of a lifetime."""
        return next((factor for until, factor in self.young if closed <= until), 1.0)


P0: Final = Window(
    name="P0",
    columns=8,
    min_growth=300,
    min_rises=8,
    max_step=0.50,
    min_last_step=0.25,
    min_step=0.25,
    young=((16, 1.4),),
    must_stand_out=False,  # no healthy stack was observed to gain hundreds within minutes and keep them
)
P2: Final = Window(name="P2", columns=24, min_growth=30, min_rises=8, young=((48, 2.2), (192, 1.5)))
C2: Final = replace(P2, name="C2", count_share=0.30)
P8: Final = Window(
    name="P8",
    columns=8,
    hourly=True,
    min_growth=12,
    min_rises=10,
    known_drop=LASTING,  # one incident of an hour must not hide slow growth for days
    young=((132, 3.4), (288, 2.2)),
)
C8: Final = replace(P8, name="C8", count_share=0.30, young=((132, 3.4), (288, 1.6)))
P24: Final = Window(
    name="P24",
    columns=24,
    hourly=True,
    min_growth=8,
    min_rises=8,
    known_drop=None,  # goroutines of which none left in a whole day are not part of a known drop
    warm_up=12.0,
)
C24: Final = Window(name="C24", columns=27, hourly=True, min_growth=8, count_share=0.25, known_drop=LASTING)

STUCK_WINDOW: Final = Window(name="W", columns=0, min_growth=10, must_stand_out=False)
"""The window of full dumps: detect/stuck.py has its spans."""

BLOCK_WINDOWS: Final = (P0, P2, C2)
HOUR_WINDOWS: Final = (P8, C8, P24)
POOLED_HOUR_WINDOWS: Final = (P8, replace(C8, count_share=0.20), P24)
