"""The window W: scores of stuck goroutines, and the growth for which a full dump is requested."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from leakwatch.detect.dump_history import all_goroutines
from leakwatch.detect.history import History
from leakwatch.detect.stuck import HARD_WAITS, grown_within, score_stuck
from leakwatch.model import Sample
from tests.support.blocks import line, record
from tests.support.programs import Program, key
from tests.support.simulated import HOUR, START, stack

DAY = 24 * HOUR


def score(program: Program, *, dumps: Sequence[float], wait: str = "chan send") -> float:
    """Return the score of stack "a" after full dumps at these hours, scraped once a minute."""
    history = History(300.0)
    dumped = [round(hour * HOUR / 60) for hour in dumps]
    best = 0.0
    for minute in range(dumped[-1] + 1):
        counts, time = program.counts(60.0 * minute), START + 60.0 * minute
        samples = {
            key(name): Sample(replace(stack(name, f"main.go{name}"), wait=wait), n) for name, n in counts.items()
        }
        history.record(time, samples)
        if minute in dumped:
            stacks = program.dump(60.0 * minute)
            assert history.dumps.record(time, stacks, all_goroutines(stacks))
            scores = score_stuck(history)
            best = dict(zip(scores.rows.tolist(), scores.scores.tolist(), strict=True)).get(
                history.rows[key("a")], 0.0
            )
    return best


def leak(rate: float = 60, uptime: float = DAY) -> Program:
    """Return a program that leaks from the first hour to the third."""
    program = Program(uptime=uptime)
    program.leak("a", rate, 1, 3)
    return program


@pytest.mark.parametrize(("rate", "hours"), [(1000, 0.35), (240, 0.4), (60, 0.8), (10, 2.0)])
def test_leaks(rate: float, hours: float) -> None:
    """A leak of 1,000 per hour has a score of 1 after 21 minutes, one of 10 per hour after two hours."""
    assert score(leak(rate), dumps=[1 + hours / 2, 1 + hours]) >= 1
    assert score(leak(rate), dumps=[1 + hours / 4, 1 + hours / 2]) < 1


def test_one_dump_is_not_enough() -> None:
    """Two dumps at least five minutes apart must show that the goroutines stay."""
    assert score(leak(), dumps=[2.5]) == 0
    assert score(leak(), dumps=[2.45, 2.5]) == 0
    assert score(leak(), dumps=[2.2, 2.5]) > 1


@pytest.mark.parametrize("wait", ["chan send", "select", ""])
def test_young_processes(wait: str) -> None:
    """In a young process more goroutines are required, and where healthy goroutines wait none of them counts."""
    old, young = (score(leak(uptime=uptime), dumps=[1.7, 2.5], wait=wait) for uptime in (DAY, 0))
    assert old > 1
    assert young == (pytest.approx(old / 1.2) if wait in HARD_WAITS else 0)


def test_a_handler_of_a_young_process() -> None:
    """A leak of 60 an hour that begins an hour after the start is confirmed within the hour."""
    program = Program(uptime=0)
    program.leak("a", 60, 1, 3)
    assert score(program, dumps=[1.5, 1.75, 1.98], wait="chan send") >= 1


def test_goroutines_that_move_on() -> None:
    """Goroutines that wake up, or end, are lost, and do not score."""
    program = Program(uptime=DAY)
    program.leak("a", 60, 1, 3, wakes=1200)
    assert score(program, dumps=[1.9, 2.2, 2.5]) == 0
    program = Program(uptime=DAY)
    program.start("a", np.arange(HOUR, 3 * HOUR, 60).tolist(), lives=2400)
    assert score(program, dumps=[2.0, 2.5]) == 0


def test_a_step_is_no_growth() -> None:
    """Goroutines that came at once, or in one half of the span, or ever more slowly in a young process."""
    program = Program(uptime=DAY)
    program.start("a", [HOUR + i for i in range(200)])
    assert score(program, dumps=[1.2, 1.5]) == 0
    program = Program(uptime=3 * HOUR)
    program.start("a", [HOUR * (1 + 1.4 * (i / 200) ** 6) for i in range(200)])
    assert score(program, dumps=[1.6, 2.4]) < 1


def test_batches_at_few_times() -> None:
    """Goroutines must have come in at least six different minutes."""
    program = Program(uptime=DAY)
    program.start("a", [HOUR + 900 * (i // 20) for i in range(100)])
    assert score(program, dumps=[1.7, 2.1]) == 0


def test_stuck_goroutines_that_were_given_back() -> None:
    """After an incident that ended, the growth must exceed the goroutines that it had stuck."""
    program = Program(uptime=DAY)
    program.start("a", [600 + i for i in range(200)], lives=2400)
    program.leak("a", 60, 1, 3)
    assert score(program, dumps=[0.6, 2.0, 2.5]) == 0
    assert score(leak(), dumps=[0.6, 2.0, 2.5]) > 1


def test_watchers_with_living_parents() -> None:
    """Watchers of living sessions are not stuck."""
    program = leak()
    for name in ("a", "session"):
        births = np.arange(HOUR, 3 * HOUR, 60).tolist()
        program.goroutines.pop(name, None)
        program.start(name, births, wakes=math.inf if name == "a" else 45)
    sessions = program.goroutines["session"]
    program.goroutines["a"] = [
        replace(watcher, parent=session.number)
        for watcher, session in zip(program.goroutines["a"], sessions, strict=True)
    ]
    assert score(program, dumps=[1.7, 2.5], wait="select") == 0
    program.goroutines.pop("session")
    assert score(program, dumps=[1.7, 2.5], wait="select") > 1


def test_growth_that_asks_for_a_dump() -> None:
    """The shortest span in which a stack has nearly reached the minimum growth, in seconds."""

    def within(gain: float, blocks: int) -> float:
        history = History(300.0)
        record(history, {"a": line(3, 0, 288)})
        history.dumps.time, history.dumps.uptime = START + DAY, DAY
        record(history, {"a": line(3, gain, blocks)}, begin=START + DAY + 60)
        return grown_within(history, [])

    assert within(0, 24) == math.inf
    assert within(40, 4) == 600
    assert within(4, 12) == 2400
    assert within(0.8, 36) == 9600
    assert grown_within(History(300.0), []) == math.inf
