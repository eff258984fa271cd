"""Storage in the life of a daemon: saving, restoring, failures, and a folder that another process uses."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leakwatch.errors import StateError, StorageError
from leakwatch.leaks.model import Event
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Process, Sample, Target, Verdict
from leakwatch.pipeline import Pipeline
from leakwatch.storage import storage as module
from leakwatch.storage.changes import Changes
from leakwatch.storage.config import StorageConfig
from leakwatch.storage.database import FILE, MIGRATIONS, Database
from leakwatch.storage.storage import INTERVAL, RETRY, Storage
from tests.support.clock import START, ManualClock, run_logged, until
from tests.support.simulated import samples, stack

A, B = Target("shop", "a"), Target("mail", "b")
RECORDED = Path(__file__).parent / "versions"
MINUTE = 60.0
HOUR = 3600.0


class Part:
    """A part with a state of its own; "bad" cannot be restored."""

    def __init__(self, state: Any = "new") -> None:
        self.state = state

    def to_plain(self) -> Any:
        """Return the state."""
        return {"state": self.state}

    def restore(self, plain: Any) -> None:
        """Continue with a state."""
        if plain.get("state") == "bad":
            raise StateError("alerts: are bad")
        self.state = plain.get("state")


class Life:
    """One process: a pipeline that stores its state in `folder`, from `time` on."""

    def __init__(
        self, folder: Path, time: float = START, settings: DetectionSettings | None = None, **limits: Any
    ) -> None:
        self.clock = ManualClock(time)
        self.pipeline = Pipeline(settings or DetectionSettings())
        self.part = Part()
        config = StorageConfig.model_validate({"path": folder, **limits})
        self.storage = Storage(config, self.pipeline, self.part, self.clock)

    def scrape(self, minutes: int, *targets: Target, **counts: Callable[[int], int]) -> None:
        """Record a profile of each target a minute, with counts by stack name that depend on the minute."""
        for _ in range(minutes):
            minute = round((self.clock.now - START) / MINUTE)
            found = samples({name: count(minute) for name, count in counts.items()})
            for target in targets:
                state = self.pipeline.add_target(target)
                total = sum(sample.goroutines for sample in found.values())
                self.pipeline.observe(state, self.clock.now, total, found, Process("run1", "build1"))
            self.clock.now += MINUTE  # without waking the storage

    async def saved(self) -> None:
        """Return when the next save is done."""
        await self.clock.sleeping()
        self.clock.advance(INTERVAL)
        await until(lambda: self.storage.status.saved_at == self.clock.now)

    def leak(self, hours: float = 3) -> None:
        """Watch a leak on one target and a healthy other one."""
        self.scrape(round(60 * hours), A, leak=lambda minute: 2 + minute, idle=lambda _: 5)
        self.scrape(1, B, idle=lambda _: 5)


def lived(folder: Path, act: Callable[[Life], object] = Life.leak, **options: Any) -> Life:
    """Return the life of a process that started, did something, and stopped."""
    life = Life(folder, **options)

    async def run() -> None:
        await life.storage.start()
        act(life)
        await life.storage.stop()

    asyncio.run(run())
    return life


def during(life: Life, act: Callable[[Life], Coroutine[Any, Any, None]]) -> list[dict[str, Any]]:
    """Start a process, do something, and stop; return what it logged."""

    async def run() -> None:
        await life.storage.start()
        await act(life)
        await life.storage.stop()

    return run_logged(run)


def test_a_stopped_process_continues(tmp_path: Path) -> None:
    """Targets, leaks, the clock and the other part are restored; nothing is lost, not even the open block."""
    first = lived(tmp_path)
    first_seen = first.pipeline.open_leaks()[0].first_seen
    last_count = first.pipeline.count("shop", stack("leak", "main.goleak").fingerprint)
    second = Life(tmp_path, time=first.clock.now + 600)
    second.part.state = "fresh"

    async def act(life: Life) -> None:
        (leak,) = life.pipeline.open_leaks()
        assert (leak.verdict, leak.first_seen) == (Verdict.LEAKING, first_seen)
        assert life.pipeline.targets.keys() == {A, B}
        assert life.pipeline.count("shop", leak.stack.fingerprint) == last_count
        assert life.part.state == "new"
        (pause,) = life.storage.pauses.since(0.0)
        assert (pause.start, pause.end) == (first.clock.now, first.clock.now + 600)

    log = during(second, act)
    assert [line for line in log if line["log_level"] == "error"] == []
    assert ("state restored", 2, 2, 1) in [
        (line["event"], line.get("services"), line.get("targets"), line.get("leaks")) for line in log
    ]


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_recorded_files_are_restored(tmp_path: Path, version: int) -> None:
    """The recorded file of each version has a leak on two targets, an alert and a pause. All are restored.

    For a new version, record the file with tests/support/stored.py before changing the documents.
    """
    (tmp_path / FILE).write_bytes((RECORDED / f"{version}.db").read_bytes())
    life = Life(tmp_path, time=START + 4 * HOUR)

    async def act(life: Life) -> None:
        (leak,) = life.pipeline.open_leaks()
        assert (leak.stack.blamed.function, leak.verdict) == ("main.leak", Verdict.LEAKING)
        assert leak.targets == ("10.0.0.1:6060", "10.0.0.2:6060")
        assert [pause.end - pause.start for pause in life.storage.pauses.since(0.0)] == [300.0, HOUR]

    log = during(life, act)
    assert [line for line in log if line["log_level"] == "error"] == []


def test_the_health_of_restored_targets(tmp_path: Path) -> None:
    """Counters begin at zero; a target that was down is down since then, another one is neither up nor down."""

    def act(life: Life) -> None:
        life.leak()
        for target, up in ((A, True), (B, False)):
            health = life.pipeline.targets[target].health
            health.up, health.since, health.reason = up, START + 60, "" if up else "timeout"
            health.results["success"] += 7

    lived(tmp_path, act)
    targets = lived(tmp_path, lambda _: None, time=START + 4 * HOUR).pipeline.targets
    a, b = targets[A].health, targets[B].health
    assert (a.up, a.results.total()) == (None, 0)
    assert (b.up, b.since, b.reason, b.results.total()) == (False, START + 60, "timeout", 0)


def test_downtime_is_a_gap(tmp_path: Path) -> None:
    """The lifetime continues if the same process answers, and ends if another one does."""
    first = lived(tmp_path)
    for start, lifetimes in (("run1", 0), ("run2", 1)):
        copy = tmp_path / start
        shutil.copytree(tmp_path, copy, ignore=lambda *_: ["run1", "run2"])
        life = Life(copy, time=first.clock.now + HOUR)

        async def act(life: Life, start: str = start) -> None:
            state = life.pipeline.add_target(A)
            life.pipeline.observe(state, life.clock.now, 9, samples({"leak": 300, "idle": 5}), Process(start, "b"))

        during(life, act)
        history = life.pipeline.targets[A].history
        assert history.lifetime == lifetimes
        if not lifetimes:
            assert history.closed == 48
            assert list(history.blocks.scrapes[-13:]) == [5, *[0] * 12]


@pytest.mark.parametrize(("few", "scrapes"), [(0, 1), (1, 3)])
def test_a_block_is_saved_when_it_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int, scrapes: int
) -> None:
    """After a kill at most the open block is missing, and nothing if there are few targets."""
    monkeypatch.setattr(module, "FEW", few)
    life = Life(tmp_path)

    async def act(life: Life) -> None:
        for minutes in (11, 2):
            life.scrape(minutes, A, leak=lambda minute: minute)
            await life.saved()
        shutil.copytree(tmp_path, tmp_path / "killed")

    during(life, act)
    restored = lived(tmp_path / "killed", lambda _: None, time=START + 13 * MINUTE)
    history = restored.pipeline.targets[A].history
    assert (history.closed, history.open_block.scrapes) == (2, scrapes)


def test_a_verdict_is_saved_at_once(tmp_path: Path) -> None:
    """A change of a verdict does not wait for the next save."""
    life = Life(tmp_path)

    async def act(life: Life) -> None:
        life.leak()
        events = life.pipeline.remove_target(A, life.clock.now)
        life.pipeline.add_target(A)
        (leak,) = life.pipeline.open_leaks()
        del events
        life.storage.on_events([Event(life.clock.now, Verdict.NORMAL, leak)])
        await until(lambda: life.storage.status.saved_at == life.clock.now)
        shutil.copytree(tmp_path, tmp_path / "killed")

    during(life, act)
    restored = lived(tmp_path / "killed", lambda _: None)
    assert [leak.verdict for leak in restored.pipeline.open_leaks()] == [Verdict.LEAKING]


def test_targets_that_are_gone_are_removed_from_the_file(tmp_path: Path) -> None:
    """A service without targets is not restored."""
    lived(tmp_path, lambda life: life.scrape(10, A, B, idle=lambda _: 5))
    lived(tmp_path, lambda life: life.pipeline.drop_target(B, life.clock.now), time=START + HOUR)
    assert lived(tmp_path, lambda _: None, time=START + HOUR).pipeline.targets.keys() == {A}


def test_other_settings_start_over(tmp_path: Path) -> None:
    """State of another block length is not restored; a copy of the file stays, and the new state is saved."""
    lived(tmp_path)
    life = Life(tmp_path, time=START + 4 * HOUR, settings=DetectionSettings(block=60.0))

    async def act(life: Life) -> None:
        assert life.pipeline.targets == {}
        life.scrape(3, A, idle=lambda _: 5)

    (error,) = [line for line in during(life, act) if line["log_level"] == "error"]
    assert "service 'shop': target.block is '300.0', not 60.0" in error["errors"]
    assert Path(error["copy"]).exists()
    assert Path(error["copy"]).name == f"{FILE}.rejected-{START + 4 * HOUR:.0f}"
    again = lived(tmp_path, lambda _: None, time=START + 5 * HOUR, settings=DetectionSettings(block=60.0))
    assert again.pipeline.targets.keys() == {A}


def test_a_bad_part_costs_only_itself(tmp_path: Path) -> None:
    """If the alerts cannot be restored, the services are."""

    def act(life: Life) -> None:
        life.leak()
        life.part.state = "bad"

    lived(tmp_path, act)
    assert len(lived(tmp_path, lambda _: None, time=START + 4 * HOUR).pipeline.open_leaks()) == 1


def test_old_services_are_not_restored(tmp_path: Path) -> None:
    """After a downtime longer than the retention leakwatch starts over."""
    lived(tmp_path)
    day = 86400.0
    assert lived(tmp_path, lambda _: None, time=START + 8 * day).pipeline.targets == {}
    assert lived(tmp_path, Life.leak, time=START + 9 * day).pipeline.targets
    assert lived(tmp_path, lambda _: None, time=START + 15 * day).pipeline.targets


def test_without_a_folder_nothing_is_stored() -> None:
    """An empty path keeps the state in memory, without a file, a task or an error."""
    life = Life(Path())
    storage = Storage(StorageConfig(path=""), life.pipeline, life.part, life.clock)

    async def run() -> None:
        await storage.start()
        life.leak()
        storage.on_events([])
        await storage.stop()

    log = run_logged(run)
    assert [line["event"] for line in log] == [
        "state is kept in memory; set storage.path to keep it over restarts"
    ]
    assert storage.status.folder is None


def test_a_folder_in_use_is_taken_over(tmp_path: Path) -> None:
    """A process waits for the folder of its predecessor in memory, and continues with its history."""
    old = lived(tmp_path)
    holder = Database.open(tmp_path, START)
    life = Life(tmp_path, time=old.clock.now)

    async def act(life: Life) -> None:
        assert "is in use by process" in life.storage.status.error
        life.scrape(2, A, leak=lambda minute: 2 + minute, idle=lambda _: 5)
        assert life.pipeline.open_leaks() == []
        holder.close()
        await life.clock.sleeping()
        life.clock.advance(RETRY)
        await until(lambda: not life.storage.status.error)
        (leak,) = life.pipeline.open_leaks()
        assert leak.first_seen == old.pipeline.open_leaks()[0].first_seen

    log = during(life, act)
    assert "state of another process taken over" in [line["event"] for line in log]
    assert len(lived(tmp_path, lambda _: None, time=life.clock.now).pipeline.open_leaks()) == 1


@pytest.mark.parametrize("has_log", [False, True])
def test_a_disk_that_cannot_be_written_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_log: bool
) -> None:
    """A start on a full or read-only disk restores the state, and reports that it cannot be saved."""
    lived(tmp_path)
    if has_log:  # of a process that was killed; without space for its index it cannot be read
        (tmp_path / f"{FILE}-wal").write_bytes(b"")
        (tmp_path / f"{FILE}-shm").mkdir()

    def fail(*_: Any) -> None:
        raise StorageError("leakwatch.db: database or disk is full")

    life = Life(tmp_path, time=START + 4 * HOUR)

    async def act(life: Life) -> None:
        assert len(life.pipeline.open_leaks()) == 1
        assert life.storage.status.error == "leakwatch.db: database or disk is full"
        life.scrape(70, A, leak=lambda minute: 2 + minute, idle=lambda _: 5)
        monkeypatch.undo()
        if has_log:
            (tmp_path / f"{FILE}-shm").rmdir()
        await life.clock.sleeping()
        life.clock.advance(RETRY)
        await until(lambda: not life.storage.status.error)
        assert len(life.pipeline.open_leaks()) == 1

    monkeypatch.setattr(Database, "open", fail)
    log = during(life, act)
    assert "state of another process taken over" not in [line["event"] for line in log]
    restored = lived(tmp_path, lambda _: None, time=life.clock.now)
    assert restored.pipeline.targets[A].history.time == life.clock.now - RETRY - MINUTE


def test_a_failing_disk_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state stays in memory while the disk fails, with one message; then everything is saved."""
    life = Life(tmp_path)

    def fail(*_: Any) -> None:
        raise StorageError("leakwatch.db: database or disk is full")

    async def act(life: Life) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Database, "write", fail)
            life.leak()
            for failures in (1, 2):
                await life.clock.sleeping()
                life.clock.advance(RETRY + 1)
                await until(lambda failures=failures: life.storage.status.failures >= failures)  # type: ignore[misc]  # bound now
            assert life.storage.status.error == "leakwatch.db: database or disk is full"
        await life.clock.sleeping()
        life.clock.advance(RETRY + 1)
        await until(lambda: not life.storage.status.error)

    log = during(life, act)
    assert [line["event"] for line in log if line["log_level"] == "error"] == [
        "state cannot be saved, it stays in memory"
    ]
    assert "state is saved again" in [line["event"] for line in log]
    assert len(lived(tmp_path, lambda _: None, time=life.clock.now).pipeline.open_leaks()) == 1


def test_an_internal_error_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error while the state is converted is logged, also at the end, and reported like an error of the disk."""
    life = Life(tmp_path)

    async def act(life: Life) -> None:
        life.leak()
        monkeypatch.setattr(Changes, "take", lambda *_, **__: 1 / 0)
        await life.clock.sleeping()
        life.clock.advance(INTERVAL)
        await until(lambda: life.storage.status.failures)
        assert life.storage.status.error == "internal error: ZeroDivisionError('division by zero')"

    log = during(life, act)
    internal = [line for line in log if line["event"] == "internal error while saving the state"]
    assert len(internal) == 2


def test_the_size_limit_drops_targets_without_a_leak(tmp_path: Path) -> None:
    """Above the size limit only targets with a leak are saved, and the status reports it."""
    life = Life(tmp_path, size_limit=1)

    async def act(life: Life) -> None:
        life.leak()
        for _ in range(2):
            await life.saved()
        assert life.storage.status.is_full

    log = during(life, act)
    assert [line["event"] for line in log if line["log_level"] == "error"] == [
        "storage.size_limit is reached, targets without a leak are not saved"
    ]
    assert lived(tmp_path, lambda _: None, time=life.clock.now).pipeline.targets.keys() == {A}


def test_new_builds_do_not_grow_the_file_without_end(tmp_path: Path) -> None:
    """The lines of old builds are dropped from the file when there are more of them than of the current one."""
    life, sizes = Life(tmp_path), []

    def rebuilt(name: str, build: int) -> Sample:
        frames = tuple(replace(frame, line=build) for frame in stack(name).frames)
        return Sample(replace(stack(name), frames=frames, blamed=frames[0]), 5)

    async def run(life: Life) -> None:
        for build in range(60):
            found = [rebuilt(f"s{i}", build) for i in range(40)]
            state = life.pipeline.add_target(A)
            life.pipeline.observe(state, life.clock.now, 200, {each.stack.fingerprint: each for each in found})
            await life.saved()
            with sqlite3.connect(tmp_path / FILE) as connection:
                sizes.append(connection.execute("SELECT length(shared) FROM service").fetchone()[0])

    during(life, run)
    assert max(sizes[30:]) <= max(sizes[:30]) * 1.1
    assert max(sizes) < 12 * sizes[0]
