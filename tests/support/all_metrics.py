"""A registry in which each metric of leakwatch has a series."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from leakwatch.causes.catalogue import shipped
from leakwatch.clock import Clock, Delays
from leakwatch.discovery.metrics import DiscoveryCollector
from leakwatch.discovery.status import DiscovererStatus
from leakwatch.discovery.target_builder import RelabeledTargets
from leakwatch.evidence.config import EvidenceConfig
from leakwatch.evidence.metrics import EvidenceCollector
from leakwatch.evidence.store import Store
from leakwatch.http.client import Client, Tls
from leakwatch.leaks.model import Caller, Estimate, Findings, Leak, Limit, MemoryCost, RelatedStack
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Growth, Process, TargetHealth, Verdict, Waiting
from leakwatch.notify.alertmanager import AlertmanagerAddress, AlertmanagerClient
from leakwatch.notify.config import AlertmanagerConfig
from leakwatch.notify.links import AlertLinks
from leakwatch.notify.metrics import NotificationCollector
from leakwatch.notify.queue import AlertQueue
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.metrics import LoadCollector, TargetCollector
from leakwatch.scrape.start_queue import StartQueue
from leakwatch.storage.metrics import StorageCollector
from leakwatch.storage.storage import StorageStatus
from leakwatch.web.metrics import DaemonCollector, make_registry
from tests.support.leaking import leak
from tests.support.simulated import START, TARGET, samples

BYTES: Final = Estimate(2048.0, 2048.0, 2048.0)
DISCOVERER: Final = DiscovererStatus(job="pods", mechanism="file", failures=1, succeeded=START)
LIMIT: Final = Limit(target=TARGET.name, size=1e9, soonest=60.0, latest=90.0)


def complete_leak() -> Leak:
    """Return a leak with the results of all probes, a cause, a caller, a related stack, and a memory limit."""
    each = leak(target_labels={"namespace": "eu"})
    return replace(
        each,
        findings=Findings(proven=3, waiting=Waiting({7: 2}, {"chan send": 2}, {}), older={3600.0: 2}),
        related=(RelatedStack(each.stack, Verdict.LEAKING, 3, Growth(1.0, 0.5, 2.0)),),
        callers=(Caller(way="heap", certainty="likely", function=each.stack.blamed, share=0.9, part="net/http"),),
        cause=next(iter(shipped())),
        memory=MemoryCost(stack=BYTES, resident=BYTES, source="", goroutines=3, growth=each.growth, limit=LIMIT),
    )


class CompletePipeline(Pipeline):
    """A pipeline with a target of which everything is known, a complete leak, and a rule that hides a leak."""

    def __init__(self) -> None:
        super().__init__(DetectionSettings(target_labels=("namespace",)))
        state = self.add_target(TARGET)
        self.observe(state, START, 9, samples({"a": 2, "b": 7}))
        state.probe_results.longest_pause = 0.1
        state.process_tracker.process = Process("1", "2")
        state.history.known_drop[:, 0] = 7
        state.history.past_lifetimes.ceilings[:, 0] = 0, 90, 0

    def open_leaks(self) -> list[Leak]:
        """Return the complete leak."""
        return [complete_leak()]

    def ignored(self) -> Mapping[str, int]:
        """Return a rule that hides one leak."""
        return {"a rule": 1}


def alertmanager_client() -> AlertmanagerClient:
    """Return the client of an Alertmanager that has received nothing."""
    config = AlertmanagerConfig.model_validate({"static_configs": [{"targets": ["am:9093"]}]})
    return AlertmanagerClient(
        AlertmanagerAddress("http://am:9093/api/v2/alerts"),
        config,
        Client(Tls(config.tls_config, secure=False), timeout=1),
        AlertQueue(),
        Clock(),
    )


def complete_registry() -> CollectorRegistry:
    """Return the registry."""
    health = {TARGET: TargetHealth(up=True, results=Counter(success=3), stretched_by="cpu")}
    clock, client = Clock(), alertmanager_client()
    links = AlertLinks("http://leakwatch", "http://grafana/d/{service}")
    starts = StartQueue(lambda: 0.0, idle=lambda: 0.0, cpu=lambda: 0.0)
    return make_registry(
        TargetCollector(CompletePipeline(), lambda: health, clock.wall, per_target=5, limit=99),
        LoadCollector(starts, Delays(), lambda: 7),
        DaemonCollector(lambda: links, lambda: (True, START), lambda: True),
        NotificationCollector({client.address.name: client}),
        EvidenceCollector(Store(EvidenceConfig(), clock)),
        StorageCollector(StorageStatus(folder=Path("data")), clock.wall),
        DiscoveryCollector(lambda: {"pods": RelabeledTargets()}, lambda: [DISCOVERER], clock.wall),
    )
