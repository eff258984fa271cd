"""Metrics of the storage."""

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from leakwatch.storage.metrics import StorageCollector
from leakwatch.storage.storage import StorageStatus
from tests.support.running import series


def exposed(status: StorageStatus) -> dict[str, float]:
    """Return metric -> value."""
    registry = CollectorRegistry()
    registry.register(StorageCollector(status, lambda time: time + 1))
    text = generate_latest(registry).decode()
    names = ("up", "bytes", "full", "last_save_timestamp_seconds", "failures_total")
    return {name: value for name in names for _, value in series(text, f"leakwatch_storage_{name}")}


def test_a_storage_in_use() -> None:
    """The series have the size, the time of the last save by the wall clock, and the failures."""
    status = StorageStatus(folder=Path("data"), size=4096, saved_at=99.0, failures=3, is_full=True)
    assert exposed(status) == {
        "up": 1.0,
        "bytes": 4096.0,
        "full": 1.0,
        "last_save_timestamp_seconds": 100.0,
        "failures_total": 3.0,
    }
    status.error = "data is in use"
    assert exposed(status)["up"] == 0.0


def test_no_storage() -> None:
    """A state that is in memory on purpose has no series, so that no alert fires."""
    assert exposed(StorageStatus(folder=None)) == {}
