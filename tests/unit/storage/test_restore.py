"""Storage under conditions that no program of leakwatch causes: odd profiles, files that vanish, other values."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from leakwatch.errors import StateError
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Target
from leakwatch.notify import saved_alerts
from leakwatch.notify.alerts import Alerts
from leakwatch.notify.rules import AlertRules
from leakwatch.pipeline import Pipeline
from leakwatch.storage import storage as module
from leakwatch.storage.database import FILE, Database
from leakwatch.storage.lock import FILE as LOCK
from leakwatch.storage.lock import FolderLock
from leakwatch.storage.storage import RETRY
from tests.support.clock import START, until
from tests.unit.storage.test_storage import HOUR, MINUTE, A, B, Life, during, lived


def errors(log: list[dict[str, Any]]) -> list[str]:
    """Return the errors of a log."""
    return [str(line.get("error") or line.get("errors")) for line in log if line["log_level"] == "error"]


def test_a_target_without_goroutines(tmp_path: Path) -> None:
    """A service with one target, which has an empty profile, is saved as any other."""

    async def act(life: Life) -> None:
        life.pipeline.observe(life.pipeline.add_target(A), life.clock.now, 0, {}, None)
        life.scrape(1, B, idle=lambda _: 5)

    assert errors(during(Life(tmp_path), act)) == []
    assert lived(tmp_path, lambda _: None).pipeline.targets.keys() == {A, B}


def test_a_state_that_cannot_be_encoded(tmp_path: Path) -> None:
    """An internal error is reported as a failure, and everything is saved when it is gone."""
    life = Life(tmp_path)

    async def act(life: Life) -> None:
        await life.saved()
        life.scrape(1, A, idle=lambda _: 5)
        life.part.state = 1 << 100
        life.storage.on_events([])
        await until(lambda: life.storage.status.failures)
        assert "internal error" in life.storage.status.error
        life.part.state = "new"
        await life.saved()
        assert not life.storage.status.error

    during(life, act)
    assert lived(tmp_path, lambda _: None).pipeline.targets.keys() == {A}


@pytest.mark.parametrize("name", [f"{FILE}-wal", LOCK])
def test_a_file_that_vanishes(tmp_path: Path, name: str) -> None:
    """The folder is opened again when its log or its lock was removed, and everything is saved."""
    life = Life(tmp_path)

    async def act(life: Life) -> None:
        await life.saved()
        (tmp_path / name).unlink()
        life.scrape(1, A, idle=lambda _: 5)
        life.storage.on_events([])
        await until(lambda: life.storage.status.failures)
        await life.clock.sleeping()
        life.clock.advance(RETRY)
        await until(lambda: not life.storage.status.error)

    assert ["was removed or replaced" in error for error in errors(during(life, act))] == [True]
    assert lived(tmp_path, lambda _: None).pipeline.targets.keys() == {A}


@pytest.mark.parametrize(("column", "value"), [("state", "text"), ("shared", 5), ("saved", "abc")])
def test_a_value_of_another_type(tmp_path: Path, column: str, value: object) -> None:
    """A row with a value of another type costs its service only."""
    lived(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute(f"UPDATE service SET {column} = ? WHERE name = 'shop'", (value,))  # noqa: S608  a constant
    assert lived(tmp_path, lambda _: None).pipeline.targets.keys() == {B}


def test_an_internal_error_costs_one_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error while a service is restored does not keep leakwatch from starting."""
    lived(tmp_path)
    restore = Pipeline.restore

    def fail(pipeline: Pipeline, services: Any, now: float) -> None:
        (plain,) = services
        if plain.service["state"]["name"] == "shop":
            raise OverflowError("numerical result out of range")
        restore(pipeline, [plain], now)

    monkeypatch.setattr(Pipeline, "restore", fail)
    second = Life(tmp_path)

    async def act(life: Life) -> None:
        assert life.pipeline.targets.keys() == {B}

    assert any("OverflowError" in error for error in errors(during(second, act)))


def test_one_copy_of_a_rejected_state(tmp_path: Path) -> None:
    """A state that is rejected, of a service that is no longer scraped, is copied once, not at each start."""
    lived(tmp_path)
    for start in (1, 2, 3):
        settings = DetectionSettings(block=600.0)
        time = START + start * 4 * HOUR
        lived(tmp_path, lambda life: life.scrape(1, B, idle=lambda _: 5), time=time, settings=settings)
    assert len(list(tmp_path.glob("*.rejected-*"))) == 1


def test_a_wall_clock_that_is_ahead(tmp_path: Path) -> None:
    """A wall clock that was set forward within a boot does not make the state too old."""
    first = lived(tmp_path)
    second = Life(tmp_path, time=first.clock.now + MINUTE)
    second.clock.wall_offset = 30 * 24 * HOUR

    async def act(life: Life) -> None:
        assert life.pipeline.targets.keys() == {A, B}

    during(second, act)


def test_a_target_that_only_the_other_process_has(tmp_path: Path) -> None:
    """A leak that is taken over closes if its target is not scraped here."""
    other = Target("shop", "b")
    first = lived(tmp_path, lambda life: life.scrape(180, A, other, leak=lambda minute: 2 + minute))
    lock = FolderLock(tmp_path)
    second = Life(tmp_path, time=first.clock.now)

    async def act(life: Life) -> None:
        life.scrape(2, other, leak=lambda _: 1)
        await life.clock.sleeping()
        lock.release()
        life.clock.advance(RETRY)
        await until(lambda: life.storage.status.saved_at)
        (leak,) = life.pipeline.open_leaks()
        assert set(leak.targets) == {A.name, other.name}
        for _ in range(25):
            life.scrape(60, other, idle=lambda _: 5)
            life.pipeline.expire(life.clock.now)
        assert [leak for leak in life.pipeline.open_leaks() if A.name in leak.targets] == []

    during(second, act)


def test_a_stop_while_the_disk_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop returns although the thread of the database waits for the disk."""
    monkeypatch.setattr(module, "LAST_SAVE", 0.1)
    responds = threading.Event()
    monkeypatch.setattr(Database, "write", lambda *_: responds.wait())
    life = Life(tmp_path)

    async def run() -> None:
        await life.storage.start()
        life.scrape(1, A, idle=lambda _: 5)
        async with asyncio.timeout(60):
            await life.storage.stop()
        responds.set()

    asyncio.run(run())


def test_an_alert_with_half_a_label() -> None:
    """A label without a value is an invalid state, not an internal error that ends the start."""
    alert = {
        "rule": "GoroutineLeak",
        "labels": [["service"]],
        "since": 0.0,
        "verdict": "leaking",
        "url": "",
        "annotations": {},
        "active_at": 0.0,
        "fired_at": None,
        "inactive_since": None,
        "resolved_at": None,
    }
    with pytest.raises(StateError, match=r"alerts\.0\.labels"):
        saved_alerts.restore({"alerts": [alert], "leaked_at": []}, Alerts(), AlertRules(lambda time: time))


@pytest.mark.parametrize("block", [0.0, -300.0, float("nan"), float("inf")])
@pytest.mark.parametrize("history", ["history", "sites"])
def test_a_block_without_length(history: str, block: float) -> None:
    """A block that never contains the time is invalid: closing such blocks would never end."""
    life = Life(Path())
    life.scrape(1, A, idle=lambda _: 5)
    (plain,) = life.pipeline.to_plain(0.0)
    plain.targets[0]["state"][history]["block"] = block
    with pytest.raises(StateError, match="block is"):
        Pipeline(DetectionSettings()).restore([plain], 0.0)
