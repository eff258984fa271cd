"""Memory cost of a leak on simulated processes: slopes of measurements, and the time until a limit."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from leakwatch.leaks.candidate import POOLED
from leakwatch.leaks.memory import (
    FEWEST,
    LEAKS,
    MOST,
    SMALLEST_STACK,
    GoroutineCost,
    MemoryHistory,
    MemoryMeasurement,
    MemoryUsage,
    combined_cost,
    first_limit,
    time_to_limit,
)
from leakwatch.leaks.model import Estimate, Leak, Limit, MemoryCost
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.wording import AVERAGE_STACK, HEAP, LEAST_STACK, STACKS, memory_sentence
from leakwatch.model import Fingerprint, Growth, Verdict
from leakwatch.pipeline import Pipeline
from tests.support.simulated import START, TARGET, samples, stack

KIB, MIB = 1024, 1 << 20
LEAK = stack("leak").fingerprint
OTHER = Fingerprint("other")


def process(
    measurements: int,
    heap: float = 64 * KIB,
    *,
    rate: float = 80.0,
    load: Callable[[int], int] = lambda _: 300,
    busy_heap: float = 100 * KIB,
    noise: float = 0.0,
    step: float = 0.0,
) -> MemoryHistory:
    """Return measurements of a process that leaks `rate` goroutines between two of them.

    A leaked goroutine holds a stack of 4 KiB and `heap`, one of `load` 8 KiB and `busy_heap`. `noise`: standard
    deviation of resident memory in bytes; `step`: resident memory is a multiple of it.
    """
    chance, history = random.Random(7), MemoryHistory()  # noqa: S311  reproducible, and not a secret
    for i in range(measurements):
        leaked, others = round(10 + rate * i), load(i)
        resident = 30 * MIB + leaked * (4 * KIB + heap) + others * (8 * KIB + busy_heap) + chance.gauss(0, noise)
        if step:
            resident = -(-resident // step) * step
        usage = MemoryUsage(stacks=leaked * 4 * KIB + others * 8 * KIB, resident=resident, limit=512 * MIB)
        history.add(MemoryMeasurement(usage, leaked + others, {LEAK: leaked}))
    return history


def test_stack_and_heap_of_a_leaked_goroutine() -> None:
    """The cost of a leaked goroutine is measured while the load, which costs more, changes."""
    cost = process(12, load=lambda i: 300 + 200 * (i % 3)).cost_of(LEAK)
    assert cost.stack.value == pytest.approx(4 * KIB, rel=0.01)
    assert cost.resident is not None
    assert cost.resident.value == pytest.approx(68 * KIB, rel=0.01)
    assert cost.source == HEAP


@pytest.mark.parametrize("noise", [0.5 * MIB, 3 * MIB])
@pytest.mark.parametrize("step", [0.0, 16 * MIB])
def test_resident_memory_that_is_not_a_straight_line(noise: float, step: float) -> None:
    """If resident memory grows in steps and with noise, the cost is unknown or right within a factor of two."""
    for measurements in range(FEWEST, 40):
        cost = process(measurements, noise=noise, step=step, load=lambda i: 300 + 50 * (i % 5)).cost_of(LEAK)
        if cost.resident is not None:
            assert 34 * KIB < cost.resident.value < 136 * KIB
    assert cost.resident is not None
    assert cost.resident.low <= 68 * KIB <= cost.resident.high * 1.2


def test_unclear_measurements_give_the_average_stack() -> None:
    """With few measurements, few leaked goroutines or only noise, the average stack of the process is used."""
    for history in (process(FEWEST - 1), process(20, rate=0.4), process(20, heap=0, noise=40 * MIB)):
        assert history.cost_of(LEAK).resident is None
    cost = process(FEWEST - 1).cost_of(LEAK)
    assert cost.source == AVERAGE_STACK
    assert cost.stack.low == SMALLEST_STACK
    assert 4 * KIB < cost.stack.value < 8 * KIB


def test_goroutines_without_heap() -> None:
    """If resident memory is not clear, the growth of all stacks gives the cost."""
    cost = process(20, heap=0, noise=10 * MIB).cost_of(LEAK)
    assert (cost.resident, cost.source) == (None, STACKS)
    assert cost.stack.value == pytest.approx(4 * KIB, rel=0.01)


def test_load_that_grows_in_step_with_the_leak() -> None:
    """Their shares cannot be separated: every goroutine is assumed to cost the same."""
    cost = process(12, load=lambda i: 300 + 80 * i, busy_heap=60 * KIB).cost_of(LEAK)
    assert cost.resident is not None
    assert cost.resident.value == pytest.approx(68 * KIB, rel=0.01)


def test_load_that_falls_in_step_with_the_leak() -> None:
    """A constant total does not give any cost."""
    assert process(12, load=lambda i: 2000 - 80 * i).cost_of(LEAK).resident is None


def test_the_cost_is_at_least_the_smallest_stack() -> None:
    """A goroutine costs at least 2 KiB, whatever the metrics of the process are, and without metrics."""
    history = MemoryHistory()
    for i in range(8):
        usage = MemoryUsage(stacks=100.0 * i, resident=MIB + i)
        history.add(MemoryMeasurement(usage, 100 * i, {LEAK: 50 * i}))
    assert history.cost_of(LEAK).stack == Estimate(SMALLEST_STACK, SMALLEST_STACK, SMALLEST_STACK)
    without_metrics = MemoryHistory()
    without_metrics.add(MemoryMeasurement(MemoryUsage(), 100, {LEAK: 50}))
    without_metrics.unavailable = "HTTP 404 for /metrics"
    assert without_metrics.cost_of(LEAK) == GoroutineCost(source=f"{LEAST_STACK}: HTTP 404 for /metrics")
    assert MemoryHistory().cost_of(LEAK) == GoroutineCost()


def test_a_leak_that_is_suspected_later() -> None:
    """Earlier measurements, which do not have the count of the leak, are left out."""
    history = process(12)
    history.add(replace(history.measurements[-1], leaked={LEAK: 10, OTHER: 99}))
    assert history.cost_of(OTHER).source == AVERAGE_STACK


def test_measurements_and_leaks_are_limited() -> None:
    """The distance of measurements grows and the first one stays; the costs of old leaks are dropped."""
    history = process(1000, rate=1)
    assert len(history.measurements) <= MOST
    assert history.measurements[0].leaked[LEAK] == 10
    for i in range(3 * LEAKS):
        history.add(MemoryMeasurement(MemoryUsage(stacks=MIB), 100, {Fingerprint(str(i)): 5}))
    assert history.cost_of(LEAK) == GoroutineCost()
    assert history.cost_of(Fingerprint("299")).is_measured


def test_the_next_process_runs_the_same_program() -> None:
    """After a restart the costs stay until better ones are measured, and the measurements are dropped."""
    history = process(12)
    before = history.cost_of(LEAK)
    history.restart()
    assert history.measurements == []
    assert history.cost_of(LEAK) == before
    history.add(MemoryMeasurement(MemoryUsage(stacks=MIB), 100, {LEAK: 5}))
    assert history.cost_of(LEAK) == before


def test_the_cost_over_all_targets() -> None:
    """The cost of each target is weighted by its goroutines, and applies to targets that were not measured."""
    small, large = process(12).cost_of(LEAK), process(12, heap=128 * KIB).cost_of(LEAK)
    cost = combined_cost([(300, small), (100, large), (600, GoroutineCost(source=f"{LEAST_STACK}: refused"))])
    assert cost.resident is not None
    assert cost.resident.value == pytest.approx(84 * KIB, rel=0.01)
    assert combined_cost([(5, GoroutineCost(source="x"))]) == GoroutineCost(source="x")
    assert combined_cost([]) == GoroutineCost()
    unclear = process(FEWEST - 1).cost_of(LEAK)
    assert combined_cost([(1, unclear), (0, small)]).source == HEAP


GROWTH = Growth(0.1, 0.08, 0.125)
COST = GoroutineCost(
    stack=Estimate(4 * KIB, 4 * KIB, 4 * KIB),
    resident=Estimate(80 * KIB, 64 * KIB, 100 * KIB),
    source=HEAP,
    is_measured=True,
)


def times(
    usage: MemoryUsage, cost: GoroutineCost = COST, growth: Growth = GROWTH
) -> tuple[float | None, float | None] | None:
    """Return the soonest and the latest time at which a process of 100 goroutines reaches its limit."""
    limit = time_to_limit("a:1", MemoryMeasurement(usage, 100, {}), cost, growth)
    return (limit.soonest, limit.latest) if limit else None


def test_the_time_until_the_limit() -> None:
    """The soonest time counts all of the resident memory, the latest half of it: the rest may be garbage."""
    room = 412 * MIB
    expected = room / (0.125 * 100 * KIB), room / (0.08 * 32 * KIB)
    assert times(MemoryUsage(resident=100 * MIB, limit=512 * MIB)) == expected
    with_others = MemoryUsage(resident=90 * MIB, limit=512 * MIB, used=100 * MIB)
    assert times(with_others) == expected


def test_an_unknown_heap() -> None:
    """If the heap is unknown, there is no soonest time; the latest one follows from the stacks."""
    stacks = replace(COST, resident=None)
    usage = MemoryUsage(resident=100 * MIB, limit=512 * MIB)
    assert times(usage, stacks) == (None, 412 * MIB / (0.08 * 4 * KIB))


def test_only_the_limit_is_known() -> None:
    """If only the limit is known, the smallest possible stacks give the latest time."""
    latest = (MIB - 100 * SMALLEST_STACK) / (0.08 * SMALLEST_STACK)
    assert times(MemoryUsage(limit=MIB), GoroutineCost()) == (None, latest)
    assert times(MemoryUsage(limit=100 * SMALLEST_STACK / 2), GoroutineCost()) == (None, 0.0)
    assert times(MemoryUsage(limit=MIB))[0] is None  # type: ignore[index]  # it is not None


def test_a_leak_that_may_not_grow() -> None:
    """If the band of the growth includes zero, there is no latest time; without growth or limit there is none."""
    usage = MemoryUsage(resident=100 * MIB, limit=512 * MIB)
    assert times(usage, growth=Growth(0.1, -0.1, 0.125)) == (412 * MIB / (0.125 * 100 * KIB), None)
    assert times(usage, growth=Growth(-0.1, -0.2, 0.0)) is None
    assert times(usage, GoroutineCost(), growth=Growth(0.1, 0.0, 0.2)) is None
    assert times(MemoryUsage(resident=100 * MIB)) is None


def test_the_first_target_at_its_limit() -> None:
    """The limits are compared by their soonest times, or by the latest time if the soonest is unknown."""
    both = Limit(target="a", size=1, soonest=50.0, latest=90.0)
    latest = Limit(target="b", size=1, soonest=None, latest=60.0)
    soonest = Limit(target="c", size=1, soonest=55.0, latest=None)
    assert first_limit([soonest, None, both, latest]) is both
    assert first_limit([latest, soonest]) is soonest
    assert first_limit([None]) is None


@pytest.mark.parametrize(
    ("memory", "text"),
    [
        (
            MemoryCost(
                stack=COST.stack,
                resident=COST.resident,
                source=HEAP,
                goroutines=340,
                growth=GROWTH,
                limit=Limit(target="a:1", size=512 * MIB, soonest=7200.0, latest=90_000.0),
            ),
            (
                "They hold 26.6 MiB (80 KiB each: by the growth of resident memory), 28.1 MiB more per hour"
                " (18 MiB to 43.9 MiB). At this rate, a:1 reaches its memory limit of 512 MiB in 2h to 1d1h."
            ),
        ),
        (
            MemoryCost(
                stack=GoroutineCost().stack,
                resident=None,
                source=f"{LEAST_STACK}: HTTP 404 for /metrics",
                goroutines=340,
                growth=GROWTH,
            ),
            "They hold 680 KiB (at least 2 KiB each), 720 KiB more per hour (576 KiB to 900 KiB).",
        ),
        (
            MemoryCost(
                stack=GoroutineCost().stack,
                resident=None,
                source=LEAST_STACK,
                goroutines=340,
                growth=Growth(0, 0, 0),
            ),
            "They hold 680 KiB (at least 2 KiB each).",
        ),
        (
            MemoryCost(
                stack=COST.stack,
                resident=None,
                source=AVERAGE_STACK,
                goroutines=10,
                growth=GROWTH,
                limit=Limit(target="a:1", size=512 * MIB, soonest=None, latest=1e9),
            ),
            (
                "They hold 40 KiB (4 KiB each: the average stack of the process), 1.41 MiB more per hour"
                " (1.12 MiB to 1.76 MiB). At this rate, a:1 reaches its memory limit of 512 MiB in"
                " more than a year at the latest."
            ),
        ),
    ],
)
def test_the_sentence(memory: MemoryCost, text: str) -> None:
    """The sentence has the bytes, their source, their growth and the time until the limit, as far as known."""
    assert memory_sentence(memory) == text


def leaking(targets: int = 1) -> tuple[Pipeline, Leak]:
    """Return a pipeline with a leak of one goroutine a minute on each of its targets."""
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
    (leak,) = [leak for leak in pipeline.open_leaks() if leak.verdict is Verdict.LEAKING]
    return pipeline, leak


def test_a_leak_without_measurements() -> None:
    """Without measurements the cost is that of the smallest stacks."""
    _, leak = leaking()
    assert leak.memory is not None
    assert (leak.memory.source, leak.memory.goroutines, leak.memory.limit) == (LEAST_STACK, 239, None)
    assert leak.memory.per_second.value == pytest.approx(SMALLEST_STACK / 60, rel=0.05)


def test_a_leak_on_two_targets() -> None:
    """The cost that was measured on one target applies to both. The nearest memory limit is reported."""
    pipeline, before = leaking(2)
    key = before.stack.fingerprint
    near, far = (replace(TARGET, name=f"10.0.0.{n}:6060") for n in (1, 2))
    for i in range(12):
        usage = MemoryUsage(stacks=5 * MIB + 8 * KIB * i, resident=(100 + i) * MIB, limit=512 * MIB)
        measurement = MemoryMeasurement(usage, 300 + 4 * i, {key: 100 + 4 * i})
        pipeline.add_target(near).probe_results.memory.add(measurement)
    only_limit = MemoryMeasurement(MemoryUsage(limit=512 * MIB), 300, {key: 200})
    pipeline.add_target(far).probe_results.memory.add(only_limit)
    pipeline.services["shop"].leaks.invalidate()
    (leak,) = [leak for leak in pipeline.open_leaks() if leak.stack.fingerprint == key]
    assert leak.memory is not None
    assert leak.memory.resident is not None
    assert leak.memory.resident.value == pytest.approx(MIB / 4, rel=0.01)
    assert leak.memory.goroutines == 478
    assert leak.memory.limit is not None
    assert leak.memory.limit.target == near.name
    # 401 MiB are left, of which the 60 goroutines an hour of one target take 15.
    assert leak.memory.limit.soonest == pytest.approx(401 / 15 * 3600, rel=0.2)
    pipeline.restart(pipeline.add_target(near), START + 14_400)
    (leak,) = [leak for leak in pipeline.open_leaks() if leak.stack.fingerprint == key]
    assert leak.memory is not None
    assert leak.memory.resident is not None
    assert leak.memory.limit is None or leak.memory.limit.target == far.name


def test_a_pooled_leak() -> None:
    """The growth of a leak that only the sum of all targets shows is divided among its targets."""
    pipeline, leak = leaking(2)
    service = pipeline.service("shop")
    assert service is not None
    key = leak.stack.fingerprint
    for name, state in service.targets.items():
        state.judged = {}
        measurement = MemoryMeasurement(MemoryUsage(limit=512 * MIB), 300, {key: 200})
        state.probe_results.memory.add(measurement)
        pipeline._tracker.update(service, name, {}, START + 14_400)
    pipeline._tracker.update(service, POOLED, service.judged, START + 14_400)
    (pooled,) = [leak for leak in pipeline.open_leaks() if leak.stack.fingerprint == key]
    assert len(pooled.targets) == 2
    assert pooled.memory is not None
    assert pooled.memory.limit is not None
    assert pooled.memory.limit.latest == pytest.approx(512 * MIB / (SMALLEST_STACK / 60), rel=0.2)
