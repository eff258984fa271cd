"""Settings of the probes, and the probes of one target."""

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from leakwatch.discovery.target_builder import Endpoint
from leakwatch.http.fetch import Fetcher
from leakwatch.scrape.probes.full_dump import FullDumpProbe, Keep
from leakwatch.scrape.probes.full_dump import When as FullDumpWhen
from leakwatch.scrape.probes.heap_profile import HeapProfileProbe
from leakwatch.scrape.probes.heap_profile import When as HeapProfileWhen
from leakwatch.scrape.probes.leak_profile import LeakProfileProbe
from leakwatch.scrape.probes.leak_profile import When as LeakProofWhen
from leakwatch.scrape.probes.memory_usage import memory_probe
from leakwatch.scrape.probes.probe import Probe
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import Size

Goroutines = Annotated[int, Field(ge=0)]


class ProbeSettings(BaseSettings):
    """Keys of a scrape configuration for requests beside the scrapes."""

    leak_proof: LeakProofWhen = "suspicion"
    """When to request proofs from Go's runtime (1.27): `off`: never; `suspicion`: while a stack is suspected; a
    duration: also at this interval."""
    leak_proof_goroutines: Goroutines = 100_000
    """Largest number of goroutines of a process for which a proof is requested. The request costs the process a
    garbage collection."""
    full_dump: FullDumpWhen = "growth"
    """When to request a full dump, which shows the stuck goroutines: `off`: never; `suspicion`: while a stack is
    suspected; `growth`: also when a stack grows, and every two hours; a duration: while a stack is suspected, and
    at this interval."""
    full_dump_goroutines: Goroutines = 1000
    """Largest number of goroutines of a process for which a full dump is requested. A dump stops the process."""
    heap_profile: HeapProfileWhen = "suspicion"
    """When to request the heap profile, which shows for which own code a library holds memory."""
    heap_profile_gc: bool = False
    """Whether the process runs a garbage collection before the heap profile, which is then more exact."""
    heap_profile_size_limit: Size = 32 << 20
    """Largest size of a heap profile, decompressed."""


def probes(
    settings: ProbeSettings,
    fetcher: Fetcher,
    endpoint: Endpoint,
    stopwatch: Callable[[], float],
    keep: Keep | None = None,
) -> list[Probe]:
    """Return the probes of the target at `endpoint`, in their order.

    `fetcher`: of the profile of the target; `stopwatch`: returns seconds; `keep`: stores a full dump.
    """
    leaked = fetcher.with_profile("goroutineleak", fetcher.size_limit, debug="1")
    dumped = fetcher.with_profile("goroutine", fetcher.size_limit, debug="2")
    gc = {"gc": "1"} if settings.heap_profile_gc else {}
    heap = fetcher.with_profile("heap", settings.heap_profile_size_limit, debug="1", **gc)
    return [
        memory_probe(fetcher, endpoint),
        LeakProfileProbe(leaked, settings.leak_proof, settings.leak_proof_goroutines),
        FullDumpProbe(dumped, settings.full_dump, settings.full_dump_goroutines, stopwatch, keep),
        HeapProfileProbe(heap, settings.heap_profile),
    ]
