"""Profiles as they were at moments that can be compared: a body that is kept, or what was scraped last."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from leakwatch.errors import EvidenceError, NotFoundError, ScrapeError, quote
from leakwatch.evidence.record import SUFFIXES, SYMBOLS, Record
from leakwatch.evidence.store import Store
from leakwatch.model import Profile, Sample, Samples, Target
from leakwatch.pipeline import Pipeline
from leakwatch.profile import formats as saved
from leakwatch.profile import symbols as symbol
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.stacks import Identifier

NOW: Final = "now"
"""What stands for the profile that was scraped last, where others have an id."""
REMEMBERED: Final = 4


@dataclass(frozen=True, slots=True)
class Moment:
    """What was in the profile of a target; `time` as its clock told it, `total` with goroutines of no stack.

    `left_out`: goroutines of stacks that are not among `samples`, for they are not followed one by one.
    """

    id: str
    target: Target
    time: float
    total: int
    samples: Samples
    left_out: int = 0


class Moments:
    """Reads bodies that are kept; of the latest few it remembers the stacks, for pages ask again and again."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, tuple[str, ...]], Moment] = {}
        self._reading = asyncio.Lock()  # one at a time: a large body takes a core for seconds

    def __len__(self) -> int:
        return len(self._known)

    async def read(self, store: Store, key: str, own_code: tuple[str, ...]) -> Moment:
        """Return what is in the body of this id; raises NotFoundError if it is not kept, or cannot be read.

        `own_code`: prefixes of functions that are own code wherever their files lie.
        """
        async with self._reading:
            try:
                record, parts = await store.read(key)
                found = self._known.pop((key, own_code), None)
                if found is None:
                    found = await asyncio.to_thread(_moment, key, record, parts, own_code)
            except (KeyError, EvidenceError, ScrapeError) as error:
                raise unreadable(key, error) from error
            self._known[key, own_code] = found
            if len(self._known) > REMEMBERED:
                del self._known[next(iter(self._known))]
            return found


def latest(pipeline: Pipeline, target: Target) -> Moment:
    """Return what was scraped last of a target; raises NotFoundError if nothing was."""
    state = pipeline.targets.get(target)
    history = state.history if state else None
    if state is None or history is None or history.time is None:
        raise NotFoundError(f"of target {quote(target.name)} of {quote(target.service)} there is no profile now")
    samples = {
        stack.fingerprint: Sample(stack, int(count))
        for stack, count in zip(history.stacks, history.last.tolist(), strict=True)
        if stack is not None and count
    }
    return Moment(NOW, target, history.time, state.total, samples, history.folded)


def parse(record: Record, parts: Mapping[str, bytes]) -> Profile:
    """Return what is in a body, with the names of functions that stand beside it; raises ScrapeError."""
    names = symbol.parse(parts[SYMBOLS]) if SYMBOLS in parts else {}
    return saved.parse(parts[SUFFIXES[record.format]], ParseCache(symbols=names))


def unreadable(key: str, error: Exception) -> NotFoundError:
    """Return what a reader is told of a body that is not kept, or cannot be read."""
    if isinstance(error, KeyError):
        return NotFoundError(f"no profile {quote(key)} is kept")
    return NotFoundError(f"profile {quote(key)} cannot be read: {error}")


def _moment(key: str, record: Record, parts: Mapping[str, bytes], own_code: tuple[str, ...]) -> Moment:
    profile = parse(record, parts)
    samples = Identifier(own_code).identify(profile)
    plain = {fingerprint: replace(sample, trace=None) for fingerprint, sample in samples.items()}
    return Moment(key, Target(record.service, record.target), record.time, profile.total, plain)
