"""Samples of a soak run, and their table."""

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The state of leakwatch at one time; counters count from the start of leakwatch."""

    time: float
    """Seconds since the start of the run."""
    resident: int
    """Bytes."""
    files: int
    """Open file descriptors."""
    tasks: int
    """Tasks of the event loop."""
    cpu: float
    """Seconds of a core."""
    lag: float
    """Total lag of the event loop, in seconds."""
    health: float
    """Seconds until `/-/healthy` responded."""
    scrapes: int
    """Scrapes of healthy targets."""
    failures: int
    """Failed scrapes of healthy targets."""
    other_scrapes: int
    """Scrapes of all other targets."""
    restarts: int
    """Restarts of services."""
    reloads: int
    """Reloads of the configuration."""


COLUMNS = {field.name: field.type for field in fields(Sample)}


class SampleFile:
    """The file to which a run appends each sample."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.write_text(",".join(COLUMNS) + "\n")

    def add(self, sample: Sample) -> None:
        """Append a sample."""
        values = asdict(sample).values()
        with self._path.open("a") as file:
            csv.writer(file, lineterminator="\n").writerow(round(value, 4) for value in values)


def read(path: Path) -> list[Sample]:
    """Return the samples of a file."""
    with path.open() as file:
        rows: Iterable[dict[str, str]] = list(csv.DictReader(file))
    return [
        Sample(**{name: kind(row[name]) for name, kind in COLUMNS.items()})  # type: ignore[operator]  # int or float
        for row in rows
    ]
