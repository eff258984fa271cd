"""Judgements of services and sites, and of leaks with several stacks, in virtual time."""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from leakwatch.leaks.ignore import IgnoreRule, unmatched
from leakwatch.leaks.model import Event
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Frame, Process, Sample, Samples, Stack, Target, Verdict
from leakwatch.pipeline import Pipeline
from leakwatch.profile.fingerprint import fingerprint_of
from tests.support.simulated import HOUR, INTERVAL, START, samples, stack

DAY = 24.0
MINUTE = 60.0
"""The longest interval at which a block of five minutes has enough scrapes for its turnover."""
Counts = Callable[[int, float], Mapping[str, int]]
"""Number of the target, hours since the start -> count by stack name."""


def targets(number: int) -> list[Target]:
    """Return the targets of one service."""
    return [Target("shop", f"10.0.0.{i}:6060", {"zone": "a" if i % 2 else "b"}) for i in range(number)]


def run(
    counts: Counts,
    hours: float,
    number: int,
    *,
    interval: float = INTERVAL,
    restarts: float = 0,
    settings: DetectionSettings | None = None,
) -> tuple[Pipeline, list[Event]]:
    """Play a service of `number` targets that restart in turn, each every `restarts` hours."""
    pipeline = Pipeline(settings or DetectionSettings())
    events: list[Event] = []
    for i in range(int(hours * HOUR / interval)):
        is_full_hour = i > 0 and i * interval % HOUR == 0
        for n, target in enumerate(targets(number)):
            at = i * interval + n
            if restarts and is_full_hour and int(at / HOUR + n * restarts / number) % restarts == 0:
                events += pipeline.restart(pipeline.add_target(target), START + at)
            profile = counts(n, at / HOUR)
            events += pipeline.observe(
                pipeline.add_target(target), START + at, sum(profile.values()), samples(profile)
            )
    return pipeline, events


def leaking(number: int, rate: float, begin: float, seed: int, *, life: float = 0) -> Counts:
    """Return counts that leak at random, `rate` per hour and target, with a restart every `life` hours."""
    rng = np.random.default_rng(seed)
    busy = rng.poisson(30, (number, 1000))
    times = [np.cumsum(rng.exponential(1 / rate, 5000)) + begin for _ in range(number)]

    def counts(n: int, hour: float) -> Mapping[str, int]:
        since = 0.0
        if life:
            phase = n * life / number
            since = max(((hour + phase) // life) * life - phase, 0.0)
        leaked = int(np.searchsorted(times[n], hour) - np.searchsorted(times[n], since))
        return {"leak": 2 + leaked, "busy": int(busy[n, int(hour * 240) % 1000])}

    return counts


def hours_until_leaking(events: Sequence[Event], name: str = "leak") -> float:
    """Return the hours until a stack was leaking, inf if never."""
    at = [
        (event.time - START) / HOUR
        for event in events
        if event.leak.verdict >= Verdict.LEAKING and event.leak.stack.blamed.function == f"main.{name}"
    ]
    return min(at, default=float("inf"))


def test_a_slow_leak_on_four_targets() -> None:
    """Six goroutines a day on each of four targets are found within two days, as one leak with its rate."""
    pipeline, events = run(leaking(4, 6 / DAY, 5, seed=7), 48, 4, interval=MINUTE)
    assert hours_until_leaking(events) < 48
    (leak,) = pipeline.open_leaks()
    assert len(leak.targets) >= 3
    assert leak.grew.rate * HOUR == pytest.approx(4 * 6 / DAY, rel=0.5)
    assert re.match(r"grew by \d+ on all targets in the last ", leak.reason)
    assert hours_until_leaking(events, "busy") == float("inf")


def test_ten_slow_targets() -> None:
    """Ten targets that leak 2 goroutines an hour each are found about as soon as one that leaks 20."""
    _, many = run(leaking(10, 2, 6, seed=3), 12, 10, interval=MINUTE)
    _, single = run(leaking(1, 20, 6, seed=3), 12, 1, interval=MINUTE)
    assert hours_until_leaking(many) - 6 <= 1.5 * (hours_until_leaking(single) - 6) + 1


def test_a_leak_survives_rolling_restarts() -> None:
    """If targets restart in turn, the sum of counts is constant, but the growth within lifetimes is found."""
    _, events = run(leaking(4, 3, 2, seed=5, life=12), 24, 4, interval=MINUTE, restarts=12)
    assert hours_until_leaking(events) < 24


def test_a_load_that_all_targets_share_is_not_a_leak() -> None:
    """If all targets grow with the daily load, none of them stands out, and turnover explains the growth."""
    rng = np.random.default_rng(11)
    level: Counts = lambda _, h: {"busy": int(rng.poisson(100 - 60 * np.cos(2 * np.pi * h / 24)))}  # noqa: E731
    _, events = run(level, 30, 3, interval=MINUTE)
    assert hours_until_leaking(events, "busy") == float("inf")


def site(path: int) -> Stack:
    """Return the stack of one call path to main.leak."""
    frames = (Frame("main.leak", "/src/leak.go", 7), Frame(f"main.path{path}", "/src/main.go", path))
    return Stack(
        fingerprint=fingerprint_of([f.function for f in frames]),
        frames=frames,
        blamed=frames[0],
        origin=f"main.path{path}",
        wait="",
    )


def play_sites(counts: Callable[[float], Sequence[int]], hours: float) -> tuple[Pipeline, list[Event]]:
    """Play one target with a stack per call path."""
    pipeline, events, stacks = Pipeline(DetectionSettings()), [], [site(path) for path in range(60)]
    (target,) = targets(1)
    for i in range(int(hours * HOUR / INTERVAL)):
        observed: Samples = {
            s.fingerprint: Sample(s, n) for s, n in zip(stacks, counts(i * INTERVAL / HOUR), strict=False) if n
        }
        events += pipeline.observe(pipeline.add_target(target), START + i * INTERVAL, 0, observed)
    return pipeline, events


def test_a_leak_over_fifty_call_paths() -> None:
    """No stack grows enough to be found, but their site does, and the leak counts all of them."""
    rng = np.random.default_rng(2)
    arrivals = np.sort(rng.uniform(2, 14, 12 * 20))  # 20 an hour
    paths = rng.integers(0, 50, len(arrivals))
    pipeline, events = play_sites(
        lambda h: (1 + np.bincount(paths[: int(np.searchsorted(arrivals, h))], minlength=50)).tolist(), 14
    )
    assert hours_until_leaking(events) < 10
    (leak,) = pipeline.open_leaks()
    assert leak.stack.frames == (Frame("main.leak", "/src/leak.go", 7),)
    assert leak.goroutines == 50 + len(arrivals)
    assert leak.growth.rate * HOUR == pytest.approx(20, rel=0.3)


def test_goroutines_that_alternate_between_two_stacks() -> None:
    """Goroutines that alternate between stacks vary the count of each; the count of their site only grows."""
    rng = np.random.default_rng(4)

    def counts(hour: float) -> list[int]:
        stuck = int(max(hour - 2, 0) * 60)
        here = int(rng.binomial(stuck, 0.5))
        return [here, stuck - here]

    pipeline, events = play_sites(counts, 8)
    assert hours_until_leaking(events) < 6
    assert pipeline.open_leaks()[0].growth.rate * HOUR == pytest.approx(60, rel=0.2)


def test_one_leaking_stack_represents_its_site() -> None:
    """If one of several call paths leaks, its stack represents the leak."""
    pipeline, events = play_sites(lambda h: [3, 3, 3 + int(h * 60)], 6)
    assert {event.leak.stack.fingerprint for event in events} == {site(2).fingerprint}
    assert len(pipeline.open_leaks()) == 1


def test_stacks_in_step_are_one_leak() -> None:
    """Reader and writer of each leaked connection are one leak; a third stack that leaks by itself is another."""
    rng = np.random.default_rng(9)
    pairs, alone = (np.cumsum(rng.exponential(1 / 60, 2000)) + 2 for _ in range(2))

    def counts(_: int, hour: float) -> Mapping[str, int]:
        pair = int(np.searchsorted(pairs, hour))
        return {"reader": pair + 3, "writer": pair, "other": int(np.searchsorted(alone, hour))}

    pipeline, _ = run(counts, 9, 1)
    names = {
        frozenset(stack.blamed.function for stack in (leak.stack, *(related.stack for related in leak.related)))
        for leak in pipeline.open_leaks()
    }
    assert names == {frozenset({"main.reader", "main.writer"}), frozenset({"main.other"})}


def test_a_restart_does_not_end_a_leak() -> None:
    """A leak stays reported after a restart, and is confirmed again with half the evidence."""
    counts = leaking(1, 30, 2, seed=8, life=10)
    pipeline, events = run(counts, 9.9, 1)
    (target,) = targets(1)
    assert pipeline.open_leaks()[0].verdict is Verdict.LEAKING
    begun = len(events)
    for i in range(int(10 * HOUR / INTERVAL), int(16 * HOUR / INTERVAL)):
        at = i * INTERVAL
        if i == int(10 * HOUR / INTERVAL):
            assert pipeline.restart(pipeline.add_target(target), START + at) == []
            assert "until the process ended" in pipeline.open_leaks()[0].reason
        events += pipeline.observe(pipeline.add_target(target), START + at, 0, samples(counts(0, at / HOUR)))
    assert events[begun:] == []
    (leak,) = pipeline.open_leaks()
    assert leak.reason.startswith("grew from")
    assert pipeline.add_target(target).restarts == 1


def test_a_leak_that_a_deploy_fixed_recovers() -> None:
    """If the stack does not grow after a restart, the leak recovers some hours later, and closes after a day."""
    counts: Counts = lambda _, h: {"leak": 2 + (int(h * 60) if h < 5 else 0), "busy": 5}  # noqa: E731
    pipeline, events = run(counts, 5, 1)
    (target,) = targets(1)
    pipeline.restart(pipeline.add_target(target), START + 5 * HOUR)
    for i in range(int(5 * HOUR / INTERVAL), int(36 * HOUR / INTERVAL)):
        at = i * INTERVAL
        events += pipeline.observe(pipeline.add_target(target), START + at, 0, samples(counts(0, at / HOUR)))
    life = [(event.kind, round((event.time - START) / HOUR)) for event in events]
    assert [kind for kind, _ in life] == ["opened", "leaking", "recovered", "closed"]
    assert life[2][1] == 8
    assert life[3][1] == 32
    assert pipeline.open_leaks() == []


def test_a_pool_that_fills_after_each_start_is_known() -> None:
    """A stack that stopped growing in the previous lifetime may grow to the same count without a suspicion."""
    fills: Counts = lambda _, h: {"pool": min(int(h % 16 * 15), 120)}  # noqa: E731  for 8 of 16 hours
    _, events = run(fills, 16, 1)
    assert hours_until_leaking(events, "pool") < 16
    pipeline = Pipeline(DetectionSettings())
    (target,) = targets(1)
    later = []
    for i in range(int(48 * HOUR / INTERVAL)):
        at = i * INTERVAL
        if i and i % int(16 * HOUR / INTERVAL) == 0:
            later += pipeline.restart(pipeline.add_target(target), START + at)
        events = pipeline.observe(pipeline.add_target(target), START + at, 0, samples(fills(0, at / HOUR)))
        later += events if at > 16 * HOUR else []
    assert [event for event in later if event.leak.verdict is Verdict.LEAKING] == []


def test_falling_counts_indicate_a_restart() -> None:
    """Without an identified process, a fall of all moving stacks counts as a restart; a fall of one does not."""

    def counts(hour: float, *, restarted: bool) -> Mapping[str, int]:
        return {name: 4 if restarted else 20 + int(hour * 10) for name in "abcd"} | {"const": 10}

    for names, expected in (("abcd", 1), ("a", 0)):
        pipeline, (target,) = Pipeline(DetectionSettings()), targets(1)
        for i in range(480):
            pipeline.observe(
                pipeline.add_target(target), START + i * INTERVAL, 0, samples(counts(i / 240, restarted=False))
            )
        fallen = {**counts(2, restarted=False), **dict.fromkeys(names, 4)}
        pipeline.observe(pipeline.add_target(target), START + 480 * INTERVAL, 0, samples(fallen))
        assert pipeline.add_target(target).restarts == expected


def test_mixed_processes_are_not_judged() -> None:
    """The target of a load balancer is mixed and not recorded, until only one process answers."""
    pipeline, (target,) = Pipeline(DetectionSettings()), targets(1)
    found = samples({"a": 5})
    for i in range(20):
        pipeline.observe(pipeline.add_target(target), START + i * INTERVAL, 5, found, Process("ab"[i % 2]))
    state = pipeline.add_target(target)
    assert state.process_tracker.mixed
    assert state.restarts == 1
    assert state.history.time is not None
    assert state.history.time < START + 3 * INTERVAL
    pipeline.observe(pipeline.add_target(target), START + 2 * HOUR, 5, found, Process("b"))
    assert not state.process_tracker.mixed


def test_ignore_rules() -> None:
    """A rule ignores the leaks that match its patterns, until its date and up to at_most goroutines."""
    counts = leaking(1, 60, 0, seed=1)
    rules: dict[str, IgnoreRule] = {
        "matches": IgnoreRule(function="main.l*k", file="*/leak.go", labels={"zone": "b"}),
        "other function": IgnoreRule(function="main.lea"),
        "other label": IgnoreRule(function="main.leak", labels={"zone": "a"}),
        "over": IgnoreRule(function="main.leak", until=START + HOUR),
        "too many": IgnoreRule(origin="main.goleak", at_most=100),
        "few enough": IgnoreRule(origin="main.goleak", at_most=10_000),
    }
    shown = {}
    for name, rule in rules.items():
        pipeline, _ = run(counts, 4, 1, settings=DetectionSettings(ignore=(rule,)))
        shown[name] = bool(pipeline.open_leaks())
        assert sum(pipeline.ignored().values()) == (not shown[name])
    assert shown == {
        "matches": False,
        "other function": True,
        "other label": True,
        "over": True,
        "too many": True,
        "few enough": False,
    }


def test_rules_without_a_match() -> None:
    """Rules are compared with all stacks, leaking or not."""
    rules = (IgnoreRule(function="main.lea?"), IgnoreRule(file="*/nothing.go"))
    assert unmatched(rules, [(stack("leak"), {})]) == [rules[1]]
    assert str(rules[1]) == "file '*/nothing.go'"
