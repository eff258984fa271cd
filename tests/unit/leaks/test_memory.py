"""What a leak costs: lines through looks at a process, and the time until its limit, on made-up processes."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from leakwatch.leaks.candidate import POOLED
from leakwatch.leaks.memory import (
    FEWEST,
    LEAKS,
    LEAST,
    MOST,
    Each,
    Look,
    Looks,
    Usage,
    first,
    reach,
    together,
)
from leakwatch.leaks.model import Estimate, Leak, Limit
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.wording import AVERAGE_STACK, HEAP, LEAST_STACK, STACKS
from leakwatch.model import Fingerprint, Growth, Verdict
from leakwatch.pipeline import Pipeline
from tests.support.simulated import START, TARGET, samples, stack

KIB, MIB = 1024, 1 << 20
LEAK = stack("leak").fingerprint
OTHER = Fingerprint("other")


def process(
    times: int,
    each: float = 64 * KIB,
    *,
    rate: float = 80.0,
    load: Callable[[int], int] = lambda _: 300,
    busy: float = 100 * KIB,
    noise: float = 0.0,
    step: float = 0.0,
) -> Looks:
    """Return looks at a process that leaks `rate` goroutines from look to look.

    Each holds a stack of 4 KiB and `each` of heap, a busy one of `load` 8 KiB and `busy`. `noise`: bytes of
    resident memory that nobody explains; `step`: it grows by as much at a time.
    """
    chance, looks = random.Random(7), Looks()  # noqa: S311  the same each time, and no secret
    for i in range(times):
        leaked, others = round(10 + rate * i), load(i)
        resident = 30 * MIB + leaked * (4 * KIB + each) + others * (8 * KIB + busy) + chance.gauss(0, noise)
        if step:
            resident = -(-resident // step) * step
        usage = Usage(leaked * 4 * KIB + others * 8 * KIB, resident, 512 * MIB)
        looks.add(Look(usage, leaked + others, {LEAK: leaked}))
    return looks


def test_what_each_takes() -> None:
    """Stack and heap of a leaked goroutine are found, while load comes and goes with more of both."""
    found = process(12, load=lambda i: 300 + 200 * (i % 3)).each(LEAK)
    assert found.stack.value == pytest.approx(4 * KIB, rel=0.01)
    assert found.resident is not None
    assert found.resident.value == pytest.approx(68 * KIB, rel=0.01)
    assert found.source == HEAP


@pytest.mark.parametrize("noise", [0.5 * MIB, 3 * MIB])
@pytest.mark.parametrize("step", [0.0, 16 * MIB])
def test_resident_memory_is_no_straight_line(noise: float, step: float) -> None:
    """It grows in stairs and by chance: what is said is right within a factor of two, or nothing is said."""
    for times in range(FEWEST, 40):
        found = process(times, noise=noise, step=step, load=lambda i: 300 + 50 * (i % 5)).each(LEAK)
        if found.resident is not None:
            assert 34 * KIB < found.resident.value < 136 * KIB
    assert found.resident is not None
    assert found.resident.low <= 68 * KIB <= found.resident.high * 1.2


def test_nothing_is_said_too_soon() -> None:
    """Few looks, few goroutines, or chance alone: no line; the average stack it is until then."""
    for looks in (process(FEWEST - 1), process(20, rate=0.4), process(20, each=0, noise=40 * MIB)):
        assert looks.each(LEAK).resident is None
    found = process(FEWEST - 1).each(LEAK)
    assert found.source == AVERAGE_STACK
    assert found.stack.low == LEAST
    assert 4 * KIB < found.stack.value < 8 * KIB


def test_goroutines_without_heap() -> None:
    """Where resident memory does not tell, stacks alone do."""
    found = process(20, each=0, noise=10 * MIB).each(LEAK)
    assert (found.resident, found.source) == (None, STACKS)
    assert found.stack.value == pytest.approx(4 * KIB, rel=0.01)


def test_two_that_grow_in_step() -> None:
    """Nobody can tell their shares apart: all that grows is taken to hold the same."""
    found = process(12, load=lambda i: 300 + 80 * i, busy=60 * KIB).each(LEAK)
    assert found.resident is not None
    assert found.resident.value == pytest.approx(68 * KIB, rel=0.01)


def test_others_that_go_as_the_leak_comes() -> None:
    """A total that stands still tells nothing of either."""
    assert process(12, load=lambda i: 2000 - 80 * i).each(LEAK).resident is None


def test_never_below_a_stack() -> None:
    """Two KiB are the least, whatever a process says; and it may say nothing at all."""
    looks = Looks()
    for i in range(8):
        looks.add(Look(Usage(stacks=100.0 * i, resident=MIB + i), 100 * i, {LEAK: 50 * i}))
    assert looks.each(LEAK).stack == Estimate(LEAST, LEAST, LEAST)
    silent = Looks()
    silent.add(Look(Usage(), 100, {LEAK: 50}))
    silent.missing = "HTTP 404 for /metrics"
    assert silent.each(LEAK) == Each(source=f"{LEAST_STACK}: HTTP 404 for /metrics")
    assert Looks().each(LEAK) == Each()


def test_only_looks_that_saw_the_leak() -> None:
    """One that was suspected later has no count in the looks before."""
    looks = process(12)
    looks.add(replace(looks.kept[-1], held={LEAK: 10, OTHER: 99}))
    assert looks.each(OTHER).source == AVERAGE_STACK


def test_a_long_life_is_kept_in_few_looks() -> None:
    """They get further apart, and the first stays; leaks that come and go for ever are forgotten."""
    looks = process(1000, rate=1)
    assert len(looks.kept) <= MOST
    assert looks.kept[0].held[LEAK] == 10
    for i in range(3 * LEAKS):
        looks.add(Look(Usage(stacks=MIB), 100, {Fingerprint(str(i)): 5}))
    assert looks.each(LEAK) == Each()
    assert looks.each(Fingerprint("299")).known


def test_the_next_process_runs_the_same_program() -> None:
    """What each takes stays known after a restart, until more is; how much is used does not."""
    looks = process(12)
    before = looks.each(LEAK)
    looks.restart()
    assert looks.kept == []
    assert looks.each(LEAK) == before
    looks.add(Look(Usage(stacks=MIB), 100, {LEAK: 5}))
    assert looks.each(LEAK) == before


def test_targets_of_a_service() -> None:
    """Each counts by its goroutines, and what is known of some holds for all."""
    one, two = process(12).each(LEAK), process(12, each=128 * KIB).each(LEAK)
    found = together([(300, one), (100, two), (600, Each(source=f"{LEAST_STACK}: refused"))])
    assert found.resident is not None
    assert found.resident.value == pytest.approx(84 * KIB, rel=0.01)
    assert together([(5, Each(source="x"))]) == Each(source="x")
    assert together([]) == Each()
    unclear = process(FEWEST - 1).each(LEAK)
    assert together([(1, unclear), (0, one)]).source == HEAP


GROWTH = Growth(0.1, 0.08, 0.125)
EACH = Each(Estimate(4 * KIB, 4 * KIB, 4 * KIB), Estimate(80 * KIB, 64 * KIB, 100 * KIB), HEAP, known=True)


def limit(usage: Usage, each: Each = EACH, growth: Growth = GROWTH) -> tuple[float | None, float | None] | None:
    """Return when a process of 100 goroutines is at its limit."""
    found = reach("a:1", Look(usage, 100, {}), each, growth)
    return (found.soonest, found.latest) if found else None


def test_when_the_limit_is_reached() -> None:
    """At its fastest with all that resident memory grows by; at its slowest with half, the rest being garbage."""
    room = 412 * MIB
    found = limit(Usage(resident=100 * MIB, limit=512 * MIB))
    assert found == (room / (0.125 * 100 * KIB), room / (0.08 * 32 * KIB))
    assert limit(Usage(resident=90 * MIB, limit=512 * MIB, used=100 * MIB)) == found  # with others below it


def test_when_heap_is_not_known() -> None:
    """Then there is no soonest; the latest holds, for they hold no less."""
    stacks = replace(EACH, resident=None)
    assert limit(Usage(resident=100 * MIB, limit=512 * MIB), stacks) == (None, 412 * MIB / (0.08 * 4 * KIB))


def test_when_nothing_is_known_but_the_limit() -> None:
    """Even then it is reached at the latest when the smallest stacks fill what all goroutines leave."""
    assert limit(Usage(limit=MIB), Each()) == (None, (MIB - 100 * LEAST) / (0.08 * LEAST))
    assert limit(Usage(limit=100 * LEAST / 2), Each()) == (None, 0.0)
    assert limit(Usage(limit=MIB))[0] is None  # type: ignore[index]  # it is not None


def test_a_leak_that_may_not_grow() -> None:
    """Then there is no latest, and where it does not grow, or without a limit, nothing at all."""
    usage = Usage(resident=100 * MIB, limit=512 * MIB)
    assert limit(usage, growth=Growth(0.1, -0.1, 0.125)) == (412 * MIB / (0.125 * 100 * KIB), None)
    assert limit(usage, growth=Growth(-0.1, -0.2, 0.0)) is None
    assert limit(usage, Each(), growth=Growth(0.1, 0.0, 0.2)) is None
    assert limit(Usage(resident=100 * MIB)) is None


def test_the_first_target_counts() -> None:
    """By its soonest; where that is not known, by its latest."""
    a, b, c = Limit("a", 1, 50.0, 90.0), Limit("b", 1, None, 60.0), Limit("c", 1, 55.0, None)
    assert first([c, None, a, b]) is a
    assert first([b, c]) is c
    assert first([None]) is None


def leaking(targets: int = 1) -> tuple[Pipeline, Leak]:
    """Return a pipeline that watches a leak of one goroutine a minute on each of some targets."""
    pipeline = Pipeline(DetectionSettings())
    for i in range(960):
        for n in range(targets):
            target = replace(TARGET, name=f"10.0.0.{n + 1}:6060")
            pipeline.observe(
                pipeline.add_target(target),
                START + 15 * i,
                50 + i // 4,
                samples({"leak": i // 4, "busy": 50 + i % 3}),
            )
    (leak,) = [one for one in pipeline.open_leaks() if one.verdict is Verdict.LEAKING]
    return pipeline, leak


def test_a_leak_that_nobody_looked_at() -> None:
    """Stacks alone, two KiB each; that needs no look."""
    _, leak = leaking()
    assert leak.memory is not None
    assert (leak.memory.source, leak.memory.goroutines, leak.memory.limit) == (LEAST_STACK, 239, None)
    assert leak.memory.per_second.value == pytest.approx(LEAST / 60, rel=0.05)


def test_a_leak_of_two_targets() -> None:
    """One has told much: its goroutines speak for both; the one that is nearest to its limit is named."""
    pipeline, before = leaking(2)
    key = before.stack.fingerprint
    near, far = (replace(TARGET, name=f"10.0.0.{n}:6060") for n in (1, 2))
    looks = pipeline.add_target(near).probe_results.looks
    for i in range(12):
        looks.add(Look(Usage(5 * MIB + 8 * KIB * i, (100 + i) * MIB, 512 * MIB), 300 + 4 * i, {key: 100 + 4 * i}))
    pipeline.add_target(far).probe_results.looks.add(Look(Usage(limit=512 * MIB), 300, {key: 200}))
    pipeline.services["shop"].leaks.invalidate()
    (leak,) = [one for one in pipeline.open_leaks() if one.stack.fingerprint == key]
    assert leak.memory is not None
    assert leak.memory.resident is not None
    assert leak.memory.resident.value == pytest.approx(MIB / 4, rel=0.01)
    assert leak.memory.goroutines == 478
    assert leak.memory.limit is not None
    assert leak.memory.limit.target == near.name
    # 401 MiB are left, of which one target's 60 goroutines an hour take 15.
    assert leak.memory.limit.soonest == pytest.approx(401 / 15 * 3600, rel=0.2)
    pipeline.restart(pipeline.add_target(near), START + 14_400)
    (leak,) = [one for one in pipeline.open_leaks() if one.stack.fingerprint == key]
    assert leak.memory is not None
    assert leak.memory.resident is not None
    assert leak.memory.limit is None or leak.memory.limit.target == far.name


def test_a_leak_that_only_all_targets_show() -> None:
    """Its growth is shared among those that it grows on."""
    pipeline, leak = leaking(2)
    service = pipeline.service("shop")
    assert service is not None
    key = leak.stack.fingerprint
    for name, state in service.targets.items():
        state.judged = {}
        state.probe_results.looks.add(Look(Usage(limit=512 * MIB), 300, {key: 200}))
        pipeline._tracker.update(service, name, {}, START + 14_400)
    pipeline._tracker.update(service, POOLED, service.judged, START + 14_400)
    (pooled,) = [one for one in pipeline.open_leaks() if one.stack.fingerprint == key]
    assert len(pooled.targets) == 2
    assert pooled.memory is not None
    assert pooled.memory.limit is not None
    assert pooled.memory.limit.latest == pytest.approx(512 * MIB / (LEAST / 60), rel=0.2)
