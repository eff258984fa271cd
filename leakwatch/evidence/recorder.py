"""Decides which bodies of a target are stored: the first after each verdict, and the last of each process.

Bodies are packed only while the target has a leak; a target without a leak costs nothing. The latest complete body
replaces the one before, in memory. It is written to disk once a minute, so that it survives the end of leakwatch,
and at once when the target does not respond. It stays when the process restarts or the target is removed.
"""

from collections.abc import Mapping, Sequence

import structlog

from leakwatch.clock import Clock
from leakwatch.errors import EvidenceError
from leakwatch.evidence.config import EvidenceConfig
from leakwatch.evidence.index import StoredBody
from leakwatch.evidence.packer import Packer
from leakwatch.evidence.record import SUFFIXES, SYMBOLS, BodyFormat, Kind, Record, RecordedLeak
from leakwatch.evidence.store import Store
from leakwatch.http.fetch import Feed
from leakwatch.leaks.model import Event
from leakwatch.leaks.tracker import LeakOnTarget
from leakwatch.model import Process, Target, Verdict
from leakwatch.pipeline import Pipeline
from leakwatch.profile import symbols as symbol

log = structlog.get_logger()

KINDS: Mapping[Verdict, Kind] = {
    Verdict.SUSPECTED: "suspected",
    Verdict.LEAKING: "leaking",
    Verdict.PROVEN: "proven",
}
MAX_TARGETS = 3
"""Targets of a leak that store a body at a verdict, those with the most goroutines of the leak."""
WRITE_INTERVAL = 60.0  # seconds between writes of the latest body of a target
HOUR = 3600.0


class TargetRecorder:
    """Records the evidence of one target."""

    def __init__(self, target: Target, store: Store, pipeline: Pipeline, clock: Clock) -> None:
        self.wanted: set[Kind] = set()
        """The kinds of the next body, besides `last`."""
        self._target = target
        self._store = store
        self._pipeline = pipeline
        self._clock = clock
        self._latest: StoredBody | None = None
        """The latest body of the current process."""
        self._written_at = float("-inf")
        self._lifetime = ""
        self._process: Process | None = None
        self._restarts = 0

    def begin(
        self, body_format: BodyFormat, size_limit: int, leaks: Sequence[LeakOnTarget]
    ) -> "BodyRecording | None":
        """Return a recording of the next body, None if the body is not stored.

        `size_limit`: decompressed bytes; `leaks`: the leaks on the target after the previous profile.
        """
        if self.wanted or _has_open_leak(leaks):
            return BodyRecording(self, self._store.packer(body_format, size_limit))
        self._discard_latest()
        return None

    async def end(
        self, packer: Packer, time: float, goroutines: int, process: Process | None, symbols: Mapping[int, str]
    ) -> None:
        """Store the body of `packer`. The pipeline has observed its profile at `time`."""
        try:
            await self._end(packer, time, goroutines, process, symbols)
        except EvidenceError as error:
            self._reject(error)
        except Exception:  # an internal error must not stop the scrapes of the target
            log.exception("internal error while storing evidence", service=self._target.service)

    def failed(self) -> None:
        """Write the latest body, because the target did not respond and may never respond again."""
        if self._latest:
            self._store.save(self._latest)

    async def dump(self, body: bytes, time: float, goroutines: int) -> None:
        """Store a full dump (debug=2) of the process that was scraped last, if it has a leak."""
        leaks = self._pipeline.leaks_on(self._target)
        if not leaks:
            return
        packer = self._store.packer("dump", len(body))
        packer.feed(body)
        try:
            packed = await packer.close()
        except EvidenceError as error:
            self._reject(error)
            return
        verdict = max(leak.verdict for leak in leaks)
        kinds = (KINDS.get(verdict, "suspected"),)
        record = self._record("dump", len(packed), kinds, time=time, goroutines=goroutines, leaks=leaks)
        self._store.save(self._store.add(record, {SUFFIXES["dump"]: packed}, self._lifetime))

    def finalize(self) -> None:
        """Write the latest body and keep it: no other body of its process follows."""
        self.failed()
        self._latest, self._lifetime = None, ""
        self._written_at = float("-inf")

    async def _end(
        self, packer: Packer, time: float, goroutines: int, process: Process | None, symbols: Mapping[int, str]
    ) -> None:
        state = self._pipeline.targets.get(self._target)
        if state is None or state.process_tracker.mixed:
            return
        if state.restarts != self._restarts:
            self.finalize()
        self._process, self._restarts = process, state.restarts
        leaks = self._pipeline.leaks_on(self._target)
        kinds: tuple[Kind, ...] = tuple(sorted(self.wanted))
        if not kinds and not _has_open_leak(leaks):
            self._discard_latest()
            return
        self.wanted = set()
        packed = await packer.close()
        if self._target not in self._pipeline.targets:
            return
        if not self._lifetime:
            # The time, not a counter, so that a target that was removed and added again has another lifetime.
            self._lifetime = process.start if process else f"unknown since {time}"
        parts = {SUFFIXES[packer.body_format]: packed}
        if packer.body_format == "text" and any(symbols.values()):
            parts[SYMBOLS] = symbol.encode(symbols)
        record = self._record(
            packer.body_format, len(packed), (*kinds, "last"), time=time, goroutines=goroutines, leaks=leaks
        )
        self._latest = self._store.add(record, parts, self._lifetime)
        if kinds or time - self._written_at >= WRITE_INTERVAL:
            self._written_at = time
            self._store.save(self._latest)

    def _discard_latest(self) -> None:
        """Discard the latest body if it was stored only as the last: its leak has ended before the process."""
        latest, self._latest = self._latest, None
        if latest is not None:
            self._store.remove_last(latest)

    def _record(
        self,
        body_format: BodyFormat,
        size: int,
        kinds: tuple[Kind, ...],
        *,
        time: float,
        goroutines: int,
        leaks: Sequence[LeakOnTarget],
    ) -> Record:
        state = self._pipeline.targets.get(self._target)
        return Record(
            service=self._target.service,
            target=self._target.name,
            time=round(self._clock.wall(time), 3),
            kinds=kinds,
            format=body_format,
            bytes=size,
            goroutines=goroutines,
            start=self._process.start if self._process else "",
            build=self._process.build if self._process else "",
            leaks=tuple(
                RecordedLeak(
                    stack=leak.stack.fingerprint,
                    function=leak.stack.blamed.function,
                    wait=leak.stack.wait,
                    verdict=leak.verdict.word,
                    growth_per_hour=leak.rate * HOUR,
                    goroutines=state.count(leak.stack.fingerprint) if state else 0,
                )
                for leak in leaks
            ),
        )

    def _reject(self, error: EvidenceError) -> None:
        self._store.reject(str(error), service=self._target.service, target=self._target.name)


class BodyRecording:
    """One body that is recorded while it arrives."""

    def __init__(self, recorder: TargetRecorder, packer: Packer) -> None:
        self._recorder = recorder
        self._packer = packer

    def tee(self, feed: Feed) -> Feed:
        """Return a function that passes each piece to `feed` and then records the piece."""
        return self._packer.tee(feed)

    async def end(self, time: float, total: int, process: Process | None, symbols: Mapping[int, str]) -> None:
        """Store the recorded body, the profile of `time`."""
        await self._recorder.end(self._packer, time, total, process, symbols)


class EvidenceRecorder:
    """The recorders of all targets, and the store of their bodies."""

    def __init__(self, settings: EvidenceConfig, pipeline: Pipeline, clock: Clock) -> None:
        self.store = Store(settings, clock)
        self._pipeline = pipeline
        self._clock = clock
        self._recorders: dict[Target, TargetRecorder] = {}

    def recorder(self, target: Target) -> TargetRecorder:
        """Return the recorder of a target; create it for a new target."""
        recorder = self._recorders.get(target)
        if recorder is None:
            recorder = self._recorders[target] = TargetRecorder(target, self.store, self._pipeline, self._clock)
        return recorder

    def on_events(self, events: Sequence[Event]) -> None:
        """Update the records of the leaks, and request the next bodies of some targets for a higher verdict."""
        for event in events:
            leak = event.leak
            fingerprint = leak.stack.fingerprint
            self.store.update_leak(leak.service, fingerprint, leak.verdict, leak.grew.rate * HOUR)
            if leak.verdict not in KINDS or leak.verdict <= event.before:
                continue
            states = [
                state
                for target, state in self._pipeline.targets.items()
                if target.service == leak.service and target.name in leak.targets
            ]
            states.sort(key=lambda state: state.count(fingerprint), reverse=True)
            for state in states[:MAX_TARGETS]:
                self.recorder(state.target).wanted.add(KINDS[leak.verdict])

    def target_removed(self, target: Target) -> None:
        """Keep the latest body of a removed target."""
        recorder = self._recorders.pop(target, None)
        if recorder:
            recorder.finalize()


def _has_open_leak(leaks: Sequence[LeakOnTarget]) -> bool:
    """Return whether one of the leaks still holds goroutines."""
    return any(leak.verdict >= Verdict.PLATEAU for leak in leaks)
