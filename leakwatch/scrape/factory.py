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
from leakwatch.scrape.probes.config import inquiries
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
    scraper = Fetcher(client, plan.endpoint.url, plan.http, timeout=plan.timeout, size_limit=plan.size_limit)
    question = symbols = None
    if plan.form == "proto":
        scraper.url = scraper.url.copy_with(params={"debug": "0"})
    else:
        question = ProcessProbe(scraper.beside("threadcreate", SIZE_LIMIT, debug="0"))
        symbols = SymbolProbe(scraper.beside("symbol", SIZE_LIMIT))
    pace = CostBudget(plan.interval, plan.cost_limit)
    pace.charge(-credit)
    return ScrapeLoop(
        target,
        scraper,
        pipeline,
        clock,
        lag,
        pace,
        question,
        symbols=symbols,
        form=plan.form,
        inquiries=inquiries(plan.closer, scraper, plan.endpoint, trail.dump if trail else None),
        trail=trail,
    )
