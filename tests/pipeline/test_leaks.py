"""Leaks of a service: each is reported once, with all its goroutines and targets, in virtual time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from leakwatch.leaks import tracker as leaking
from leakwatch.leaks.grouping import groups
from leakwatch.leaks.ignore import IgnoreRule
from leakwatch.leaks.model import Event, Leak
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Frame, Sample, Samples, Stack, Target, Verdict
from leakwatch.pipeline import Pipeline
from leakwatch.profile.fingerprint import fingerprint_of
from tests.support.simulated import HOUR, START, samples

A, B = Target("shop", "a", {"track": "stable"}), Target("shop", "b", {"track": "canary"})
MINUTE = 60.0

Counts = Callable[[Target, float], Samples]
"""Target, hours since the start -> the samples of its profile."""


class Play:
    """A pipeline that gets one profile per target and minute, and all its events."""

    def __init__(self, settings: DetectionSettings | None = None) -> None:
        self.pipeline = Pipeline(settings or DetectionSettings())
        self.events: list[Event] = []
        self.time = 0.0

    def run(self, hours: float, counts: Counts, *targets: Target) -> "Play":
        """Play `hours`."""
        for _ in range(round(hours * HOUR / MINUTE)):
            for target in targets:
                observed = counts(target, self.time / HOUR)
                total = sum(sample.goroutines for sample in observed.values())
                self.events += self.pipeline.observe(
                    self.pipeline.add_target(target), START + self.time, total, observed
                )
            self.time += MINUTE
        return self

    def leak(self) -> Leak:
        """Return the only open leak."""
        (leak,) = self.pipeline.open_leaks()
        return leak

    def transitions(self) -> Sequence[tuple[str, str, str]]:
        """Return all events: previous and new verdict, and whether the leak is a site or a stack."""
        return [
            (event.before.word, event.leak.verdict.word, "site" if len(event.leak.stack.frames) == 1 else "stack")
            for event in self.events
        ]


@cache
def path(number: int, function: str = "main.leak") -> Stack:
    """Return the stack of one call path to `function`."""
    frames = (Frame(function, "/src/leak.go", 7), Frame(f"main.path{number}", "/src/main.go", number))
    return Stack(
        fingerprint=fingerprint_of([f.function for f in frames]),
        frames=frames,
        blamed=frames[0],
        origin=f"main.path{number}",
        wait="",
    )


def paths(counts: Mapping[int, float], function: str = "main.leak") -> Samples:
    """Return samples of the call paths to a function, by number."""
    observed = {number: path(number, function) for number in counts}
    return {stack.fingerprint: Sample(stack, int(counts[n])) for n, stack in observed.items() if int(counts[n])}


def test_a_site_counts_every_target_and_every_path() -> None:
    """A function that leaks on six paths of one target and one path of another is one leak."""

    def counts(target: Target, hour: float) -> Samples:
        return paths(dict.fromkeys(range(6), 1 + 8 * hour) if target is A else {0: 1 + 48 * hour})

    play = Play().run(14, counts, A, B)
    leak = play.leak()
    assert leak.stack.frames == (Frame("main.leak", "/src/leak.go", 7),)
    assert leak.targets == ("a", "b")
    held = sum(s.goroutines for target in (A, B) for s in counts(target, 14 - 1 / 60).values())
    assert leak.goroutines == held
    assert leak.growth.rate * HOUR == pytest.approx(96, rel=0.03)
    assert [verdict for verdict in play.transitions() if verdict[1] == "leaking"] == [
        ("suspected", "leaking", "site")
    ]


def test_a_leak_that_stops_is_not_reported_again_as_its_site() -> None:
    """A stack with all the growth of its function represents the leak, even after the growth has ended."""
    play = Play().run(14, lambda _, hour: paths({0: 3, 1: 3, 2: 3 + min(hour, 4) * 60}), A)
    assert [what for _, _, what in play.transitions()] == ["stack"] * len(play.events)
    assert play.leak().verdict is Verdict.PLATEAU


def test_equal_paths_are_one_leak() -> None:
    """Three call paths that leak at the same rate are one leak, which their site represents."""
    rng = np.random.default_rng(3)
    times = [np.cumsum(rng.exponential(1 / 60, 2000)) + 1 for _ in range(3)]
    play = Play().run(9, lambda _, h: paths({n: 3 + float(np.searchsorted(t, h)) for n, t in enumerate(times)}), A)
    leak = play.leak()
    assert leak.growth.rate * HOUR == pytest.approx(180, rel=0.1)
    assert {related.stack.fingerprint for related in leak.related} == {path(n).fingerprint for n in range(3)}
    assert [what for _, verdict, what in play.transitions() if verdict == "leaking"] == ["site"]


def test_a_site_with_one_fixed_path() -> None:
    """If the fastest of six paths is fixed, which halves the site, the leak of the slow paths stays open."""
    times = [np.cumsum(np.random.default_rng(n).exponential(1 / 12, 1000)) + 2 for n in range(5)]

    def counts(_: Target, hour: float) -> Samples:
        slow = {n: 3 + float(np.searchsorted(t, hour)) for n, t in enumerate(times)}
        return paths({9: 3 + (hour * 100 if hour < 5 else 0), **slow})

    leak = Play().run(16, counts, A).leak()
    assert leak.stack.site
    assert leak.verdict is Verdict.LEAKING
    assert leak.growth.rate * HOUR == pytest.approx(60, rel=0.2)
    assert "has not grown" not in leak.reason


def test_a_plateau_lasts_since_the_last_rise() -> None:
    """The reason has the time since the growth ended, not since the verdict changed."""
    play = Play().run(14, lambda _, hour: samples({"leak": 3 + int(min(hour, 4) * 60), "b": 5}), A)
    leak = play.leak()
    assert leak.verdict is Verdict.PLATEAU
    assert leak.reason.endswith("and has not grown for 9h54m")


def test_a_rule_by_labels() -> None:
    """A leak that is ignored on the canary is reported if another target leaks too."""
    settings = DetectionSettings(ignore=(IgnoreRule(function="main.leak", labels={"track": "canary"}),))

    def leaks(*where: Target) -> Counts:
        return lambda target, hour: samples({"leak": 3 + int(60 * hour) * (target in where), "b": 5})

    for where, open_leaks in (((A,), 1), ((B,), 0), ((A, B), 1)):
        play = Play(settings).run(5, leaks(*where), A, B)
        assert len(play.pipeline.open_leaks()) == open_leaks


@pytest.mark.parametrize("name", ["service", "target"])
def test_a_rule_by_service_and_target(name: str) -> None:
    """Rules match the labels `service` and `target` as the metrics have them."""

    def leaks(_: Target, hour: float) -> Samples:
        return samples({"leak": 3 + int(60 * hour), "b": 5})

    for pattern, open_leaks in ((Target("shop", "a").all_labels[name], 0), ("other", 1)):
        rule = IgnoreRule(function="main.leak", labels={name: pattern})
        play = Play(DetectionSettings(ignore=(rule,))).run(5, leaks, A)
        assert len(play.pipeline.open_leaks()) == open_leaks
        assert play.pipeline.unmatched() == ([] if not open_leaks else [rule])


def test_many_targets_are_grouped_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks are grouped when a verdict changes, some times per block, and after a reload."""
    grouped = []

    def counted(*arguments: Any) -> Any:
        grouped.append(1)
        return groups(*arguments)

    monkeypatch.setattr(leaking, "groups", counted)
    many = [Target("shop", f"t{i}") for i in range(30)]

    def leaks(_: Target, hour: float) -> Samples:
        return samples({"leak": 3 + int(60 * hour), "b": 5})

    play = Play()
    play.run(5, leaks, *many)
    times = len(grouped)
    single, three = Play().run(5, leaks, many[0]), Play().run(5, leaks, *many[:3])
    assert [event.leak.verdict for event in play.events] == [event.leak.verdict for event in three.events]
    assert play.events[-1].time <= single.events[-1].time
    assert 0 < times < 5 * 12 * 30 / 2
    play.pipeline.configure(DetectionSettings(ignore=(IgnoreRule(function="main.leak"),)))
    play.run(1 / 6, leaks, *many)
    assert play.pipeline.open_leaks() == []


def test_a_ceiling_does_not_flap() -> None:
    """A pool that moves around at_most is reported once, and ignored again after an hour clearly below it."""
    rng = np.random.default_rng(1)

    def pool(_: Target, hour: float) -> Samples:
        noise = int(rng.integers(-2, 3)) if hour > 5 else 0
        return samples({"pool": int(min(hour * 40, 200)) + noise - 30 * (hour > 20), "b": 5})

    play = Play(DetectionSettings(ignore=(IgnoreRule(function="main.pool", at_most=200),)))
    play.run(20, pool, A)
    assert len(play.events) <= 2
    assert play.leak().stack.blamed.function == "main.pool"
    number = len(play.events)
    play.run(0.9, pool, A)
    assert len(play.events) == number
    play.run(0.3, pool, A)
    assert [event.kind for event in play.events[number:]] == ["closed"]
    assert play.pipeline.open_leaks() == []


def test_a_rule_by_origin_ignores_a_site() -> None:
    """The site of call paths with a common origin has that origin, and a rule by origin ignores it."""

    def counts(_: Target, hour: float) -> Samples:
        observed = paths(dict.fromkeys(range(6), 1 + 10 * hour)).values()
        return {s.stack.fingerprint: Sample(replace(s.stack, origin="main.serve"), s.goroutines) for s in observed}

    assert len(Play().run(8, counts, A).pipeline.open_leaks()) == 1
    assert Play(DetectionSettings(ignore=(IgnoreRule(origin="main.serve"),))).run(8, counts, A).events == []


def test_the_memory_of_a_service_is_bounded() -> None:
    """Stacks that no target has are dropped from the pool, while the leak of the service is judged further."""
    play = Play(DetectionSettings(series_limit=100))

    def counts(target: Target, hour: float) -> Samples:
        new = int(hour * 12) * 20 + 10_000 * (target is B)
        return samples({"leak": 3 + int(30 * hour)} | dict.fromkeys((f"once{new + n}" for n in range(20)), 5))

    play.run(8, counts, A, B)
    for pooled in play.pipeline.services["shop"]._pooled or ():
        assert len(pooled._pool.stacks) <= 2 * 2 * 100
        assert all(len(member.means) == len(pooled._pool.stacks) for member in pooled._pool.members.values())
    leak = play.leak()
    assert leak.targets == ("a", "b")
    assert leak.growth.rate * HOUR == pytest.approx(60, rel=0.03)
    assert [verdict for _, verdict, _ in play.transitions()] == ["suspected", "leaking"]


def test_the_number_of_sites_is_limited() -> None:
    """The key series_limit applies to the sites of a target as it does to its stacks."""
    play = Play(DetectionSettings(series_limit=10))

    def counts(_: Target, hour: float) -> Samples:
        block = int(hour * 12)
        functions = range(5 * block, 5 * block + 5) if block < 5 else range(25)
        return {key: sample for n in functions for key, sample in paths({0: 9, 1: 9}, f"main.site{n}").items()}

    play.run(1, counts, A)
    assert len(play.pipeline.services["shop"].functions.sites) == 25
    assert len(play.pipeline.targets[A].sites.rows) == 10


def test_a_pooled_leak_keeps_its_place_among_larger_stacks() -> None:
    """A leak that only the pool shows keeps its rows while many larger stacks appear on each target."""
    play = Play(DetectionSettings(series_limit=10))

    def counts(_: Target, hour: float) -> Samples:
        crowd = dict.fromkeys((f"crowd{n}" for n in range(12 * (hour > 16))), 200)
        return samples({"leak": 3 + int(2 * hour)} | crowd)

    targets = [Target("shop", name) for name in "abcdef"]
    play.run(16, counts, *targets)
    assert play.leak().stack.blamed.function == "main.leak"
    play.run(0.5, counts, *targets)
    assert play.leak().goroutines == 6 * (3 + 32)


FLEET = tuple(Target("shop", name) for name in "abcd")


def test_shrinking_stacks_of_another_origin_do_not_hide_a_site() -> None:
    """Only stacks with an origin of a site can explain its growth, also over several targets."""
    times = {
        (target.name, n): np.cumsum(np.random.default_rng([i, n]).exponential(1 / 0.6, 1000)) + 1
        for i, target in enumerate(FLEET)
        for n in range(10)
    }

    def counts(target: Target, hour: float) -> Samples:
        leaks = paths({n: 1 + float(np.searchsorted(times[target.name, n], hour)) for n in range(10)})
        return {**leaks, **paths(dict.fromkeys((20, 21), 400 - 10 * hour), "main.other")}

    leak = Play().run(7, counts, *FLEET).leak()
    assert (leak.stack.site, leak.verdict) == (True, Verdict.LEAKING)
    assert leak.targets == ("a", "b", "c", "d")


def test_workers_that_move_to_a_site_are_not_a_leak() -> None:
    """Goroutines of one origin that move between functions do not grow in number."""

    def counts(_: Target, hour: float) -> Samples:
        moved = paths(dict.fromkeys(range(4), 1 + int(10 * hour) / 4), "main.busy").values()
        observed = [Sample(replace(s.stack, origin="main.work"), s.goroutines) for s in moved]
        idle = samples({"idle": 400 - int(10 * hour)}, "main.work")
        return {**idle, **{sample.stack.fingerprint: sample for sample in observed}}

    assert Play().run(10, counts, *FLEET).events == []


@pytest.mark.parametrize("ignored", ["reader", "writer"])
def test_a_leak_with_an_ignored_stack(ignored: str) -> None:
    """If a rule ignores one of two stacks that grow in step, the other one represents the leak."""
    times = np.cumsum(np.random.default_rng(5).exponential(1 / 60, 2000))

    def counts(_: Target, hour: float) -> Samples:
        leaked = int(np.searchsorted(times, hour))
        return samples({"reader": 3 + leaked, "writer": 1 + leaked})

    rules = [IgnoreRule(function=f"main.{name}") for name in ("reader", "writer")]
    matching = tuple(rule for rule in rules if ignored in rule.function)
    unfiltered, filtered = Play().run(5, counts, A), Play(DetectionSettings(ignore=matching)).run(5, counts, A)
    assert [event.time for event in filtered.events] == [event.time for event in unfiltered.events]
    (other,) = {"reader", "writer"} - {ignored}
    assert {event.leak.stack.blamed.function for event in filtered.events} == {f"main.{other}"}
    assert filtered.leak().verdict is Verdict.LEAKING
    assert Play(DetectionSettings(ignore=tuple(rules))).run(5, counts, A).events == []


def test_a_recovered_target_does_not_count() -> None:
    """If one of two targets is fixed, the leak has the rate of the other, in metrics and in the reason."""

    def counts(target: Target, hour: float) -> Samples:
        falling = 360 * max(1 - 3 * (hour - 6), 0)  # within 20 minutes: a restart takes all at once
        return samples({"leak": 3 + int(60 * hour if target is B or hour < 6 else falling), "b": 5})

    leak = Play().run(7, counts, A, B).leak()
    assert leak.verdict is Verdict.LEAKING
    assert leak.growth.rate * HOUR == pytest.approx(60, rel=0.1)
    assert leak.grew.rate * HOUR == pytest.approx(60, rel=0.1)
    assert "+60/h" in leak.reason


def test_a_target_with_longer_blocks() -> None:
    """If one of two targets is scraped more rarely and its blocks double, the service is still judged."""
    play = Play()

    def counts(_: Target, hour: float) -> Samples:
        return samples({"leak": 2 + int(12 * hour), "b": 5})

    play.run(6, counts, A, B)
    assert play.pipeline.add_target(A).stretch(2 * 300.0 / 5)
    play.run(8, counts, A, B)
    leak = play.leak()
    assert leak.verdict is Verdict.LEAKING
    assert leak.targets == ("a", "b")
    assert leak.growth.rate * HOUR == pytest.approx(24, rel=0.1)


def test_a_removed_rule_is_not_counted() -> None:
    """Ignored leaks are counted by current rules, also before the next grouping without a removed rule."""
    rule = IgnoreRule(function="main.leak")
    play = Play(DetectionSettings(ignore=(rule,)))
    play.run(3, lambda _, hour: samples({"leak": 3 + int(60 * hour)}), A)
    assert play.pipeline.ignored() == {str(rule): 1}
    play.pipeline.configure(DetectionSettings())
    assert play.pipeline.ignored() == {}
