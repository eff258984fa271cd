"""Builds the scrape loop of a target."""

from collections.abc import Callable

from leakwatch.clock import Clock
from leakwatch.http.client import Client, Tls
from leakwatch.http.fetch import Fetcher
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.budget import TargetBudget
from leakwatch.scrape.loop import BodyRecorder, ScrapeLoop
from leakwatch.scrape.probes.config import probes
from leakwatch.scrape.probes.process import SIZE_LIMIT, ProcessProbe
from leakwatch.scrape.probes.symbols import SymbolProbe
from leakwatch.scrape.start_queue import StartQueue
from leakwatch.scrape.target_set import ScrapeTarget


def build_loop(  # noqa: PLR0913  parts that all loops share, and those of one loop
    scrape_target: ScrapeTarget,
    *,
    tls: Tls,
    pipeline: Pipeline,
    clock: Clock,
    lag: Callable[[], float],
    starts: StartQueue,
    recorder: BodyRecorder | None = None,
    budget: TargetBudget | None = None,
) -> ScrapeLoop:
    """Return the scrape loop of a target, and add the target to the pipeline.

    `tls`: shared by the targets of a job; `starts`: shared by all targets; `recorder`: stores evidence; `budget`:
    default: limits of the job, and those that protect leakwatch.
    """
    endpoint, job = scrape_target.endpoint, scrape_target.job
    client = Client(tls, timeout=endpoint.timeout, socket=endpoint.socket)
    url = endpoint.url.copy_merge_params({"debug": "0"}) if job.form == "proto" else endpoint.url
    fetcher = Fetcher(client, url, job.http, timeout=endpoint.timeout, size_limit=job.size_limit)
    is_text = job.form == "text"
    return ScrapeLoop(
        pipeline.add_target(scrape_target.target),
        fetcher=fetcher,
        pipeline=pipeline,
        clock=clock,
        lag=lag,
        budget=budget or TargetBudget(endpoint.interval, job.cost_limit),
        starts=starts,
        form=job.form,
        processes=ProcessProbe(fetcher.with_profile("threadcreate", SIZE_LIMIT, debug="0")) if is_text else None,
        symbols=SymbolProbe(fetcher.with_profile("symbol", SIZE_LIMIT)) if is_text else None,
        probes=probes(job.probes, fetcher, endpoint, clock.stopwatch, recorder.dump if recorder else None),
        recorder=recorder,
    )
