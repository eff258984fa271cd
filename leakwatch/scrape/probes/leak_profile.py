"""Requests the goroutines that the runtime proves to be leaked: `goroutineleak?debug=1`, Go 1.27 and later.

The request costs the service a garbage collection. It is sent on suspicion only, unless a schedule is configured.
A missing profile does not mean that nothing leaks. debug=2 is never used: it would stop the service.
"""

from collections import Counter
from typing import Annotated, Final, Literal

from pydantic import Field

from leakwatch.errors import ScrapeError
from leakwatch.http.fetch import Fetcher
from leakwatch.leaks.findings import Proof
from leakwatch.model import Fingerprint
from leakwatch.profile import text
from leakwatch.profile.body import Body
from leakwatch.profile.fingerprint import site_of
from leakwatch.scrape.probes.probe import ProbeContext
from leakwatch.settings.types import Duration

PAUSE: Final = 900.0
When = Literal["off", "suspicion"] | Annotated[Duration, Field(ge=PAUSE)]
"""Never, on suspicion, or also at an interval in seconds."""


class LeakProfileProbe:
    """Requests proofs; `fetcher`: of `goroutineleak`, `limit`: largest number of goroutines of the process."""

    name = "proof"
    pause = PAUSE

    def __init__(self, fetcher: Fetcher, when: When, limit: int) -> None:
        self._fetcher = fetcher
        self._when = when
        self.is_scheduled = not isinstance(when, str)
        self._limit = limit

    def is_wanted(self, context: ProbeContext) -> bool:
        """Return whether a stack is suspected, or the schedule is due."""
        if self._when == "off" or context.total > self._limit:
            return False
        if context.suspects:
            return True
        return self._when != "suspicion" and context.schedule(self.name).allows(context.now, self._when)

    async def request(self, context: ProbeContext) -> None:
        """Record the leaked goroutines; raises ScrapeError."""
        body = Body(text.Parser(profile=b"goroutineleak"), context.identifier)
        try:
            await self._fetcher.fetch(body.feed)
            samples = body.close().samples
        except ScrapeError as error:
            if error.reason in {"status", "not_a_profile"}:
                raise ScrapeError(
                    error.reason, f"this program does not have the profile (Go 1.27 or newer): {error}"
                ) from error
            raise
        leaked = Counter[Fingerprint]()
        for fingerprint, sample in samples.items():
            leaked[fingerprint] += sample.goroutines
            leaked[site_of(sample.stack.blamed.function)] += sample.goroutines
        context.state.probe_results.add_proof(Proof(context.time, leaked))
