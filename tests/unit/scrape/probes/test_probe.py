"""Probes: when they send requests, how they fail, and the findings that follow from their results."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from leakwatch.detect.dumped import UNKNOWN, DumpedStacks
from leakwatch.errors import FetcherClosed
from leakwatch.http.fake import FakeFetcher
from leakwatch.http.fetch import Fetcher
from leakwatch.leaks.findings import FullDump, ProbeResults, Proof, findings
from leakwatch.leaks.model import Leak
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Process, Stack, Target, Verdict, Waiting
from leakwatch.pipeline import Pipeline
from leakwatch.profile import dump, text
from leakwatch.profile.fingerprint import site_of
from leakwatch.profile.stacks import Identifier
from leakwatch.scrape.probes import process, symbols
from leakwatch.scrape.probes.full_dump import FullDumpProbe
from leakwatch.scrape.probes.full_dump import When as DumpWhen
from leakwatch.scrape.probes.heap_profile import HeapProfileProbe
from leakwatch.scrape.probes.leak_profile import LeakProfileProbe, When
from leakwatch.scrape.probes.memory_usage import METRICS, MemoryProbe
from leakwatch.scrape.probes.probe import Probe, ProbeContext, is_due, record, run_probe
from tests.support.simulated import HOUR, INTERVAL, START, TARGET, play, samples, stack

RECORDED = Path(__file__).parents[3] / "profiles" / "1.27"
SIZE_LIMIT = 1 << 20
BODY = b"goroutineleak profile: total 3\n3 @ 0x11 0x21\n#\t0x10\tmain.lost+0x1\t/src/main.go:7\n\n"
LEAKED = 200, BODY
Answer = tuple[int, bytes] | httpx.HTTPError
LOST = stack("lost", "main.lost")


class Probed:
    """A simulated target with one probe; `answer`: status and body, or the error of the connection."""

    def __init__(self, answer: Answer, make: Callable[[Fetcher], Probe]) -> None:
        self.answer = answer
        self.fetcher = FakeFetcher(self._respond)
        self.probe = make(self.fetcher)
        self.state = Pipeline(DetectionSettings()).add_target(TARGET)
        self.identifier = Identifier()
        self.dumps: list[DumpedStacks] = []

    @property
    def results(self) -> ProbeResults:
        """The results of the probe."""
        return self.state.probe_results

    def _respond(self, _request: httpx.Request) -> tuple[int, bytes]:
        if isinstance(self.answer, httpx.HTTPError):
            raise self.answer
        return self.answer

    def run(
        self,
        now: float,
        *,
        total: int = 10,
        suspects: Mapping[Fingerprint, Stack] | None = None,
        wants_dump: bool = False,
    ) -> bool:
        """Run the probe if it is due at `now`; return whether it was."""
        context = ProbeContext(
            state=self.state,
            time=START + now,
            now=now,
            total=total,
            suspects={LOST.fingerprint: LOST} if suspects is None else suspects,
            identifier=self.identifier,
            without_own_code={LOST.fingerprint: LOST} if suspects is None else suspects,
            wants_dump=lambda: wants_dump,
            on_dump=self.dumps.append,
        )
        due = is_due(self.probe, context)
        if due:
            record(self.probe.name, context, asyncio.run(run_probe(self.probe, context)))
        return due


def proof(answer: Answer = LEAKED, when: When = "suspicion", limit: int = 1000) -> Probed:
    """Return a target with a probe for proofs."""
    return Probed(
        answer, lambda fetcher: LeakProfileProbe(fetcher.with_profile("goroutineleak", SIZE_LIMIT), when, limit)
    )


def full_dump(answer: Answer, limit: int = 1000, when: DumpWhen = "suspicion") -> Probed:
    """Return a target with a probe for full dumps."""
    return Probed(answer, lambda fetcher: FullDumpProbe(fetcher, when, limit, lambda: 0.0))


def test_a_probe_runs_on_suspicion_and_rarely() -> None:
    """Without suspects no request is sent; with one it is sent at once, and again after 15 minutes."""
    probed = proof()
    assert not probed.run(0, suspects={})
    assert [probed.run(now) for now in (1, 2, 600, 900, 901, 902)] == [True, False, False, False, True, False]
    assert probed.results.proof is not None
    assert probed.results.proof.time == START + 901


def test_a_restart_does_not_shorten_the_pause() -> None:
    """Restarts drop the results of the old process, but do not lead to more requests."""
    probed = proof()
    assert probed.run(1)
    probed.results.restart()
    assert probed.results.proof is None
    assert not probed.run(2)
    assert probed.run(901)


@pytest.mark.parametrize(("when", "due"), [("off", False), ("suspicion", False), (3600.0, True)])
def test_a_scheduled_probe_runs_without_suspects(when: When, due: bool) -> None:
    """With an interval the probe runs at that interval, and on suspicion as well."""
    probed = proof(when=when)
    assert probed.run(0, suspects={}) is due
    assert not probed.run(3599, suspects={})
    assert probed.run(3599) is (when != "off")
    assert probed.run(2 * 3600 - 2, suspects={}) is False
    assert probed.run(2 * 3600, suspects={}) is due


def test_large_processes_are_not_probed() -> None:
    """A process with more goroutines than the limit is not probed."""
    assert not proof(limit=1000).run(0, total=1001)
    assert proof(limit=1000).run(0, total=1000)
    body = 200, (RECORDED / "goroutine.debug2.txt").read_bytes()
    assert not full_dump(body).run(0, total=1001)
    assert full_dump(body).run(0, total=1000)


@pytest.mark.parametrize(
    ("answer", "lasting"),
    [
        ((404, b"Unknown profile"), True),
        ((200, b"<!doctype html><html>an index of profiles that answers to every name</html>"), True),
        ((200, BODY.replace(b"3 @ 0x11", b"three @ 0x11")), True),
        (httpx.ReadTimeout(""), False),
        (httpx.ConnectError("refused"), False),
        ((200, BODY[:-10]), False),
        ((200, BODY.replace(b"total 3", b"total 4")), False),
    ],
)
def test_a_failure_is_recorded_and_retried_if_it_may_pass(answer: Answer, lasting: bool) -> None:
    """A process that cannot answer is asked once; other failures are retried with growing pauses."""
    probed = proof(answer)
    times = [minute * 60.0 for minute in range(24 * 60) if probed.run(minute * 60.0)]
    assert probed.results.proof is None
    assert probed.results.unavailable["proof"]
    assert times[:8] == ([0] if lasting else [0, 900, 1800, 2700, 3600, 4560, 6480, 10_080])
    probed.answer = LEAKED
    probed.results.restart()
    assert probed.results.unavailable == {}
    assert probed.run(25 * 3600)
    assert probed.results.proof is not None


def test_a_program_without_the_profile() -> None:
    """If the profile does not exist, the number of leaked goroutines is unknown, and the reason is readable."""
    probed = proof((404, b""))
    probed.run(0)
    result = findings([LOST.fingerprint], [probed.results], [])
    assert result.proven is None
    assert result.unavailable == {
        "proof": "this program does not have the profile (Go 1.27 or newer): "
        "HTTP 404 for /debug/pprof/goroutineleak"
    }


def test_proof_of_every_stack_and_site() -> None:
    """The runtime's stacks are found under the fingerprints of the goroutine profile, and summed up by site."""
    identifier = Identifier()
    probed = proof((200, (RECORDED / "goroutineleak.debug1.txt").read_bytes()))
    probed.identifier = identifier
    assert probed.run(0)
    assert probed.results.proof is not None
    proven = probed.results.proof.goroutines
    body = (RECORDED / "goroutine.debug1.txt").read_bytes()
    printed = identifier.identify(text.parse(body))
    known = {key: sample for key, sample in printed.items() if key in proven}
    assert sum(proven[key] for key in known) == 135
    assert all(proven[key] <= sample.goroutines for key, sample in known.items())
    by_site = {site_of(sample.stack.blamed.function) for sample in known.values()}
    assert sum(proven[site] for site in by_site) == 135


def test_when_a_full_dump_is_requested() -> None:
    """By default when the judge wants one, else on suspicion once an hour, or also at an interval."""
    body = 200, (RECORDED / "goroutine.debug2.txt").read_bytes()
    growth = full_dump(body, when="growth")
    assert [growth.run(now, wants_dump=now != 2) for now in (0, 1, 2, 3)] == [True, True, False, True]
    suspicion = full_dump(body)
    assert not suspicion.run(0, suspects={}, wants_dump=True)
    assert [suspicion.run(now) for now in (0, 3599, 3600)] == [True, False, True]
    scheduled = full_dump(body, when=7200.0)
    assert [scheduled.run(now, suspects={}) for now in (0, 7199, 7200)] == [True, False, True]
    assert scheduled.run(7200 + 3600), "on suspicion"
    assert not full_dump(body, when="off").run(0, wants_dump=True)


def test_a_full_dump_is_passed_to_the_judge() -> None:
    """The judge gets ID, wait time and creator of each goroutine, and the longest pause is kept."""
    body = (RECORDED / "goroutine.debug2.txt").read_bytes()
    readings = iter((10.0, 10.25, 11.0, 12.0, 13.0, 14.0))
    probed = Probed((200, body), lambda fetcher: FullDumpProbe(fetcher, "suspicion", 1000, lambda: next(readings)))
    assert probed.run(0)
    (stacks,) = probed.dumps
    goroutines = [goroutine for goroutine in dump.parse(body).goroutines if goroutine.trace.frames]
    assert sorted(number for stack in stacks.values() for number in stack.ids.tolist()) == sorted(
        goroutine.number for goroutine in goroutines
    )
    waits = [minutes for stack in stacks.values() for minutes in stack.minutes.tolist()]
    assert sorted(waits) == sorted(UNKNOWN if g.minutes is None else g.minutes for g in goroutines)
    assert {parent for stack in stacks.values() for parent in stack.parents.tolist()} == {
        goroutine.parent for goroutine in goroutines
    }
    assert probed.results.longest_pause == 0.25


def test_a_full_dump_has_the_wait_times_of_suspects() -> None:
    """State, minutes and creator of the suspected stacks are recorded, and of no others."""
    body = (RECORDED / "goroutine.debug2.txt").read_bytes()
    identifier = Identifier()
    printed = identifier.identify(dump.parse(body).profile())
    some = next(sample.stack for sample in printed.values() if sample.stack.blamed.function == "main.chanSend")
    probed = full_dump((200, body))
    probed.identifier = identifier
    assert probed.run(0, suspects={some.fingerprint: some, LOST.fingerprint: LOST})
    assert probed.results.full_dump is not None
    (waiting,) = probed.results.full_dump.waiting.values()
    assert set(waiting.states) == {"chan send"}
    assert sum(waiting.creators.values()) == printed[some.fingerprint].goroutines


def test_a_full_dump_has_who_started_the_suspects() -> None:
    """The own code that started the goroutines is recorded for suspects of leaks without own code."""
    body = (RECORDED.parent / "callers" / "ancestors.debug2.txt").read_bytes()
    identifier = Identifier()
    printed = identifier.identify(dump.parse(body).profile())
    some = next(sample.stack for sample in printed.values() if "http2Client" in sample.stack.blamed.function)
    probed = full_dump((200, body))
    assert probed.run(0, suspects={some.fingerprint: some, LOST.fingerprint: LOST})
    assert probed.results.full_dump is not None
    (starters,) = probed.results.full_dump.starters.values()
    assert [(each.function.function, each.goroutines) for each in starters] == [("main.(*supplier).Stock", 2)]


@pytest.mark.parametrize("size", [1000, 100_003])
def test_a_truncated_dump_is_a_failure(size: int) -> None:
    """A dump that ends early, in the middle of a line or not, gives an error and no wait times."""
    body = (RECORDED / "goroutine.debug2.txt").read_bytes()[:size]
    probed = full_dump((200, body))
    assert probed.run(0)
    assert probed.results.full_dump is None
    assert "ends" in probed.results.unavailable["age"]


def leaking(hours: float = 6.0) -> Pipeline:
    """Return a pipeline in which main.lost leaks 30 goroutines an hour, beside a busy stack."""
    load = lambda at: {"lost": int(at / 120), "busy": 20 + int(7 * ((at * 7919) % 1))}  # noqa: E731  a table of one row
    return play(load, hours)[0]


def the(pipeline: Pipeline, name: str = "lost") -> Leak:
    """Return the leak of main.NAME."""
    return next(leak for leak in pipeline.open_leaks() if leak.stack.blamed.function == f"main.{name}")


def key_of(name: str) -> Fingerprint:
    """Return the fingerprint of a made-up stack."""
    return next(iter(samples({name: 1})))


def prove(pipeline: Pipeline, target: Target = TARGET, **goroutines: int) -> list[Verdict]:
    """Let the runtime of `target` report leaked `goroutines` by stack; return the verdicts that changed."""
    found = {key_of(name): number for name, number in goroutines.items()}
    state = pipeline.add_target(target)
    state.probe_results.add_proof(Proof(state.history.time or 0.0, found))
    return [event.leak.verdict for event in pipeline.apply_proof(state, state.history.time or 0.0)]


def test_a_leak_that_is_proven() -> None:
    """A leak that the runtime confirms is proven: the reason has the number, and the confidence is 1."""
    pipeline = leaking()
    assert the(pipeline).verdict is Verdict.LEAKING
    assert prove(pipeline, lost=170) == [Verdict.PROVEN]
    leak = the(pipeline)
    assert (leak.findings.proven, leak.confidence) == (170, 1.0)
    assert leak.reason.endswith("; proven: the runtime reports that nothing can wake 170 of them")


def test_a_leak_that_is_reachable() -> None:
    """If the runtime does not report the goroutines as leaked, the leak stays open and the reason states it."""
    pipeline = leaking()
    assert prove(pipeline, other=80) == []
    leak = the(pipeline)
    assert (leak.verdict, leak.findings.proven) == (Verdict.LEAKING, 0)
    assert leak.reason.endswith("; reachable: the runtime reports that they can still end")


def test_a_suspicion_that_is_proven() -> None:
    """A proof confirms a suspected leak, which stays confirmed when its counts alone would clear it."""
    pipeline = leaking(3.0)
    assert the(pipeline).verdict is Verdict.SUSPECTED
    assert prove(pipeline, lost=60) == [Verdict.PROVEN]
    now = pipeline.add_target(TARGET).history.time or 0.0
    for i in range(1, 600):
        pipeline.observe(pipeline.add_target(TARGET), now + i * INTERVAL, 90, samples({"lost": 90}))
    assert the(pipeline).verdict in {Verdict.PROVEN, Verdict.PLATEAU}


def test_more_proven_than_before() -> None:
    """A second proof with more goroutines than the first confirms a leak that is too slow for its counts."""
    pipeline, _ = play(lambda at: {"lost": 3 + (at >= 2 * HOUR), "init": 2}, 3.0)
    assert pipeline.open_leaks() == []
    assert prove(pipeline, lost=3, init=2) == []
    assert prove(pipeline, lost=4, init=2) == [Verdict.PROVEN]
    assert the(pipeline).findings.proven == 4
    assert [leak.stack.blamed.function for leak in pipeline.open_leaks()] == ["main.lost"]


def test_a_restart_drops_the_proof() -> None:
    """After a restart the leak is still reported, but no longer as proven."""
    pipeline = leaking()
    prove(pipeline, lost=80)
    now = pipeline.add_target(TARGET).history.time or 0.0
    pipeline.restart(pipeline.add_target(TARGET), now + 1)
    assert (the(pipeline).verdict, the(pipeline).findings.proven) == (Verdict.LEAKING, None)


def test_one_leaked_goroutine_does_not_prove_a_leak() -> None:
    """The leaked goroutines must explain the growth: a single old one does not confirm a suspicion."""
    pipeline = leaking(3.0)
    assert prove(pipeline, lost=1) == []
    assert the(pipeline).verdict is Verdict.SUSPECTED
    assert prove(pipeline, lost=1) == []
    assert prove(pipeline, lost=2) == [Verdict.PROVEN]  # more than at first


def test_a_proof_ends_with_its_process() -> None:
    """A replacement takes over the leak of a removed pod, but not its proof."""
    pipeline, new = leaking(), Target("shop", "10.0.0.2:6060")
    assert prove(pipeline, lost=170) == [Verdict.PROVEN]
    now = pipeline.add_target(TARGET).history.time or 0.0
    for i in range(20):
        now += INTERVAL
        pipeline.observe(pipeline.add_target(TARGET), now, 180, samples({"lost": 180}))
        pipeline.observe(pipeline.add_target(new), now, i, samples({"lost": i}))
    pipeline.remove_target(TARGET, now)
    assert (the(pipeline).verdict, the(pipeline).targets) == (Verdict.LEAKING, (new.name,))


def test_a_leak_behind_a_load_balancer_closes() -> None:
    """If several processes begin to answer in turn, the leak of the former process closes after a while."""
    pipeline = leaking()
    prove(pipeline, lost=170)
    now = pipeline.add_target(TARGET).history.time or 0.0
    events = []
    for i in range(30 * 60):
        now += 60.0
        process = Process("one" if i % 2 else "two")
        events += pipeline.observe(pipeline.add_target(TARGET), now, 5, samples({"lost": 5}), process)
    assert pipeline.add_target(TARGET).process_tracker.mixed
    assert [event.leak.verdict for event in events] == [Verdict.LEAKING, Verdict.NORMAL]
    assert pipeline.open_leaks() == []


def test_an_internal_error_is_a_failed_probe() -> None:
    """An unexpected exception in a probe is logged and recorded, and the probe is not repeated for the process."""

    class Broken(LeakProfileProbe):
        async def request(self, context: ProbeContext) -> None:
            raise RuntimeError(f"can't start new thread for {context.state.target.name}")

    probed = Probed((200, b""), lambda fetcher: Broken(fetcher, "suspicion", 1000))
    with capture_logs() as logged:
        assert probed.run(0)
    assert "can't start new thread" in probed.results.unavailable["proof"]
    assert [line["log_level"] for line in logged] == ["error", "info"]
    assert not probed.run(1000)


@pytest.mark.parametrize(
    "make",
    [
        lambda fetcher: LeakProfileProbe(fetcher, "suspicion", 1000),
        lambda fetcher: FullDumpProbe(fetcher, "suspicion", 1000, lambda: 0.0),
        lambda fetcher: HeapProfileProbe(fetcher, "suspicion"),
        lambda fetcher: MemoryProbe(fetcher, None),
    ],
)
def test_a_closed_fetcher_is_not_a_failure(make: Callable[[Fetcher], Probe]) -> None:
    """If a reload closes the connection during a request, the next scrape loop may repeat the request at once."""
    probed = Probed(httpx.ReadError("closed"), make)
    asyncio.run(probed.fetcher.close())
    with pytest.raises(FetcherClosed):
        probed.run(0)
    assert probed.results.unavailable == {}
    assert probed.results.memory.measurements == []
    assert all(schedule.allows(0, 0) for schedule in probed.results.schedules.values())


def test_findings_of_several_targets() -> None:
    """The findings add up the counts of all targets, and have the reasons for missing results."""
    one, two = ProbeResults(), ProbeResults()
    key = LOST.fingerprint
    one.add_proof(Proof(1.0, {key: 5}))
    two.add_proof(Proof(2.0, {}))
    one.full_dump = FullDump(1.0, {key: Waiting({None: 1, 7: 2}, {"select": 3}, {})})
    two.full_dump = FullDump(1.0, {key: Waiting({9: 2}, {"select": 2}, {})})
    two.unavailable["age"] = "no"
    found = findings([key], [one, two, ProbeResults()], [{600.0: 3}, {600.0: 4, 3600.0: 1}])
    assert (found.proven, found.older, found.unavailable) == (5, {600.0: 7, 3600.0: 1}, {"age": "no"})
    assert found.waiting == Waiting({None: 1, 7: 2, 9: 2}, {"select": 5}, {})
    assert findings([key], [], []).proven is None


def test_bounds_of_age_of_a_leak() -> None:
    """The counts of a leak prove as many old goroutines as there are, but for those of an hour."""
    found = the(leaking(8.0)).findings.older
    assert list(found) == [600.0, 3600.0, 6 * 3600.0]
    truth = [8 * 30 - 30 / 6, 8 * 30 - 30, 8 * 30 - 6 * 30]
    assert all(true - 30 <= bound <= true for bound, true in zip(found.values(), truth, strict=True))


def test_names_are_unique() -> None:
    """Schedules and errors are recorded by the name of the probe, so all names differ."""
    names = [LeakProfileProbe.name, FullDumpProbe.name, HeapProfileProbe.name, MemoryProbe.name]
    names += [METRICS, process.NAME, symbols.NAME]
    assert len(set(names)) == len(names)
