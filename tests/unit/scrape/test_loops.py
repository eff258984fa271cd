"""The scrape loops of all targets: start, stop, replacement and reload."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from leakwatch.clock import Clock
from leakwatch.config import parse
from leakwatch.discovery.target_builder import endpoint
from leakwatch.leaks.model import Event
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Target
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.loop import BodyRecorder
from leakwatch.scrape.loops import ScrapeLoops
from leakwatch.scrape.scheduler import Run, Scheduler
from leakwatch.scrape.start_queue import StartQueue
from leakwatch.scrape.target_set import ScrapeTarget
from tests.support.answering import Server, answering, http
from tests.support.scraping import BODY
from tests.unit.scrape.test_loop import Recorder


class ManualScheduler(Scheduler):
    """A scheduler for tests that run its jobs themselves; `jobs`: by name, with interval and first run."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.jobs: dict[str, tuple[float, float, Run]] = {}

    def every(self, name: str, interval: float, first: float, run: Run) -> None:
        """Add a job."""
        self.jobs[name] = interval, first, run

    def cancel(self, name: str) -> None:
        """Remove a job."""
        self.jobs.pop(name, None)

    async def run(self) -> None:
        """Run each job once."""
        for *_, run in list(self.jobs.values()):
            await run()


class Recorders:
    """Records which targets were removed."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    def recorder(self, _target: Target) -> BodyRecorder:
        """Return a recorder that stores nothing."""
        return Recorder()

    def target_removed(self, target: Target) -> None:
        """Record the removal."""
        self.removed.append(target.name)


class World:
    """Scrape loops of targets that a real server serves under several names."""

    def __init__(self, server: Server) -> None:
        self.address = server.url.removeprefix("http://")
        self.server = server
        self.pipeline = Pipeline(DetectionSettings())
        self.scheduler = ManualScheduler()
        self.recorders = Recorders()
        self.events: list[Event] = []
        self.loops = ScrapeLoops(
            pipeline=self.pipeline,
            scheduler=self.scheduler,
            clock=Clock(),
            lag=lambda: 0.0,
            starts=StartQueue(Clock().stopwatch, idle=Clock().stopwatch, cpu=lambda: 0.0),
            recorders=self.recorders,
            on_events=self.events.extend,
        )

    def update(self, *names: str, complete: bool = True, job: str = "", **labels: str) -> None:
        """Scrape the targets of these names; `job`: further keys of the job, `labels`: further labels."""
        text = f"{{job_name: shop, static_configs: [{{targets: ['{self.address}']}}], {job}}}"
        (scrape_job,) = parse(f"scrape_configs: [{text}]", "c.yml", Path()).jobs()
        targets = {}
        for name in names:
            start = {"__address__": self.address, "target": name, **labels}
            built = endpoint(start, scrape_job.defaults)
            targets[built.target] = ScrapeTarget(built, scrape_job)
        self.loops.update(targets, complete=complete)

    @property
    def scraped(self) -> list[str]:
        """The names of the targets that have a job."""
        return sorted(name.partition("\0")[2] for name in self.scheduler.jobs)


Steps = Callable[[World], Awaitable[None]]


@pytest.fixture
def play() -> Iterator[Callable[[Steps], World]]:
    """Return a function that runs steps with a world, and closes its loops."""

    def run(steps: Steps) -> World:
        async def main() -> World:
            world = World(server)
            await steps(world)
            await world.loops.close()
            return world

        return asyncio.run(main())

    with answering(http(BODY)) as server:
        yield run


def test_discovered_targets_are_scraped(play: Callable[[Steps], World]) -> None:
    """Each target gets a state and a job at its interval; the first scrapes are spread."""

    async def steps(world: World) -> None:
        world.update("a", "b", job="scrape_interval: 30s")
        assert world.scraped == ["a", "b"]
        assert {interval for interval, *_ in world.scheduler.jobs.values()} == {30.0}
        assert all(0 <= first <= 0.01 for _, first, _ in world.scheduler.jobs.values())
        await world.scheduler.run()

    world = play(steps)
    assert {target.name: state.total for target, state in world.pipeline.targets.items()} == {"a": 2, "b": 2}


def test_unchanged_targets_keep_their_loop(play: Callable[[Steps], World]) -> None:
    """An update starts and stops loops of other targets only."""

    async def steps(world: World) -> None:
        world.update("a")
        job = world.scheduler.jobs["shop\0a"]
        world.update("a", "b")
        assert world.scheduler.jobs["shop\0a"] is job
        world.update("a")
        assert world.scheduler.jobs["shop\0a"] is job
        assert world.scraped == ["a"]

    play(steps)


def test_a_changed_job_replaces_the_loop(play: Callable[[Steps], World]) -> None:
    """The new loop continues with history and health counters; the old one no longer scrapes."""

    async def steps(world: World) -> None:
        world.update("a")
        (state,) = world.pipeline.targets.values()
        *_, old = world.scheduler.jobs["shop\0a"]
        await old()
        world.loops.reload()
        world.update("a", job="body_size_limit: 10B")
        await asyncio.sleep(0)  # the old loop closes in a task
        requests = len(world.server.requests)
        await old()
        assert len(world.server.requests) == requests
        await world.scheduler.run()
        assert list(world.pipeline.targets.values()) == [state]
        assert (state.health.results["success"], state.health.results["too_large"]) == (1, 1)
        assert state.total == 2

    world = play(steps)
    assert world.recorders.removed == []


def test_labels_follow_discovery(play: Callable[[Steps], World]) -> None:
    """Other labels of a target reach its state, and do not replace its loop."""

    async def steps(world: World) -> None:
        world.update("a", team="x")
        job = world.scheduler.jobs["shop\0a"]
        world.update("a", team="y")
        assert world.scheduler.jobs["shop\0a"] is job
        ((target, state),) = world.pipeline.targets.items()
        assert (target.labels["team"], state.target.labels["team"]) == ("y", "y")
        assert [target.labels["team"] for target in world.pipeline.health()] == ["y"]

    play(steps)


def test_no_target_is_removed_before_discovery_is_complete(play: Callable[[Steps], World]) -> None:
    """While a discoverer has not reported yet, missing targets are still scraped."""

    async def steps(world: World) -> None:
        world.update("a", "b")
        world.update("b", "c", complete=False)
        assert world.scraped == ["a", "b", "c"]
        world.update("b", "c")
        assert world.scraped == ["b", "c"]

    assert play(steps).recorders.removed == ["a"]


def test_restored_targets_that_are_gone_are_removed(play: Callable[[Steps], World]) -> None:
    """A target of an earlier process is removed when discovery is complete and does not return it."""

    async def steps(world: World) -> None:
        world.pipeline.add_target(Target("s", "gone"))
        world.update("a", complete=False)
        assert {target.name for target in world.pipeline.targets} == {"a", "gone"}
        world.update("a")
        assert {target.name for target in world.pipeline.targets} == {"a"}

    assert play(steps).recorders.removed == ["gone"]


def test_a_target_that_returns_continues_its_history(play: Callable[[Steps], World]) -> None:
    """A removed target is not scraped; if it returns within a day, it has its history, but a new health."""

    async def steps(world: World) -> None:
        world.update("a")
        (state,) = world.pipeline.targets.values()
        await world.scheduler.run()
        world.update()
        assert world.scraped == []
        assert world.pipeline.targets == {}
        world.update("a")
        (returned,) = world.pipeline.targets.values()
        assert (returned.health.up, returned.health.results.total()) == (None, 0)
        assert returned.history is not state.history  # a target that does not answer has no history
        await world.scheduler.run()
        assert returned.history is state.history

    assert play(steps).recorders.removed == ["a"]


@pytest.mark.parametrize("incomplete", [False, True])
def test_a_reload_forgets_removed_targets(play: Callable[[Steps], World], incomplete: bool) -> None:
    """A target that a reload removes from the configuration starts over if it returns; later ones do not."""

    async def steps(world: World) -> None:
        world.update("a", "b")
        states = dict(world.pipeline.targets)
        await world.scheduler.run()
        world.loops.reload()
        if incomplete:
            world.update("b", complete=False)
        world.update("b")
        world.update()
        world.update("b")
        await world.scheduler.run()
        world.update("a", "b")
        await world.scheduler.run()
        continued = {
            target.name: state.history is states[target].history
            for target, state in world.pipeline.targets.items()
        }
        assert continued == {"a": False, "b": True}

    play(steps)
