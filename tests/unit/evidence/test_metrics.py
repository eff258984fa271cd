"""Metrics of the evidence."""

from prometheus_client import CollectorRegistry

from leakwatch.evidence.config import EvidenceConfig
from leakwatch.evidence.metrics import EvidenceCollector
from leakwatch.evidence.store import Store
from tests.support.clock import ManualClock
from tests.support.kept_bodies import parts, record
from tests.support.simulated import START


def test_number_and_size_of_the_stored_bodies() -> None:
    """Evicted bodies count as dropped."""
    store = Store(EvidenceConfig(body_limit=3), ManualClock())
    registry = CollectorRegistry()
    registry.register(EvidenceCollector(store))
    for i in range(5):
        store.add(record(at=START + i), parts(), "0x1")
    names = ("bodies", "bytes", "dropped_total", "write_failures_total")
    values = [registry.get_sample_value(f"leakwatch_evidence_{name}") for name in names]
    assert values == [3, store.size, 2, 0]
