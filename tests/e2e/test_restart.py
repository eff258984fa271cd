"""A restart of leakwatch: state comes back from the storage, and alerts do not flap."""

import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.alertmanagers import Alertmanager, Receiver
from tests.support.running import FAST, Daemon, Process
from tests.support.waiting import wait_for

Start = Callable[..., str]
Run = Callable[..., Daemon]


@pytest.fixture
def alertmanager(tmp_path: Path, webhook: Receiver) -> Iterator[Alertmanager]:
    """Run a real Alertmanager."""
    running = Alertmanager(tmp_path / "alertmanager", f"http://{webhook.address}/")
    yield running
    running.stop()


def config(folder: Path, address: str, alertmanager: Alertmanager) -> Path:
    """Write a configuration that keeps its state in `folder`; return its path."""
    path = folder / "leakwatch.yml"
    path.write_text(
        f"{FAST}storage: {{path: state}}\n"
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager.address}']}}]}}]}}\n"
        f"scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['{address}']}}]}}]\n"
    )
    return path


def leaks(daemon: Daemon) -> list[dict[str, Any]]:
    """Return the leaks of the API."""
    return list(daemon.get("/api/v1/leaks").json()["leaks"])


def kill(process: Process) -> None:
    """End a process without a chance to save anything."""
    process.popen.send_signal(signal.SIGKILL)
    process.stop()


def test_a_killed_daemon_continues(
    start: Start, leakwatch: Run, tmp_path: Path, alertmanager: Alertmanager, webhook: Receiver
) -> None:
    """After kill -9 the leak is there with the first answer, with its first-seen time, and is notified once."""
    path = config(tmp_path, start("w5pipeline").removeprefix("http://"), alertmanager)
    daemon = leakwatch("--config", path)
    wait_for(lambda: daemon.leaks().get("main.FilterService", 0))
    (alert,) = wait_for(alertmanager.alerts)
    (before,) = leaks(daemon)
    for _ in range(2):
        kill(daemon)
        daemon = leakwatch("--config", path)
        (after,) = leaks(daemon)
        assert (after["stack"], after["first_seen"]) == (before["stack"], pytest.approx(before["first_seen"]))
        assert after["verdict"] == "leaking"

    updated = alert["updatedAt"]
    (alert,) = wait_for(lambda: [a for a in alertmanager.alerts() if a["updatedAt"] > updated])  # sent again
    assert alert["labels"]["alertname"] == "GoroutineLeak"
    firing = [notified for notified in webhook.posted if notified["status"] == "firing"]
    assert len(firing) == len(webhook.posted) == 1
    # Alertmanager writes the same time as 18.61 and as 18.610 seconds.
    started, shown = (datetime.fromisoformat(each["startsAt"]) for each in (firing[0]["alerts"][0], alert))
    assert started == shown


def test_a_second_process_runs_in_memory(
    start: Start, leakwatch: Run, tmp_path: Path, alertmanager: Alertmanager
) -> None:
    """The second process on one folder reports who holds it, and watches in memory."""
    path = config(tmp_path, start("healthy").removeprefix("http://"), alertmanager)
    first = leakwatch("--config", path)
    second = leakwatch("--config", path)
    (error,) = [event["error"] for event in second.events() if event["level"] == "error"]
    assert f"state is in use by process {first.popen.pid} on " in error
    assert second.series("leakwatch_storage_up") == [({}, 0.0)]
    assert first.series("leakwatch_storage_up") == [({}, 1.0)]
    wait_for(lambda: [value for _, value in second.series("leakwatch_up")] == [1.0])
    assert "in use by process" in second.get("/status").text


def test_a_damaged_file_is_set_aside(
    start: Start, leakwatch: Run, tmp_path: Path, alertmanager: Alertmanager
) -> None:
    """A damaged file gets another name; the daemon begins a new one and saves its state there."""
    path = config(tmp_path, start("healthy").removeprefix("http://"), alertmanager)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "leakwatch.db").write_bytes(b"garbage" * 1000)
    daemon = leakwatch("--config", path)
    (error,) = [event["error"] for event in daemon.events() if event["level"] == "error"]
    assert "leakwatch.db is damaged: file is not a database: renamed to " in error
    (aside,) = (tmp_path / "state").glob("leakwatch.db.damaged-*")
    assert aside.read_bytes() == b"garbage" * 1000
    wait_for(lambda: daemon.series("leakwatch_storage_last_save_timestamp_seconds")[0][1])


def test_a_folder_that_disappears(
    start: Start, leakwatch: Run, tmp_path: Path, alertmanager: Alertmanager
) -> None:
    """A daemon reports that its folder was removed, and creates it again."""
    path = config(tmp_path, start("healthy").removeprefix("http://"), alertmanager)
    daemon = leakwatch("--config", path)
    wait_for(lambda: daemon.series("leakwatch_storage_last_save_timestamp_seconds")[0][1])
    shutil.rmtree(tmp_path / "state")
    wait_for(lambda: any("was removed or replaced" in event.get("error", "") for event in daemon.events()))
    wait_for(lambda: any(event["event"] == "state is saved again" for event in daemon.events()))
    assert (tmp_path / "state" / "leakwatch.db").exists()
