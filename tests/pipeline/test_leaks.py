"""How leaks are told: one leak once, with all its goroutines and targets, without flapping; in virtual time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
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
"""Target, hours since the start -> what its profile holds."""


class Play:
    """A pipeline that is fed one profile of each target a minute, and all that it told."""

    def __init__(self, settings: DetectionSettings | None = None) -> None:
        self.pipeline = Pipeline(settings or DetectionSettings())
        self.events: list[Event] = []
        self.time = 0.0

    def run(self, hours: float, counts: Counts, *targets: Target) -> "Play":
        """Go on for `hours`."""
        for _ in range(round(hours * HOUR / MINUTE)):
            for target in targets:
                found = counts(target, self.time / HOUR)
                total = sum(sample.goroutines for sample in found.values())
                self.events += self.pipeline.observe(
                    self.pipeline.add_target(target), START + self.time, total, found
                )
            self.time += MINUTE
        return self

    def leak(self) -> Leak:
        """Return the only leak that is open."""
        (leak,) = self.pipeline.open_leaks()
        return leak

    def told(self) -> Sequence[tuple[str, str, str]]:
        """Return each verdict that was told: which before, which then, of how many frames."""
        return [
            (event.before.word, event.leak.verdict.word, "site" if len(event.leak.stack.frames) == 1 else "stack")
            for event in self.events
        ]


def path(number: int, function: str = "main.leak") -> Stack:
    """Return one of the stacks in which `function` is reached."""
    frames = (Frame(function, "/src/leak.go", 7), Frame(f"main.path{number}", "/src/main.go", number))
    return Stack(
        fingerprint=fingerprint_of([f.function for f in frames]),
        frames=frames,
        blamed=frames[0],
        origin=f"main.path{number}",
        wait="",
    )


def paths(counts: Mapping[int, float], function: str = "main.leak") -> Samples:
    """Return samples of a function's call paths, by number."""
    found = {number: path(number, function) for number in counts}
    return {stack.fingerprint: Sample(stack, int(counts[n])) for n, stack in found.items() if int(counts[n])}


def test_a_site_counts_every_target_and_every_path() -> None:
    """A function that leaks on six paths of one replica and one path of another is one leak, with all of them."""

    def counts(target: Target, hour: float) -> Samples:
        return paths(dict.fromkeys(range(6), 1 + 8 * hour) if target is A else {0: 1 + 48 * hour})

    play = Play().run(14, counts, A, B)
    leak = play.leak()
    assert leak.stack.frames == (Frame("main.leak", "/src/leak.go", 7),)
    assert leak.targets == ("a", "b")
    held = sum(s.goroutines for target in (A, B) for s in counts(target, 14 - 1 / 60).values())
    assert leak.goroutines == held
    assert leak.growth.rate * HOUR == pytest.approx(96, rel=0.03)
    assert [verdict for verdict in play.told() if verdict[1] == "leaking"] == [("suspected", "leaking", "site")]


def test_a_leak_that_stops_is_not_told_again_as_its_site() -> None:
    """The stack that holds all the growth of its function speaks for it, also when the growth is over."""
    play = Play().run(14, lambda _, hour: paths({0: 3, 1: 3, 2: 3 + min(hour, 4) * 60}), A)
    assert [what for _, _, what in play.told()] == ["stack"] * len(play.events)
    assert play.leak().verdict is Verdict.PLATEAU


def test_equal_paths_are_told_once() -> None:
    """Three call paths that leak alike, each fast enough to be seen alone, are one leak: their function."""
    rng = np.random.default_rng(3)
    times = [np.cumsum(rng.exponential(1 / 60, 2000)) + 1 for _ in range(3)]
    play = Play().run(9, lambda _, h: paths({n: 3 + float(np.searchsorted(t, h)) for n, t in enumerate(times)}), A)
    leak = play.leak()
    assert leak.growth.rate * HOUR == pytest.approx(180, rel=0.1)
    assert {stack.fingerprint for stack in leak.related} == {path(n).fingerprint for n in range(3)}
    assert [what for _, verdict, what in play.told() if verdict == "leaking"] == ["site"]


def test_a_site_that_lost_half_still_leaks_where_its_paths_do() -> None:
    """The fast one of six paths is mended, which halves the site; the slow ones go on, and so does the leak."""
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
    """The sentence says how long ago the growth ended, not how long ago that was understood."""
    play = Play().run(14, lambda _, hour: samples({"leak": 3 + int(min(hour, 4) * 60), "b": 5}), A)
    leak = play.leak()
    assert leak.verdict is Verdict.PLATEAU
    assert leak.reason.endswith("and has not grown for 9h54m")


def test_a_rule_by_labels_hides_only_what_its_targets_leak() -> None:
    """What is known and accepted of the canary is told when another target leaks it."""
    settings = DetectionSettings(ignore=(IgnoreRule(function="main.leak", labels={"track": "canary"}),))

    def leaks(*where: Target) -> Counts:
        return lambda target, hour: samples({"leak": 3 + int(60 * hour) * (target in where), "b": 5})

    for where, open_leaks in (((A,), 1), ((B,), 0), ((A, B), 1)):
        play = Play(settings).run(5, leaks(*where), A, B)
        assert len(play.pipeline.open_leaks()) == open_leaks


@pytest.mark.parametrize("name", ["service", "target"])
def test_a_rule_knows_targets_by_their_service_and_address(name: str) -> None:
    """Labels are matched as the metrics show them, whether a target group wrote them or not."""

    def leaks(_: Target, hour: float) -> Samples:
        return samples({"leak": 3 + int(60 * hour), "b": 5})

    for pattern, open_leaks in ((Target("shop", "a").all_labels[name], 0), ("other", 1)):
        rule = IgnoreRule(function="main.leak", labels={name: pattern})
        play = Play(DetectionSettings(ignore=(rule,))).run(5, leaks, A)
        assert len(play.pipeline.open_leaks()) == open_leaks
        assert play.pipeline.unmatched() == ([] if not open_leaks else [rule])


def test_many_targets_are_not_put_together_at_each_block_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts are told when they turn; what is one leak is looked at some times a block, and after a reload."""
    grouped = []

    def counted(*known: Any) -> Any:
        grouped.append(1)
        return groups(*known)

    monkeypatch.setattr(leaking, "groups", counted)
    many = [Target("shop", f"t{i}") for i in range(60)]

    def leaks(_: Target, hour: float) -> Samples:
        return samples({"leak": 3 + int(60 * hour), "b": 5})

    play = Play()
    play.run(5, leaks, *many)
    times = len(grouped)
    one, three = Play().run(5, leaks, many[0]), Play().run(5, leaks, *many[:3])
    assert [event.leak.verdict for event in play.events] == [event.leak.verdict for event in three.events]
    assert play.events[-1].time <= one.events[-1].time
    assert 0 < times < 5 * 12 * 60 / 2
    play.pipeline.configure(DetectionSettings(ignore=(IgnoreRule(function="main.leak"),)))
    play.run(1 / 6, leaks, *many)
    assert play.pipeline.open_leaks() == []


def test_a_ceiling_does_not_flap() -> None:
    """A pool that moves around its ceiling is told once, and hidden again once it is clearly below for an hour."""
    rng = np.random.default_rng(1)

    def pool(_: Target, hour: float) -> Samples:
        noise = int(rng.integers(-2, 3)) if hour > 5 else 0
        return samples({"pool": int(min(hour * 40, 200)) + noise - 30 * (hour > 20), "b": 5})

    play = Play(DetectionSettings(ignore=(IgnoreRule(function="main.pool", at_most=200),)))
    play.run(20, pool, A)
    assert len(play.events) <= 2
    assert play.leak().stack.blamed.function == "main.pool"
    told = len(play.events)
    play.run(0.9, pool, A)
    assert len(play.events) == told
    play.run(0.3, pool, A)
    assert [event.kind for event in play.events[told:]] == ["closed"]
    assert play.pipeline.open_leaks() == []


def test_a_rule_by_origin_hides_a_site() -> None:
    """Call paths that share their origin are a site with that origin; a rule that knows it keeps out the site."""

    def counts(_: Target, hour: float) -> Samples:
        found = paths(dict.fromkeys(range(6), 1 + 10 * hour)).values()
        return {s.stack.fingerprint: Sample(replace(s.stack, origin="main.serve"), s.goroutines) for s in found}

    assert len(Play().run(8, counts, A).pipeline.open_leaks()) == 1
    assert Play(DetectionSettings(ignore=(IgnoreRule(origin="main.serve"),))).run(8, counts, A).events == []


def test_the_memory_of_a_service_is_bounded() -> None:
    """Stacks that no target holds any more are forgotten for the service; its leak is followed all the while."""
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
    assert [verdict for _, verdict, _ in play.told()] == ["suspected", "leaking"]


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
    """What only the service as a whole leaks is not pushed out of a full target by many larger stacks."""
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


def test_what_else_shrinks_does_not_hide_the_site_of_a_service() -> None:
    """Only what has an origin in common with a site can explain its growth, on many targets as on one."""
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


def test_workers_that_move_to_a_site_are_no_leak_of_a_service() -> None:
    """Goroutines of one origin that change from one function to another are as many as before."""

    def counts(_: Target, hour: float) -> Samples:
        moved = paths(dict.fromkeys(range(4), 1 + int(10 * hour) / 4), "main.busy").values()
        found = [Sample(replace(s.stack, origin="main.work"), s.goroutines) for s in moved]
        idle = samples({"idle": 400 - int(10 * hour)}, "main.work")
        return {**idle, **{sample.stack.fingerprint: sample for sample in found}}

    assert Play().run(10, counts, *FLEET).events == []


@pytest.mark.parametrize("ignored", ["reader", "writer"])
def test_a_leak_is_told_by_those_of_its_stacks_that_no_rule_keeps_out(ignored: str) -> None:
    """Of two stacks that grow in step either could tell the leak; where a rule knows only one, the other does."""
    times = np.cumsum(np.random.default_rng(5).exponential(1 / 60, 2000))

    def counts(_: Target, hour: float) -> Samples:
        leaked = int(np.searchsorted(times, hour))
        return samples({"reader": 3 + leaked, "writer": 1 + leaked})

    rules = [IgnoreRule(function=f"main.{name}") for name in ("reader", "writer")]
    known = tuple(rule for rule in rules if ignored in rule.function)
    either, one = Play().run(5, counts, A), Play(DetectionSettings(ignore=known)).run(5, counts, A)
    assert [event.time for event in one.events] == [event.time for event in either.events]
    (other,) = {"reader", "writer"} - {ignored}
    assert {event.leak.stack.blamed.function for event in one.events} == {f"main.{other}"}
    assert one.leak().verdict is Verdict.LEAKING
    assert Play(DetectionSettings(ignore=tuple(rules))).run(5, counts, A).events == []


def test_a_target_that_has_recovered_adds_nothing_to_the_rate() -> None:
    """One of two replicas is mended: the leak goes on at the rate of the other, in metrics and in the sentence."""

    def counts(target: Target, hour: float) -> Samples:
        mended = 360 * max(1 - 3 * (hour - 6), 0)  # within 20 minutes: a restart takes all at once
        return samples({"leak": 3 + int(60 * hour if target is B or hour < 6 else mended), "b": 5})

    leak = Play().run(7, counts, A, B).leak()
    assert leak.verdict is Verdict.LEAKING
    assert leak.growth.rate * HOUR == pytest.approx(60, rel=0.1)
    assert leak.grew.rate * HOUR == pytest.approx(60, rel=0.1)
    assert "+60/h" in leak.reason


def test_a_target_whose_blocks_grow_stays_in_its_service() -> None:
    """When one of two targets is scraped more rarely its blocks double; the service is judged on as before."""
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
