"""What the detector looks at: rows of columns, whether of one target, its sites or a whole service."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from leakwatch.detect.columns import Columns, Floats, Sums
from leakwatch.detect.lifetimes import PastLifetimes
from leakwatch.model import Fingerprint, Stack


class Series(Protocol):
    """Counts over time in blocks and hours, a row per series; History, Sites and Pool are such."""

    @property
    def block(self) -> float:
        """Seconds of a block."""

    @property
    def block_start(self) -> float:
        """When the newest closed block ended."""

    @property
    def interval(self) -> float:
        """The usual seconds between scrapes, 0 while unknown."""

    @property
    def closed(self) -> int:
        """Blocks closed in this lifetime, gaps included."""

    @property
    def hours_closed(self) -> int:
        """Hours closed in this lifetime."""

    @property
    def blocks(self) -> Columns:
        """The latest blocks."""

    @property
    def hours(self) -> Columns:
        """The latest hours."""

    @property
    def stacks(self) -> Sequence[Stack | None]:
        """Row -> stack."""

    @property
    def rows(self) -> Mapping[Fingerprint, int]:
        """Stack -> row."""

    @property
    def past(self) -> PastLifetimes:
        """What earlier lifetimes tell of each row."""

    @property
    def give_back(self) -> Floats:
        """BRIEF or LASTING, row -> what it is known to give back."""

    @property
    def last(self) -> Sums:
        """Row -> the latest count."""

    @property
    def rebased(self) -> bool:
        """Whether only the growth of levels means something, not the levels themselves."""

    def family(self, columns: Columns, row: int) -> Floats:
        """Return the mean of all that has the same origin as `row`, per column of `columns`, one of ours."""
