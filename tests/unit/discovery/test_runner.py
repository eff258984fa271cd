"""The discovery runner: start, replacement and restart of discoverers."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from structlog.testing import capture_logs

from leakwatch.clock import Clock
from leakwatch.config import parse
from leakwatch.discovery.file import FileConfig, FileDiscoverer
from leakwatch.discovery.relabel import RelabelConfig
from leakwatch.discovery.runner import RESTART_PAUSE, DiscoveryRunner, DiscoverySettings
from leakwatch.discovery.status import DiscoveryStatus
from tests.support.clock import ManualClock, until


class Scene:
    """A runner with a manual clock, and the number of reported changes."""

    def __init__(self) -> None:
        self.clock = ManualClock(1000.0)
        self.changes = 0
        self.runner = DiscoveryRunner(self._count, self.clock)

    def addresses(self, job: str = "j") -> list[str]:
        """Return the addresses of a job."""
        return [address for group in self.runner.groups(job) for address in group.targets]

    def _count(self) -> None:
        self.changes += 1


def play(test: Callable[[Scene], Awaitable[None]]) -> None:
    """Run a test with a scene."""

    async def run() -> None:
        scene = Scene()
        try:
            await test(scene)
        finally:
            scene.runner.stop()

    asyncio.run(run())


def jobs(text: str, folder: Path = Path()) -> dict[str, DiscoverySettings]:
    """Return the jobs of a configuration."""
    config = parse(f"scrape_configs: [{text}]", "c.yml", folder)
    return {job.job_name: job for job in config.scrape_configs}


def test_all_discoverers_of_a_job() -> None:
    """Groups and statuses are in the order of the configuration, and each update is reported."""

    async def test(scene: Scene) -> None:
        scene.runner.configure(
            jobs(
                "{job_name: j, static_configs: [{targets: ['a:1']}, {targets: ['b:1']}]},"
                "{job_name: k, static_configs: [{targets: ['c:1']}]}"
            )
        )
        assert scene.runner.waiting() == (3, 3)
        await until(lambda: scene.runner.waiting() == (0, 3))
        assert (scene.addresses("j"), scene.addresses("k")) == (["a:1", "b:1"], ["c:1"])
        assert scene.changes == 3
        statuses = [(s.job, s.mechanism, s.failures, s.succeeded) for s in scene.runner.statuses()]
        assert statuses == [("j", "static", 0, 1000.0)] * 2 + [("k", "static", 0, 1000.0)]

    play(test)


def test_a_new_discoverer_begins_with_the_previous_groups(tmp_path: Path) -> None:
    """After a reload with changed settings, the previous groups stay until the first update."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(f'[{{"targets": ["{name}:1"]}}]')
    text = "{{job_name: j, file_sd_configs: [{{files: [{}.json]}}]}}"

    async def test(scene: Scene) -> None:
        scene.runner.configure(jobs(text.format("a"), tmp_path))
        await until(lambda: scene.addresses() == ["a:1"])
        scene.runner.configure(jobs(text.format("b"), tmp_path))
        assert (scene.addresses(), scene.runner.waiting()) == (["a:1"], (1, 1))
        await until(lambda: scene.addresses() == ["b:1"])
        scene.runner.configure({})
        assert (scene.addresses(), scene.runner.waiting()) == ([], (0, 0))

    play(test)


def test_an_unchanged_discoverer_continues(tmp_path: Path) -> None:
    """A reload with the same settings does not start the discoverer again."""
    (tmp_path / "a.json").write_text('[{"targets": ["a:1"]}]')
    text = "{job_name: j, file_sd_configs: [{files: [a.json]}]}"

    async def test(scene: Scene) -> None:
        scene.runner.configure(jobs(text, tmp_path))
        await until(lambda: scene.addresses() == ["a:1"])
        scene.runner.configure(jobs(text, tmp_path))
        assert scene.runner.waiting() == (0, 1)
        await until(lambda: len(scene.clock.sleeps) == 1)
        assert scene.changes == 1

    play(test)


def test_a_failing_discoverer_is_not_waiting(tmp_path: Path) -> None:
    """A failure before the first update is reported, so that readiness does not wait for the discoverer."""
    (tmp_path / "a.json").write_text("[")

    async def test(scene: Scene) -> None:
        scene.runner.configure(jobs("{job_name: j, file_sd_configs: [{files: [a.json]}]}", tmp_path))
        await until(lambda: scene.runner.waiting() == (0, 1))
        assert scene.changes == 2
        assert [status.failures for status in scene.runner.statuses()] == [1]

    with capture_logs():
        play(test)


def test_a_discoverer_restarts_after_an_internal_error(tmp_path: Path) -> None:
    """The error is logged with job and mechanism and counted, and the discoverer runs again after a pause."""
    (tmp_path / "a.json").write_text('[{"targets": ["a:1"]}]')
    starts: list[float] = []

    class BrokenConfig(FileConfig):
        """Settings of a discoverer with an internal error at its first start."""

        def discoverer(self, status: DiscoveryStatus, clock: Clock) -> FileDiscoverer:
            """Return the discoverer; raise an error the first time."""
            starts.append(clock.time())
            if len(starts) == 1:
                raise RuntimeError("broken")
            return super().discoverer(status, clock)

    broken = BrokenConfig(files=(tmp_path / "a.json",))
    settings = DiscoverySettings.model_construct(
        relabel_configs=(RelabelConfig(regex="x", action="labeldrop"),), file_sd_configs=(broken,)
    )

    async def test(scene: Scene) -> None:
        scene.runner.configure({"j": settings})
        await until(lambda: scene.clock.sleeps == [RESTART_PAUSE])
        assert scene.runner.waiting() == (0, 1)
        scene.clock.advance(RESTART_PAUSE)
        await until(lambda: scene.addresses() == ["a:1"])
        assert starts == [1000.0, 1000.0 + RESTART_PAUSE]

    with capture_logs() as log:
        play(test)
    internal, failure = log
    assert (internal["event"], internal["job"], internal["mechanism"]) == (
        "internal error in discovery, the last targets stay",
        "j",
        "file",
    )
    assert failure["error"] == "RuntimeError('broken')"
