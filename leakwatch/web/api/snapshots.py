"""Snapshots: profiles that a comparison can use, from the evidence or from the latest scrape."""

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
"""The id of the latest scrape."""
CACHED: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileSnapshot:
    """The stacks of a profile. `time`: of the target's clock; `total` includes goroutines without a stack.

    `left_out`: goroutines of stacks that are not in `samples`, because they have no history.
    """

    id: str
    target: Target
    time: float
    total: int
    samples: Samples
    left_out: int = 0


class SnapshotReader:
    """Reads stored profiles. The latest few are cached, because pages request the same ones repeatedly."""

    def __init__(self) -> None:
        self._cache: dict[tuple[str, tuple[str, ...]], ProfileSnapshot] = {}
        self._reading = asyncio.Lock()  # one profile at a time: a large one takes a core for seconds

    def __len__(self) -> int:
        return len(self._cache)

    async def read(self, store: Store, key: str, own_code: tuple[str, ...]) -> ProfileSnapshot:
        """Return the stored profile with this id; raise NotFoundError if it is not stored or not readable.

        `own_code`: prefixes of functions that are own code wherever their files are.
        """
        async with self._reading:
            try:
                record, parts = await store.read(key)
                snapshot = self._cache.pop((key, own_code), None)
                if snapshot is None:
                    snapshot = await asyncio.to_thread(_snapshot, key, record, parts, own_code)
            except (KeyError, EvidenceError, ScrapeError) as error:
                raise unreadable(key, error) from error
            self._cache[key, own_code] = snapshot
            if len(self._cache) > CACHED:
                del self._cache[next(iter(self._cache))]
            return snapshot


def latest(pipeline: Pipeline, target: Target) -> ProfileSnapshot:
    """Return the latest scrape of a target; raise NotFoundError if there is none."""
    state = pipeline.targets.get(target)
    history = state.history if state else None
    if state is None or history is None or history.time is None:
        raise NotFoundError(f"target {quote(target.name)} of {quote(target.service)} has no current profile")
    samples = {
        stack.fingerprint: Sample(stack, int(count))
        for stack, count in zip(history.stacks, history.last.tolist(), strict=True)
        if stack is not None and count
    }
    return ProfileSnapshot(
        id=NOW, target=target, time=history.time, total=state.total, samples=samples, left_out=history.folded
    )


def parse(record: Record, parts: Mapping[str, bytes]) -> Profile:
    """Return a stored profile with the function names that were stored with it; raise ScrapeError."""
    names = symbol.parse(parts[SYMBOLS]) if SYMBOLS in parts else {}
    return saved.parse(parts[SUFFIXES[record.format]], ParseCache(symbols=names))


def unreadable(key: str, error: Exception) -> NotFoundError:
    """Return the error for a profile that is not stored, or that cannot be read because of `error`."""
    if isinstance(error, KeyError):
        return NotFoundError(f"no profile {quote(key)} is stored")
    return NotFoundError(f"profile {quote(key)} cannot be read: {error}")


def _snapshot(key: str, record: Record, parts: Mapping[str, bytes], own_code: tuple[str, ...]) -> ProfileSnapshot:
    profile = parse(record, parts)
    samples = Identifier(own_code).identify(profile)
    plain = {fingerprint: replace(sample, trace=None) for fingerprint, sample in samples.items()}
    target = Target(record.service, record.target)
    return ProfileSnapshot(id=key, target=target, time=record.time, total=profile.total, samples=plain)
