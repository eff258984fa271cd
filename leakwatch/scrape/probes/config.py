"""What the configuration says of closer looks, and the inquiries of one target that this makes."""

from typing import Annotated

from pydantic import Field

from leakwatch.discovery.target_builder import Endpoint
from leakwatch.http.fetch import Fetcher
from leakwatch.scrape.probes import full_dump as dumping
from leakwatch.scrape.probes import leak_profile as proof
from leakwatch.scrape.probes.full_dump import FullDumpProbe, Keep
from leakwatch.scrape.probes.leak_profile import LeakProfileProbe
from leakwatch.scrape.probes.memory_usage import memory_inquiry
from leakwatch.scrape.probes.probe import Probe
from leakwatch.settings.base import BaseSettings

Goroutines = Annotated[int, Field(ge=0)]


class ProbeSettings(BaseSettings):
    """The keys of a scrape configuration that say what may be asked beside the profile."""

    leak_proof: proof.When = "suspicion"
    """When Go's own runtime (1.27) is asked what nothing can wake: at a suspicion, or every so often besides."""
    leak_proof_goroutines: Goroutines = 100_000
    """The most that a process may have: it pays a garbage collection."""
    full_dump: dumping.When = "suspicion"
    """When a full dump is asked for, which says how long goroutines have waited and who started them."""
    full_dump_goroutines: Goroutines = 1000
    """The most that a process may have: it stands still meanwhile."""


def probes(settings: ProbeSettings, fetcher: Fetcher, endpoint: Endpoint, keep: Keep | None = None) -> list[Probe]:
    """Return what is to be asked of the target at `endpoint`, in this order.

    `scraper`: of its profile; `keep`: keeps a full dump.
    """
    leaked = fetcher.with_profile("goroutineleak", fetcher.size_limit, debug="1")
    dumped = fetcher.with_profile("goroutine", fetcher.size_limit, debug="2")
    return [
        memory_inquiry(fetcher, endpoint),
        LeakProfileProbe(leaked, settings.leak_proof, settings.leak_proof_goroutines),
        FullDumpProbe(dumped, settings.full_dump, settings.full_dump_goroutines, keep),
    ]
