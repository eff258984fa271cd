"""Makes the job of a target, as its plan says."""

from collections.abc import Callable

from leakwatch.clock import Clock
from leakwatch.evidence.recorder import TargetRecorder
from leakwatch.http.client import Client, Tls
from leakwatch.http.fetch import Fetcher
from leakwatch.model import Target
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.budget import CostBudget
from leakwatch.scrape.loop import ScrapeLoop
from leakwatch.scrape.probes.config import probes
from leakwatch.scrape.probes.process import SIZE_LIMIT, ProcessProbe
from leakwatch.scrape.probes.symbols import SymbolProbe
from leakwatch.scrape.target_set import ScrapeTarget


def build_loop(  # noqa: PLR0913  each is a part with a life of its own
    target: Target,
    plan: ScrapeTarget,
    tls: Tls,
    pipeline: Pipeline,
    clock: Clock,
    lag: Callable[[], float],
    *,
    trail: TargetRecorder | None = None,
    credit: float = 0.0,
) -> ScrapeLoop:
    """Return the job that scrapes `target` and asks it for more; `tls`: shared by the targets of a job.

    `trail`: keeps what is evidence; `credit`: seconds of a core that count as saved from the beginning.
    """
    client = Client(tls, timeout=plan.timeout, socket=plan.endpoint.socket)
    url = plan.endpoint.url.copy_with(params={"debug": "0"}) if plan.form == "proto" else plan.endpoint.url
    fetcher = Fetcher(client, url, plan.http, timeout=plan.timeout, size_limit=plan.size_limit)
    process_probe = symbols = None
    if plan.form == "text":
        process_probe = ProcessProbe(fetcher.with_profile("threadcreate", SIZE_LIMIT, debug="0"))
        symbols = SymbolProbe(fetcher.with_profile("symbol", SIZE_LIMIT))
    pace = CostBudget(plan.interval, plan.cost_limit)
    pace.charge(-credit)
    return ScrapeLoop(
        target,
        fetcher,
        pipeline,
        clock,
        lag,
        pace,
        process_probe,
        symbols=symbols,
        form=plan.form,
        probes=probes(plan.closer, fetcher, plan.endpoint, trail.dump if trail else None),
        trail=trail,
    )
