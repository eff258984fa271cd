"""Requests a full dump of each target with a leak that fails a check: it shows how the goroutines were created."""

from collections.abc import Iterable

from leakwatch.cli.scrape_session import ScrapeSession
from leakwatch.http.client import Client, Tls
from leakwatch.http.fetch import Fetcher
from leakwatch.leaks.model import Leak
from leakwatch.leaks.target_state import TargetState
from leakwatch.leaks.tracker import suspects, without_own_code
from leakwatch.scrape.probes.full_dump import NAME, FullDumpProbe
from leakwatch.scrape.probes.probe import ProbeContext, record, run_probe
from leakwatch.scrape.target_set import ScrapeTarget


async def request_dumps(session: ScrapeSession, leaks: Iterable[Leak], limit: int) -> None:
    """Request one full dump of each target of `leaks`, and record it in the state of the target.

    `limit`: largest number of goroutines of a process; a larger one is not stopped for a dump.
    """
    leaking = {(leak.service, name) for leak in leaks for name in leak.targets}
    for scrape_target in session.scrape_targets:
        target = scrape_target.target
        if (target.service, target.name) in leaking:
            await _request(session, scrape_target, limit)


async def _request(session: ScrapeSession, scrape_target: ScrapeTarget, limit: int) -> None:
    state = session.pipeline.add_target(scrape_target.target)
    if state.total > limit:
        state.probe_results.unavailable[NAME] = (
            f"the process has {state.total:,} goroutines and would stop meanwhile;"
            f" to allow this, use --full-dump-limit {state.total}"
        )
        session.pipeline.probe_recorded(state)
        return
    endpoint, http = scrape_target.endpoint, scrape_target.job.http
    tls = Tls(http.tls_config, secure=endpoint.url.scheme == "https")
    client = Client(tls, timeout=endpoint.timeout, socket=endpoint.socket)
    size_limit = scrape_target.job.size_limit
    fetcher = Fetcher(client, endpoint.url, http, timeout=endpoint.timeout, size_limit=size_limit)
    dumped = fetcher.with_profile("goroutine", size_limit, debug="2")
    probe, context = FullDumpProbe(dumped, "suspicion", limit, session.clock.stopwatch), _context(session, state)
    try:
        record(NAME, context, await run_probe(probe, context))
    finally:
        await client.close()
    session.pipeline.probe_recorded(state)


def _context(session: ScrapeSession, state: TargetState) -> ProbeContext:
    """Return the context of the probe. The dump is not judged: the verdict of the check is final."""
    pipeline = session.pipeline
    leaks = pipeline.leaks_on(state.target)
    return ProbeContext(
        state=state,
        time=session.clock.time(),
        now=session.clock.stopwatch(),
        total=state.total,
        suspects=suspects(leaks),
        identifier=pipeline.identifier,
        without_own_code=without_own_code(leaks, pipeline.is_own),
    )
