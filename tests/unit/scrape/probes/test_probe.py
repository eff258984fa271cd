"""Closer looks: when they are taken, what goes wrong with them, and what a leak says of them."""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from leakwatch.detect.history import History
from leakwatch.detect.min_age import lows, older
from leakwatch.http.fake import FakeFetcher
from leakwatch.http.fetch import Fetcher
from leakwatch.leaks.findings import Dumped, ProbeResults, Proof, findings
from leakwatch.leaks.model import Leak
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Process, Stack, Target, Verdict, Waiting
from leakwatch.pipeline import Pipeline
from leakwatch.profile import dump
from leakwatch.profile.fingerprint import site_of
from leakwatch.profile.stacks import Identifier
from leakwatch.scrape.probes.full_dump import FullDumpProbe
from leakwatch.scrape.probes.leak_profile import LeakProfileProbe, When
from leakwatch.scrape.probes.memory_usage import MemoryProbe
from leakwatch.scrape.probes.probe import Probe, ProbeContext, ask, is_due
from tests.support.simulated import HOUR, INTERVAL, START, TARGET, play, samples, stack

RECORDED = Path(__file__).parents[3] / "profiles" / "1.27"
SIZE_LIMIT = 1 << 20
BODY = b"goroutineleak profile: total 3\n3 @ 0x11 0x21\n#\t0x10\tmain.lost+0x1\t/src/main.go:7\n\n"
LEAKED = 200, BODY
Answer = tuple[int, bytes] | httpx.HTTPError
LOST = stack("lost", "main.lost")


class Probed:
    """A simulated target with one probe. `answer` is a status and a body, or the error of the connection."""

    def __init__(self, answer: Answer, make: Callable[[Fetcher], Probe]) -> None:
        self.answer = answer
        self.probe = make(FakeFetcher(self._respond))
        self.answers = ProbeResults()
        self.identifier = Identifier()

    def _respond(self, _request: httpx.Request) -> tuple[int, bytes]:
        if isinstance(self.answer, httpx.HTTPError):
            raise self.answer
        return self.answer

    def at(self, now: float, *, total: int = 10, suspects: Mapping[Fingerprint, Stack] | None = None) -> bool:
        """Ask if it is due `now`; tell whether it was."""
        suspects = {LOST.fingerprint: LOST} if suspects is None else suspects
        context = ProbeContext(TARGET, START + now, now, total, suspects, self.answers, self.identifier)
        due = is_due(self.probe, context)
        if due:
            asyncio.run(ask(self.probe, context))
        return due


def proof(answer: Answer = LEAKED, when: When = "suspicion", limit: int = 1000) -> Probed:
    """Return an inquiry for proof."""
    return Probed(
        answer, lambda fetcher: LeakProfileProbe(fetcher.with_profile("goroutineleak", SIZE_LIMIT), when, limit)
    )


def full_dump(answer: Answer, limit: int = 1000) -> Probed:
    """Return an inquiry for a full dump."""
    return Probed(answer, lambda fetcher: FullDumpProbe(fetcher, "suspicion", limit))


def test_a_process_is_asked_on_suspicion_and_seldom() -> None:
    """Without a suspect nothing is asked; with one at once, and not again for a quarter of an hour."""
    asked = proof()
    assert not asked.at(0, suspects={})
    assert [asked.at(now) for now in (1, 2, 600, 900, 901, 902)] == [True, False, False, False, True, False]
    assert asked.answers.proof is not None
    assert asked.answers.proof.time == START + 901


def test_a_restart_brings_no_question_forward() -> None:
    """A process that is restarted again and again is asked no more often; what the old one said is forgotten."""
    asked = proof()
    assert asked.at(1)
    asked.answers.restart()
    assert asked.answers.proof is None
    assert not asked.at(2)
    assert asked.at(901)


@pytest.mark.parametrize(("when", "due"), [("off", False), ("suspicion", False), (3600.0, True)])
def test_a_schedule_needs_no_suspicion(when: When, due: bool) -> None:
    """A schedule asks without one, and on suspicion besides."""
    asked = proof(when=when)
    assert asked.at(0, suspects={}) is due
    assert not asked.at(3599, suspects={})
    assert asked.at(3599) is (when != "off")
    assert asked.at(2 * 3600 - 2, suspects={}) is False
    assert asked.at(2 * 3600, suspects={}) is due


def test_large_processes_are_left_alone() -> None:
    """Above its limit of goroutines a process is not asked."""
    assert not proof(limit=1000).at(0, total=1001)
    assert proof(limit=1000).at(0, total=1000)
    body = 200, (RECORDED / "goroutine.debug2.txt").read_bytes()
    assert not full_dump(body).at(0, total=1001)
    assert full_dump(body).at(0, total=1000)


@pytest.mark.parametrize(
    ("answer", "again"),
    [
        ((404, b"Unknown profile"), float("inf")),
        ((200, b"<!doctype html><html>an index of profiles that answers to every name</html>"), float("inf")),
        ((200, BODY.replace(b"3 @ 0x11", b"three @ 0x11")), float("inf")),
        (httpx.ReadTimeout(""), 3600.0),
        (httpx.ConnectError("refused"), 3600.0),
        ((200, BODY[:-10]), 3600.0),
        ((200, BODY.replace(b"total 3", b"total 4")), 3600.0),
    ],
)
def test_what_does_not_answer_is_left_alone_and_named(answer: Answer, again: float) -> None:
    """A process that cannot tell is asked once, one that did not manage to after an hour; the reason is kept."""
    asked = proof(answer)
    assert asked.at(0)
    assert asked.answers.proof is None
    assert asked.answers.missing["proof"]
    assert not asked.at(3599)
    assert asked.at(10 * 24 * 3600) is (again < float("inf"))
    asked.answer = LEAKED
    asked.answers.restart()
    assert asked.answers.missing == {}
    assert asked.at(11 * 24 * 3600)
    assert asked.answers.proof is not None


def test_unsupported_is_no_acquittal() -> None:
    """Where the profile does not exist, nothing is said about leaks, and why is told in words for a reader."""
    asked = proof((404, b""))
    asked.at(0)
    found = findings([LOST.fingerprint], [asked.answers], [])
    assert found.proven is None
    assert found.missing == {
        "proof": "this program cannot tell (Go 1.27 can): HTTP 404 for /debug/pprof/goroutineleak"
    }


def test_proof_of_every_stack_and_site() -> None:
    """The runtime's stacks are found under the fingerprints of the goroutine profile, and summed up by site."""
    identifier = Identifier()
    asked = proof((200, (RECORDED / "goroutineleak.debug1.txt").read_bytes()))
    asked.identifier = identifier
    assert asked.at(0)
    assert asked.answers.proof is not None
    proven = asked.answers.proof.goroutines
    body = (RECORDED / "goroutine.debug1.txt").read_bytes()
    parser = Pipeline(DetectionSettings()).body()
    parser.feed(body)
    _, printed = parser.close()
    known = {key: sample for key, sample in printed.items() if key in proven}
    assert sum(proven[key] for key in known) == 135
    assert all(proven[key] <= sample.goroutines for key, sample in known.items())
    by_site = {site_of(sample.stack.blamed.function) for sample in known.values()}
    assert sum(proven[site] for site in by_site) == 135


def test_a_dump_tells_how_suspects_wait() -> None:
    """State, minutes and creator of the suspected stacks are kept, of no others."""
    body = (RECORDED / "goroutine.debug2.txt").read_bytes()
    identifier = Identifier()
    printed = identifier.identify(dump.parse(body).profile())
    some = next(sample.stack for sample in printed.values() if sample.stack.blamed.function == "main.chanSend")
    asked = full_dump((200, body))
    asked.identifier = identifier
    assert asked.at(0, suspects={some.fingerprint: some, LOST.fingerprint: LOST})
    assert asked.answers.dumped is not None
    (waiting,) = asked.answers.dumped.waiting.values()
    assert set(waiting.states) == {"chan send"}
    assert sum(waiting.creators.values()) == printed[some.fingerprint].goroutines


@pytest.mark.parametrize("size", [1000, 100_003])
def test_a_dump_that_is_cut_tells_nothing(size: int) -> None:
    """Of a dump that ends early, in the middle of a line or not, no ages are made; it is named."""
    body = (RECORDED / "goroutine.debug2.txt").read_bytes()[:size]
    asked = full_dump((200, body))
    assert asked.at(0)
    assert asked.answers.dumped is None
    assert "ends" in asked.answers.missing["age"]


def leaking(hours: float = 6.0) -> Pipeline:
    """Return a pipeline that has seen main.lost leak 30 an hour, beside a busy stack."""
    load = lambda at: {"lost": int(at / 120), "busy": 20 + int(7 * ((at * 7919) % 1))}  # noqa: E731  a table of one row
    return play(load, hours)[0]


def the(pipeline: Pipeline, name: str = "lost") -> Leak:
    """Return the leak of main.NAME."""
    return next(leak for leak in pipeline.open_leaks() if leak.stack.blamed.function == f"main.{name}")


def key_of(name: str) -> Fingerprint:
    """Return the fingerprint of a made-up stack."""
    return next(iter(samples({name: 1})))


def prove(pipeline: Pipeline, target: Target = TARGET, **goroutines: int) -> list[Verdict]:
    """Let the runtime of `target` prove so many goroutines by stack; return the verdicts that changed."""
    found = {key_of(name): number for name, number in goroutines.items()}
    state = pipeline.add_target(target)
    state.answers.prove(Proof(state.history.time or 0.0, found))
    return [event.leak.verdict for event in pipeline.learn(target, state.history.time or 0.0)]


def test_what_grows_and_is_proven() -> None:
    """A leak that the runtime proves is told as proven, with how many; nothing is surer."""
    pipeline = leaking()
    assert the(pipeline).verdict is Verdict.LEAKING
    assert prove(pipeline, lost=170) == [Verdict.PROVEN]
    leak = the(pipeline)
    assert (leak.findings.proven, leak.confidence) == (170, 1.0)
    assert leak.reason.endswith("; proven: the runtime says that nothing can wake 170 of them")


def test_what_grows_and_is_reachable() -> None:
    """Where the runtime sees a way for them to end, the leak stays and says so."""
    pipeline = leaking()
    assert prove(pipeline, other=80) == []
    leak = the(pipeline)
    assert (leak.verdict, leak.findings.proven) == (Verdict.LEAKING, 0)
    assert leak.reason.endswith("; reachable: the runtime sees a way they could still end")


def test_a_suspicion_that_is_proven() -> None:
    """The proof makes a suspicion a leak, and it stays one when the counts alone would acquit it."""
    pipeline = leaking(3.0)
    assert the(pipeline).verdict is Verdict.SUSPECTED
    assert prove(pipeline, lost=60) == [Verdict.PROVEN]
    now = pipeline.add_target(TARGET).history.time or 0.0
    for i in range(1, 600):
        pipeline.observe(TARGET, now + i * INTERVAL, 90, samples({"lost": 90}))
    assert the(pipeline).verdict in {Verdict.PROVEN, Verdict.PLATEAU}


def test_more_proven_than_before() -> None:
    """A leak too slow for the counts is found when more of a stack are proven than at first; a lost one is not."""
    pipeline, _ = play(lambda at: {"lost": 3 + (at >= 2 * HOUR), "init": 2}, 3.0)
    assert pipeline.open_leaks() == []
    assert prove(pipeline, lost=3, init=2) == []
    assert prove(pipeline, lost=4, init=2) == [Verdict.PROVEN]
    assert the(pipeline).findings.proven == 4
    assert [leak.stack.blamed.function for leak in pipeline.open_leaks()] == ["main.lost"]


def test_a_restart_takes_the_proof_away() -> None:
    """Another process is another matter: the leak is told on, not as proven."""
    pipeline = leaking()
    prove(pipeline, lost=80)
    now = pipeline.add_target(TARGET).history.time or 0.0
    pipeline.restart(TARGET, now + 1)
    assert (the(pipeline).verdict, the(pipeline).findings.proven) == (Verdict.LEAKING, None)


def test_one_lost_goroutine_proves_no_leak() -> None:
    """What is proven must explain the growth: one that was lost at the start makes no suspicion a proof."""
    pipeline = leaking(3.0)
    assert prove(pipeline, lost=1) == []
    assert the(pipeline).verdict is Verdict.SUSPECTED
    assert prove(pipeline, lost=1) == []
    assert prove(pipeline, lost=2) == [Verdict.PROVEN]  # more than at first


def test_a_proof_ends_with_its_process() -> None:
    """A pod that takes another's place inherits the leak, not the proof."""
    pipeline, new = leaking(), Target("shop", "10.0.0.2:6060")
    assert prove(pipeline, lost=170) == [Verdict.PROVEN]
    now = pipeline.add_target(TARGET).history.time or 0.0
    for i in range(20):
        now += INTERVAL
        pipeline.observe(TARGET, now, 180, samples({"lost": 180}))
        pipeline.observe(new, now, i, samples({"lost": i}))
    pipeline.leave(TARGET, now)
    assert (the(pipeline).verdict, the(pipeline).targets) == (Verdict.LEAKING, (new.name,))


def test_a_leak_behind_a_balancer_comes_to_an_end() -> None:
    """When several processes begin to answer in turn, what leaked before is told for a while and not for ever."""
    pipeline = leaking()
    prove(pipeline, lost=170)
    now = pipeline.add_target(TARGET).history.time or 0.0
    told = []
    for i in range(30 * 60):
        now += 60.0
        process = Process("one" if i % 2 else "two")
        told += pipeline.observe(TARGET, now, 5, samples({"lost": 5}), process)
    assert pipeline.add_target(TARGET).identity.mixed
    assert [event.leak.verdict for event in told] == [Verdict.LEAKING, Verdict.NORMAL]
    assert pipeline.open_leaks() == []


def test_a_look_that_breaks_is_one_that_failed() -> None:
    """A mistake of ours in one look is logged and named, and the target is not asked again soon."""

    class Broken(LeakProfileProbe):
        async def ask(self, context: ProbeContext) -> None:
            raise RuntimeError(f"can't start new thread for {context.target.name}")

    asked = Probed((200, b""), lambda fetcher: Broken(fetcher, "suspicion", 1000))
    with capture_logs() as logged:
        assert asked.at(0)
    assert "can't start new thread" in asked.answers.missing["proof"]
    assert [line["log_level"] for line in logged] == ["error", "info"]
    assert not asked.at(1000)


@pytest.mark.parametrize(
    "make",
    [
        lambda fetcher: LeakProfileProbe(fetcher, "suspicion", 1000),
        lambda fetcher: FullDumpProbe(fetcher, "suspicion", 1000),
        lambda fetcher: MemoryProbe(fetcher, None),
    ],
)
def test_a_look_that_we_broke_off_is_no_refusal(make: Callable[[Fetcher], Probe]) -> None:
    """When a reload closes the connection meanwhile, the job that comes next may ask, and nothing is missing."""
    asked = Probed(httpx.ReadError("closed"), make)
    suspects = {LOST.fingerprint: LOST}
    over = ProbeContext(TARGET, START, 0, 10, suspects, asked.answers, asked.identifier, over=lambda: True)
    asyncio.run(ask(asked.probe, over))
    assert (asked.answers.refused, asked.answers.missing, asked.answers.looks.kept) == ({}, {}, [])


def test_findings_of_several_targets() -> None:
    """Counts add up over targets, the reasons for what is missing are kept."""
    one, two = ProbeResults(), ProbeResults()
    key = LOST.fingerprint
    one.prove(Proof(1.0, {key: 5}))
    two.prove(Proof(2.0, {}))
    one.dumped = Dumped(1.0, {key: Waiting({None: 1, 7: 2}, {"select": 3}, {})})
    two.dumped = Dumped(1.0, {key: Waiting({9: 2}, {"select": 2}, {})})
    two.missing["age"] = "no"
    found = findings([key], [one, two, ProbeResults()], [{600.0: 3}, {600.0: 4, 3600.0: 1}])
    assert (found.proven, found.older, found.missing) == (5, {600.0: 7, 3600.0: 1}, {"age": "no"})
    assert found.waiting == Waiting({None: 1, 7: 2, 9: 2}, {"select": 5}, {})
    assert findings([key], [], []).proven is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 400)), min_size=1, max_size=60),
    st.integers(0, 20),
)
def test_bounds_of_age_are_true(ends: list[tuple[int, int]], pool: int) -> None:
    """Whatever comes and goes, no more goroutines are said to be old than there are that old.

    `ends`: kinds 0 and 1 never end, 2 and 3 end after so many scrapes; `pool` come and go at every scrape.
    """
    born = [(kind, i * 7, life) for i, (kind, life) in enumerate(ends)]
    history, name = History(300.0), "lost"
    last = 400
    for i in range(last + 1):
        alive = [b for kind, b, life in born if b <= i and (kind < 2 or i < b + life)]
        history.record(START + i * INTERVAL, samples({name: len(alive) + pool, "x": 1}))
    row = history.rows[key_of(name)] if len(born) + pool else None
    assert row is not None
    for seconds, goroutines in older(lows(history, row), int(history.last[row]), float(pool)).items():
        since = last - seconds / INTERVAL
        true = sum(b <= since and (kind < 2 or last < b + life) for kind, b, life in born)
        steady = sum(b <= since for kind, b, life in born)
        assert goroutines <= steady
        if all(kind < 2 for kind, _, _ in born):
            assert goroutines <= true


def test_bounds_of_age_of_a_leak() -> None:
    """The counts of a leak prove as many old goroutines as there are, but for those of an hour."""
    found = the(leaking(8.0)).findings.older
    assert list(found) == [600.0, 3600.0, 6 * 3600.0]
    truth = [8 * 30 - 30 / 6, 8 * 30 - 30, 8 * 30 - 6 * 30]
    assert all(true - 30 <= bound <= true for bound, true in zip(found.values(), truth, strict=True))


def test_names_are_unique() -> None:
    """Answers are kept by the name of the inquiry, so no two share one."""
    kinds: list[Any] = [LeakProfileProbe, FullDumpProbe]
    assert all(one.name != other.name for one, other in itertools.combinations(kinds, 2))
