"""Leaks, pools and other healthy stacks with full dumps, through the whole pipeline in virtual time."""

import numpy as np
import pytest

from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Verdict
from leakwatch.pipeline import Pipeline
from tests.support.programs import Program, Run
from tests.support.simulated import HOUR, START, TARGET, verdicts

DAY = 24 * HOUR
NAME = TARGET.name


class Busy(Program):
    """A program with `level` short-lived goroutines at a time in a stack, beside those that are listed."""

    def __init__(self, level: float, stack: str = "a") -> None:
        super().__init__(uptime=2 * DAY)
        self._random = np.random.default_rng(7)
        self._level, self._stack = level, stack

    def counts(self, time: float) -> dict[str, int]:
        """Return the counts, with requests that follow the time of day."""
        load = 1 + 0.6 * np.sin(2 * np.pi * (time / HOUR - 4) / 24)
        counts = dict(super().counts(time))
        return {**counts, self._stack: counts.get(self._stack, 0) + int(self._random.poisson(self._level * load))}


def found(program: Program, hours: float, *, wait: str = "chan send", dumps: bool = True) -> dict[str, float]:
    """Return the first time in hours of each verdict on the stack "a"."""
    run = Run(wait=wait)
    run.watch({NAME: program}, hours, dumps=dumps)
    return dict(reversed(verdicts(run.events, "a")))


@pytest.mark.parametrize(("rate", "within"), [(1000, 0.4), (60, 0.8), (10, 2.3)])
def test_a_leak_is_found_sooner(rate: float, within: float) -> None:
    """Two dumps with stuck goroutines confirm a leak in half the time that counts need."""
    program = Program(uptime=2 * DAY)
    program.leak("a", rate, 1, 8)
    with_dumps, without = (found(program, 7.5, dumps=dumps).get("leaking", 8.0) for dumps in (True, False))
    assert with_dumps - 1 <= within
    assert with_dumps - 1 < 0.6 * (without - 1)


def test_a_pool_that_fills_and_works_is_healthy() -> None:
    """A pool has the counts of a leak, but its workers run now and then."""
    program = Program(uptime=2 * HOUR)
    program.start("a", np.linspace(HOUR, 4 * HOUR, 160).tolist(), wakes=40)
    assert "leaking" in found(program, 6, dumps=False)
    assert "leaking" not in found(program, 6)


def test_a_leak_in_a_busy_stack_stays_found_at_night() -> None:
    """Stuck goroutines stand out of the requests of the day, and the leak stays open when the count falls."""
    program = Busy(300)
    program.leak("a", 60, 8, 24)
    run = Run()
    run.watch({NAME: program}, 30)
    words = verdicts(run.events, "a")
    assert [word for word, _ in words if word != "suspected"] == ["leaking", "plateau"]
    times = dict(words)
    assert 8 < times["leaking"] < 9
    assert 26.5 < times["plateau"] < 28, "three hours after the last goroutine"
    leaking = next(event.leak for event in run.events if event.leak.verdict is Verdict.LEAKING)
    assert leaking.growth.rate == pytest.approx(60 / HOUR, rel=0.2)
    assert ", and none has moved on: +60/h" in leaking.reason
    assert len(run.dumps[NAME]) < 100, "per 30 hours"


def test_a_busy_stack_without_a_leak() -> None:
    """Load that swings with the day has no stuck goroutines."""
    assert "leaking" not in found(Busy(300), 30)


def test_stuck_goroutines_that_move_on_end_the_leak() -> None:
    """A dependency that hangs for an hour leaves stuck goroutines; when they end, the leak is recovered."""
    program = Busy(20, "requests")
    for i in range(120):
        program.start("a", [HOUR + 30 * i], lives=1.2 * HOUR - 30 * i)
    times = found(program, 4)
    assert times["recovered"] - 2.2 < 0.6


def test_a_restart_keeps_the_leak_and_its_cases_start_over() -> None:
    """The next process leaks as well: the leak stays open, and dumps of both processes are never compared."""
    first, second = Program(uptime=2 * DAY, first_id=100_000), Program()
    first.leak("a", 60, 1, 3)
    second.leak("a", 60, 3, 8)
    run = Run()
    run.watch({NAME: first}, 3)
    run.watch({NAME: second}, 4, begin=3)
    state = run.pipeline.targets[TARGET]
    assert state.restarts == 1
    assert all(record.time > START + 3 * HOUR for record in state.history.dumps.records)
    assert [word for word, _ in verdicts(run.events, "a")] == ["leaking"]
    (leak,) = run.pipeline.open_leaks()
    assert leak.verdict is Verdict.LEAKING


def test_soft_wait_reasons_in_a_young_process() -> None:
    """Workers that wait for their first job look like a leak: below 16 hours of uptime, W does not judge them."""
    program = Program()
    program.start("a", np.linspace(0.5 * HOUR, 4 * HOUR, 60).tolist())
    assert "leaking" not in found(program, 2.5, wait="chan receive")
    assert "leaking" in found(program, 4, wait="chan send")


def test_one_replica_answers_for_all() -> None:
    """The dump of one replica shows that the goroutines of a stack are alive on all of them."""
    programs = {}
    for i in range(6):
        program = programs[f"10.0.0.{i}:6060"] = Program(uptime=2 * HOUR)
        program.start("rest", [0.0] * 400)
        program.start("a", np.linspace((1 + i / 20) * HOUR, 5 * HOUR, 200).tolist(), wakes=40)
    blind, run = Run(wait="select"), Run(wait="select")
    blind.watch(programs, 7, dumps=False)
    run.watch(programs, 7)
    assert "leaking" in dict(verdicts(blind.events, "a"))
    assert "leaking" not in dict(verdicts(run.events, "a"))
    assert len(run.dumps) == 3


def test_a_slow_leak_on_replicas_with_blips() -> None:
    """The stuck goroutines of three replicas are judged together; others that come and go do not hide them."""
    random, programs = np.random.default_rng(3), {}
    for i in range(6):
        program = programs[f"10.0.0.{i}:6060"] = Program(uptime=2 * DAY, first_id=100 * i + 100)
        program.start("rest", [0.0] * 60)
        program.start("a", np.sort(random.uniform(0, 12 * HOUR, 24)).tolist(), lives=90)
        program.leak("a", 1 + i / 10, 2, 12)
    run, blind = Run(wait="select"), Run(wait="select")
    run.watch(programs, 9)
    blind.watch(programs, 9, dumps=False)
    assert 4 < dict(reversed(verdicts(run.events, "a")))["leaking"] < 8.5
    assert "leaking" not in dict(verdicts(blind.events, "a"))


def test_state_survives_a_restart_of_leakwatch() -> None:
    """Dumps and cases are stored: the verdicts after a restart of leakwatch are those without one."""
    program = Busy(100)
    program.leak("a", 30, 2, 12)
    whole, parts = Run(), Run()
    whole.watch({NAME: program}, 9)
    program._random = np.random.default_rng(7)
    parts.watch({NAME: program}, 3)
    restored = Pipeline(DetectionSettings())
    restored.restore(parts.pipeline.to_plain(0.0), 0.0)
    later = Run(pipeline=restored, events=parts.events)
    later.watch({NAME: program}, 6, begin=3)
    assert verdicts(later.events, "a") == verdicts(whole.events, "a")
    assert "leaking" in dict(verdicts(whole.events, "a"))
