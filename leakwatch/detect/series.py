"""Series: what the detector judges, whether of the stacks or sites of a target or of a whole service."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from leakwatch.detect.columns import Columns, Floats, Sums
from leakwatch.detect.dump_history import DumpHistory
from leakwatch.detect.liveness import Liveness
from leakwatch.model import Fingerprint, Stack


class Series(Protocol):
    """Counts over time in blocks and hours, one row per series; implemented by History, Sites and Pool."""

    @property
    def block(self) -> float:
        """Seconds of a block."""

    @property
    def block_start(self) -> float:
        """When the open block began, which is when the newest closed block ended."""

    @property
    def interval(self) -> float:
        """The usual seconds between scrapes; 0 if unknown."""

    @property
    def closed(self) -> int:
        """Blocks closed in this lifetime, gaps included."""

    @property
    def blocks(self) -> Columns:
        """The latest blocks."""

    @property
    def hours(self) -> Columns:
        """The latest hours."""

    @property
    def stacks(self) -> Sequence[Stack | None]:
        """Row -> stack; None is a free row."""

    @property
    def rows(self) -> Mapping[Fingerprint, int]:
        """Stack -> row."""

    @property
    def known_drop(self) -> Floats:
        """The known drops, BRIEF and LASTING, of each row."""

    @property
    def last(self) -> Sums:
        """Row -> the latest count."""

    @property
    def rebased(self) -> bool:
        """Whether levels are sums of growth: only their differences have a meaning."""

    @property
    def liveness(self) -> Liveness:
        """The liveness of the stacks in full dumps."""

    @property
    def processes(self) -> int:
        """The number of processes that are added up."""

    @property
    def dumps(self) -> DumpHistory | None:
        """The full dumps of the process; None for a service, which has several processes."""

    def sum_counts(self, columns: Columns, row: int | None = None) -> Floats:
        """Return the mean count of all stacks, or of those with the origin of `row`, per column.

        `columns`: `blocks` or `hours`.
        """
