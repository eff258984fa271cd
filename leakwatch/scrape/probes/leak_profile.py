"""Asks the runtime itself which goroutines nothing can wake any more: `goroutineleak?debug=1`, Go 1.27 and later.

It costs the service a whole garbage collection, so it is asked on suspicion only, unless a schedule is wished for.
Where the profile does not exist that says nothing about leaks. debug=2 would stop the world: never asked.
"""

from collections import Counter
from typing import Annotated, Final, Literal

from pydantic import Field

from leakwatch.errors import ScrapeError
from leakwatch.http.fetch import Fetcher
from leakwatch.leaks.findings import Proof
from leakwatch.model import Fingerprint, Sample
from leakwatch.profile import text
from leakwatch.profile.fingerprint import site_of
from leakwatch.scrape.probes.probe import ProbeContext
from leakwatch.settings.types import Duration

PAUSE: Final = 900.0
When = Literal["off", "suspicion"] | Annotated[Duration, Field(ge=PAUSE)]
"""Never, when something is suspected, or every so many seconds besides."""


class LeakProfileProbe:
    """Asks one target; `scraper` is pointed at its `goroutineleak`, `limit`: goroutines that it may have."""

    name = "proof"
    pause = PAUSE

    def __init__(self, fetcher: Fetcher, when: When, limit: int) -> None:
        self._scraper = fetcher
        self._when = when
        self._limit = limit

    def wants(self, context: ProbeContext) -> bool:
        """Tell whether something is suspected, or it is time."""
        if self._when == "off" or context.total > self._limit:
            return False
        if context.suspects:
            return True
        asked = context.answers.asked.get(self.name, float("-inf"))
        return self._when != "suspicion" and context.now >= asked + self._when

    async def ask(self, context: ProbeContext) -> None:
        """Put down what is proven; raises ScrapeError."""
        parser = text.Parser(profile=b"goroutineleak")
        samples: dict[Fingerprint, Sample] = {}

        def feed(data: bytes) -> None:
            context.identifier.merge(parser.feed(data), samples)

        try:
            await self._scraper.fetch(feed)
            context.identifier.merge(parser.close(), samples)
        except ScrapeError as error:
            if error.reason in {"status", "not_a_profile"}:
                raise ScrapeError(error.reason, f"this program cannot tell (Go 1.27 can): {error}") from error
            raise
        found = Counter[Fingerprint]()
        for fingerprint, sample in samples.items():
            found[fingerprint] += sample.goroutines
            found[site_of(sample.stack.blamed.function)] += sample.goroutines
        context.answers.prove(Proof(context.time, found))
