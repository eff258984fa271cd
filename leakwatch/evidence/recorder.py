"""Which bodies of a target are kept: at each verdict on a leak, and the last one before a restart or an end.

While a target has a leak, the pieces of its bodies go to a packer too; a target without one pays nothing. The
latest whole body takes the place of the one before, in memory; on disk once a minute, so that it survives us, and
at once when the target no longer answers. When the process is another one, or the target goes, it stays for good.
"""

from collections.abc import Callable, Mapping, Sequence

import structlog

from leakwatch.errors import EvidenceError
from leakwatch.evidence.config import EvidenceConfig
from leakwatch.evidence.index import StoredBody
from leakwatch.evidence.packer import Packer
from leakwatch.evidence.record import SUFFIXES, SYMBOLS, Kept, Kind, Record, RecordedLeak
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
TARGETS = 3
"""Of a leak on many, the bodies of those with the most goroutines of it are kept at a verdict."""
PAUSE = 60.0  # seconds between two times that the last body of a target is written
HOUR = 3600.0


class TargetRecorder:
    """The evidence of one target as it goes on; `wall`: turns the daemon's time into the wall clock's."""

    def __init__(self, target: Target, store: Store, pipeline: Pipeline, wall: Callable[[float], float]) -> None:
        self.wanted: set[Kind] = set()
        """What the next body is to be kept for."""
        self._target = target
        self._store = store
        self._pipeline = pipeline
        self._wall = wall
        self._newest: StoredBody | None = None
        self._written = float("-inf")
        self._lifetime = ""
        self._process: Process | None = None
        self._restarts = 0

    def begin(self, form: Kept, size_limit: int, leaks: Sequence[LeakOnTarget]) -> "BodyRecording | None":
        """Return a recording of the next body, None if it is not wanted.

        `size_limit`: decompressed bytes; `leaks`: on the target so far.
        """
        if self.wanted or any(leak.verdict >= Verdict.PLATEAU for leak in leaks):
            return BodyRecording(self, self._store.packer(form, size_limit), form)
        self._let_go()
        return None

    async def end(
        self,
        packer: Packer,
        form: Kept,
        time: float,
        total: int,
        process: Process | None,
        symbols: Mapping[int, str],
    ) -> None:
        """Keep the body that `packer` took in, which was judged as the profile of `time`."""
        try:
            await self._end(packer, form, time, total, process, symbols)
        except EvidenceError as error:
            self._drop(error)
        except Exception:  # a mistake of ours must not silence a target
            log.exception("evidence was not kept, by a mistake of ours", service=self._target.service)

    async def dump(self, body: bytes, time: float, goroutines: int) -> None:
        """Keep a full dump (debug=2) of the process that was scraped last, for what is thought of its leaks."""
        verdict = max((verdict for _, verdict, _ in self._leaks()), default=Verdict.SUSPECTED)
        packer = self._store.packer("dump", len(body))
        packer.feed(body)
        try:
            packed = await packer.close()
        except EvidenceError as error:
            self._drop(error)
            return
        kinds = (KINDS.get(verdict, "suspected"),)
        record = self._record("dump", time, goroutines, self._process, kinds, len(packed))
        self._store.save(self._store.add(record, {SUFFIXES["dump"]: packed}, self._lifetime))

    def failed(self) -> None:
        """Take in that the target gave no profile: the last one that it gave may be the last for ever."""
        if self._newest:
            self._store.save(self._newest)

    def freeze(self) -> None:
        """Keep the last body for good: there will be none of the same process."""
        self.failed()
        self._newest, self._lifetime = None, ""
        self._written = float("-inf")

    async def _end(
        self,
        packer: Packer,
        form: Kept,
        time: float,
        total: int,
        process: Process | None,
        symbols: Mapping[int, str],
    ) -> None:
        state = self._pipeline.targets.get(self._target)
        if state is None or state.process_tracker.mixed:
            return
        if state.restarts != self._restarts:
            self.freeze()
        self._process = process
        self._restarts = state.restarts
        kinds: tuple[Kind, ...] = tuple(sorted(self.wanted))
        if not kinds and not self._leaks():
            self._let_go()
            return
        self.wanted = set()
        packed = await packer.close()
        if self._target not in self._pipeline.targets:
            return
        if not self._lifetime:
            # Its time, and no number: it is another one even if the target has gone and come back.
            self._lifetime = process.start if process else f"unknown since {time}"
        parts = {SUFFIXES[form]: packed}
        if form == "text" and any(symbols.values()):
            parts[SYMBOLS] = symbol.encode(symbols)
        record = self._record(form, time, total, process, (*kinds, "last"), len(packed))
        self._newest = body = self._store.add(record, parts, self._lifetime)
        if kinds or time - self._written >= PAUSE:
            self._written = time
            self._store.save(body)

    def _let_go(self) -> None:
        """Keep the last body no longer: the leak that it was kept for is over, and the process goes on."""
        body, self._newest = self._newest, None
        if body is not None:
            rest = body.record.without_last()
            if rest is None:
                self._store.remove(body)
            else:
                self._store.change(body, rest)

    def _leaks(self) -> list[tuple[str, Verdict, float]]:
        """Return stack, verdict and growth of the leaks on the target that hold goroutines still."""
        leaks = self._pipeline.leaks_on(self._target)
        return [
            (leak.stack.fingerprint, leak.verdict, leak.rate) for leak in leaks if leak.verdict >= Verdict.PLATEAU
        ]

    def _record(
        self,
        form: Kept,
        time: float,
        total: int,
        process: Process | None,
        kinds: Sequence[Kind],
        size: int,
    ) -> Record:
        target = self._target
        state = self._pipeline.targets.get(target)
        leaks = [
            RecordedLeak(
                stack=leak.stack.fingerprint,
                function=leak.stack.blamed.function,
                wait=leak.stack.wait,
                verdict=leak.verdict.word,
                growth_per_hour=leak.rate * HOUR,
                goroutines=state.count(leak.stack.fingerprint) if state else 0,
            )
            for leak in self._pipeline.leaks_on(target)
        ]
        return Record(
            service=target.service,
            target=target.name,
            time=round(self._wall(time), 3),
            kinds=tuple(kinds),
            format=form,
            bytes=size,
            goroutines=total,
            start=process.start if process else "",
            build=process.build if process else "",
            leaks=tuple(leaks),
        )

    def _drop(self, error: EvidenceError) -> None:
        self._store.drop(str(error), service=self._target.service, target=self._target.name)


class BodyRecording:
    """One body that is recorded while it arrives."""

    def __init__(self, recorder: TargetRecorder, packer: Packer, form: Kept) -> None:
        self._recorder = recorder
        self._packer = packer
        self._form: Kept = form

    def tee(self, feed: Feed) -> Feed:
        """Return a feed that records the pieces and passes them to `feed`."""
        return self._packer.tee(feed)

    async def end(self, time: float, total: int, process: Process | None, symbols: Mapping[int, str]) -> None:
        """Store the recorded body, the profile of `time`."""
        await self._recorder.end(self._packer, self._form, time, total, process, symbols)


class EvidenceRecorder:
    """The trails of all targets, and the store of what is kept of them."""

    def __init__(self, settings: EvidenceConfig, pipeline: Pipeline, wall: Callable[[float], float]) -> None:
        self.store = Store(settings)
        self._pipeline = pipeline
        self._wall = wall
        self._trails: dict[Target, TargetRecorder] = {}

    def recorder(self, target: Target) -> TargetRecorder:
        """Return the trail of a target, which begins if it is new."""
        found = self._trails.get(target)
        if found is None:
            found = self._trails[target] = TargetRecorder(target, self.store, self._pipeline, self._wall)
        return found

    def told(self, events: Sequence[Event]) -> None:
        """Take in which leaks have another verdict: the next bodies of some targets are wanted."""
        for event in events:
            leak = event.leak
            fingerprint = leak.stack.fingerprint
            self.store.tell(leak.service, fingerprint, leak.verdict, leak.grew.rate * HOUR)
            if leak.verdict not in KINDS or leak.verdict <= event.before:
                continue
            states = [state for target, state in self._pipeline.targets.items() if target.service == leak.service]
            growing = [state for state in states if state.target.name in leak.targets]
            growing.sort(key=lambda state: state.count(fingerprint), reverse=True)
            for state in growing[:TARGETS]:
                self.recorder(state.target).wanted.add(KINDS[leak.verdict])

    def target_removed(self, target: Target) -> None:
        """Keep the last body of a target that has gone."""
        trail = self._trails.pop(target, None)
        if trail:
            trail.freeze()
