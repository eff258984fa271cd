"""The daemon as a user runs it: `leakwatch run` against real Go programs."""

import contextlib
import json
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tests.support.answering import Answer, answering, http
from tests.support.running import FAST, Daemon, Process, Programs, series
from tests.support.waiting import HANG, wait_for

Start = Callable[..., str]
Run = Callable[..., Daemon]


def config(folder: Path, *services: str, text: str = FAST) -> Path:
    """Write a configuration that watches these service=URL by static_configs; return its path."""
    jobs = [
        f"  - job_name: {name}\n    static_configs: [{{targets: ['{url.removeprefix('http://')}']}}]\n"
        for name, _, url in (service.partition("=") for service in services)
    ]
    path = folder / "leakwatch.yml"
    path.write_text(text + "scrape_configs:\n" + "".join(jobs))
    return path


def test_no_file_no_tuning(start: Start, leakwatch: Run) -> None:
    """`run --target URL` scrapes at once and exports the stacks of the service; SIGTERM ends it cleanly."""
    url = start("healthy")
    daemon = leakwatch("--target", url)
    wait_for(lambda: daemon.series("leakwatch_up") == [({"service": url[7:], "target": url[7:]}, 1.0)])
    text = daemon.get("/metrics").text
    ((_, total),) = series(text, "leakwatch_goroutines")
    stacks = series(text, "leakwatch_stack_goroutines")
    assert total > 10
    assert total - 3 <= sum(value for _, value in stacks) <= total
    assert "example.com/leaks/internal/traffic.Worker" in {labels["function"] for labels, _ in stacks}
    for path, said in (("/-/healthy", "leakwatch is healthy."), ("/-/ready", "leakwatch is ready.")):
        assert daemon.get(path).text.strip() == said
    assert url[7:] in daemon.get("/").text
    assert {tuple(event)[:3] for event in daemon.events()} == {("timestamp", "level", "event")}
    assert daemon.stop() == 0


def test_a_changed_file_is_reloaded(leakwatch: Run, tmp_path: Path) -> None:
    """A changed file takes effect without a signal. The metric and the log report an invalid file."""
    path = config(tmp_path, "shop=http://127.0.0.1:1")
    daemon = leakwatch("--config", path)

    def rename(text: str) -> None:
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").rename(path)

    valid = path.read_text()
    rename(valid.replace("job_name: shop", "job_name: cart"))
    wait_for(lambda: {labels["service"] for labels, _ in daemon.series("leakwatch_up")} == {"cart"})
    rename("global: {scrape_intervall: 1s}\n")
    wait_for(lambda: daemon.series("leakwatch_config_last_reload_successful") == [({}, 0.0)])
    assert {labels["service"] for labels, _ in daemon.series("leakwatch_up")} == {"cart"}
    rename(valid)
    wait_for(lambda: {labels["service"] for labels, _ in daemon.series("leakwatch_up")} == {"shop"})
    assert daemon.series("leakwatch_config_last_reload_successful") == [({}, 1.0)]
    assert [event["path"] for event in daemon.events() if event["event"] == "configuration file changed"] == [
        str(path)
    ] * 3


def test_a_reload_keeps_history_and_a_bad_file_keeps_all(start: Start, leakwatch: Run, tmp_path: Path) -> None:
    """SIGHUP and POST /-/reload apply a valid file; targets that stay keep their history."""
    leaking, healthy = start("w5pipeline"), start("healthy")
    path = config(tmp_path, f"pipeline={leaking}")
    daemon = leakwatch("--config", path)
    wait_for(lambda: daemon.leaks().get("main.FilterService", 0))
    (told,) = wait_for(lambda: [event for event in daemon.events() if event["event"] == "leak confirmed"])
    assert told["per_hour_low"] <= told["per_hour"] <= told["per_hour_high"]
    assert 0 < told["confidence"] <= 1
    assert "main.FilterService" in daemon.get("/").text

    path.write_text("global: {scrape_intervall: 1s}\n")
    answer = daemon.post("/-/reload")
    assert answer.status_code == 500
    assert "did you mean 'scrape_interval'?" in answer.text
    assert daemon.series("leakwatch_config_last_reload_successful") == [({}, 0.0)]

    def failed() -> int:
        return sum(event["event"].startswith("reload failed") for event in daemon.events())

    assert wait_for(failed) == 1
    daemon.popen.send_signal(signal.SIGHUP)
    wait_for(lambda: failed() == 2)
    assert daemon.leaks().get("main.FilterService", 0) > 0

    config(tmp_path, f"pipeline={leaking}", f"healthy={healthy}")
    daemon.popen.send_signal(signal.SIGHUP)
    wait_for(lambda: len(daemon.series("leakwatch_up")) == 2)
    assert daemon.series("leakwatch_config_last_reload_successful") == [({}, 1.0)]
    assert daemon.leaks().get("main.FilterService", 0) > 0  # at once, without new evidence

    config(tmp_path, f"healthy={healthy}")
    assert daemon.post("/-/reload").status_code == 200
    wait_for(lambda: len(daemon.series("leakwatch_up")) == 1)
    assert daemon.leaks() == {}


def test_a_reload_of_global_reaches_running_targets(start: Start, leakwatch: Run, tmp_path: Path) -> None:
    """A new interval in `global` applies to running targets; their counters continue."""
    one, two = start("healthy"), start("healthy")
    path = config(tmp_path, f"one={one}", f"two={two}")
    daemon = leakwatch("--config", path)

    def scrapes() -> dict[str, float]:
        counters = daemon.series("leakwatch_scrapes_total")
        return {labels["service"]: n for labels, n in counters if labels["result"] == "success"}

    wait_for(lambda: min(scrapes().values(), default=0) > 3)
    config(tmp_path, f"one={one}", f"two={two}", text=FAST.replace("400ms,", "500ms,").replace("2200ms", "3s"))
    assert daemon.post("/-/reload").status_code == 200
    assert {value for _, value in daemon.series("leakwatch_scrape_interval_seconds")} == {0.5}
    assert min(scrapes().values()) > 3
    before = scrapes()
    wait_for(lambda: min(scrapes()[name] - n for name, n in before.items()) > 2)


def test_a_bad_file_of_targets_survives_a_reload(start: Start, leakwatch: Run, tmp_path: Path) -> None:
    """A reload while a targets file is half written keeps the targets it had."""
    address = start("healthy").removeprefix("http://")
    targets = tmp_path / "targets.json"
    targets.write_text(json.dumps([{"targets": [address]}]))
    files = "[{files: [targets.json], refresh_interval: 100ms}]"
    (tmp_path / "c.yml").write_text(f"{FAST}scrape_configs: [{{job_name: j, file_sd_configs: {files}}}]\n")
    daemon = leakwatch("--config", tmp_path / "c.yml")
    wait_for(lambda: len(daemon.series("leakwatch_up")) == 1)
    targets.write_text('[{"targets"')
    wait_for(lambda: [e for e in daemon.events() if "cannot be used" in e["event"]])

    def failures() -> float:
        return daemon.series("leakwatch_discovery_failures_total")[0][1]

    assert daemon.post("/-/reload").status_code == 200
    before = failures()
    wait_for(lambda: failures() > before + 1)
    assert len(daemon.series("leakwatch_up")) == 1


def test_a_target_that_leaves_during_its_scrape_stays_away(leakwatch: Run, tmp_path: Path) -> None:
    """A removal ends the scrape in progress, and nothing of the removed target is exported."""
    closed = threading.Event()

    def hang(_: bytes, connection: socket.socket) -> None:
        while connection.recv(1):
            pass
        closed.set()

    with answering(hang) as slow:
        text = FAST.replace("400ms", "60s").replace("2200ms", "300s")
        daemon = leakwatch("--config", config(tmp_path, f"slow={slow.url}", text=text))
        wait_for(lambda: slow.requests)
        config(tmp_path, "other=http://127.0.0.1:1", text=text)
        assert daemon.post("/-/reload").status_code == 200
        assert closed.wait(HANG)
        wait_for(lambda: [e for e in daemon.events() if e["event"] == "scrape failed"])
        assert 'service="slow"' not in daemon.get("/metrics").text
        assert {e["service"] for e in daemon.events() if e["event"] == "scrape failed"} <= {"other"}


def test_files_of_targets(start: Start, leakwatch: Run, tmp_path: Path) -> None:
    """Targets come and go with a file, without a restart; half a file changes nothing."""
    one, two = start("healthy").removeprefix("http://"), start("healthy").removeprefix("http://")
    targets = tmp_path / "targets.json"
    targets.write_text(json.dumps([{"targets": [one], "labels": {"service": "shop"}}]))
    files = "[{files: [targets.json], refresh_interval: 100ms}]"
    (tmp_path / "c.yml").write_text(f"{FAST}scrape_configs: [{{job_name: j, file_sd_configs: {files}}}]\n")
    daemon = leakwatch("--config", tmp_path / "c.yml")

    def up() -> set[str]:
        return {labels["target"] for labels, value in daemon.series("leakwatch_up") if value}

    wait_for(lambda: up() == {one})
    targets.write_text(json.dumps([{"targets": [one, two], "labels": {"service": "shop"}}]))
    wait_for(lambda: up() == {one, two})
    targets.write_text('[{"targets": ["')
    wait_for(lambda: [e for e in daemon.events() if "cannot be used" in e["event"]])
    assert up() == {one, two}
    targets.write_text(json.dumps([{"targets": [two]}]))
    wait_for(lambda: up() == {two})


BAD: dict[str, tuple[Answer, str]] = {
    "missing": (http(b"404 page not found", "404 Not Found"), "status"),
    "html": (http(b"<!doctype html>"), "not_a_profile"),
    "truncated": (http(b"goroutine profile: total 3\n2 @ 0x1\n\n"), "truncated"),
    "empty": (http(b""), "not_a_profile"),
    "garbage": (http(bytes(range(256))), "not_a_profile"),
}


def test_one_bad_target_never_disturbs_another(start: Start, leakwatch: Run, tmp_path: Path) -> None:
    """Six targets each fail for their own reason, in metric and log; the good one is scraped meanwhile."""
    with contextlib.ExitStack() as stack:
        urls = {name: stack.enter_context(answering(answer)).url for name, (answer, _) in BAD.items()}
        with socket.create_server(("127.0.0.1", 0)) as closed:
            urls["refused"] = f"http://127.0.0.1:{closed.getsockname()[1]}"
        path = config(tmp_path, f"good={start('healthy')}", *(f"{name}={url}" for name, url in urls.items()))
        daemon = leakwatch("--config", path)
        expected = {name: reason for name, (_, reason) in BAD.items()} | {"refused": "connection"}

        def results() -> dict[tuple[str, str], float]:
            counters = daemon.series("leakwatch_scrapes_total")
            return {(labels["service"], labels["result"]): n for labels, n in counters if n}

        def up() -> dict[str, float]:
            return {labels["service"]: value for labels, value in daemon.series("leakwatch_up")}

        wait_for(lambda: expected.items() <= results().keys(), show=results)
        wait_for(lambda: up() == dict.fromkeys(expected, 0.0) | {"good": 1.0}, show=up)
        logged = {(e["service"], e["reason"]) for e in daemon.events() if e["event"] == "scrape failed"}
        assert logged >= expected.items()
        before = results()["good", "success"]
        wait_for(lambda: results()["good", "success"] > before + 3)


def test_a_port_in_use() -> None:
    """A second daemon on the same port reports the error in one line and exits with status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = Process(
            [sys.executable, "-m", "leakwatch", "run", "--target", "http://127.0.0.1:1", "--listen", address]
        )
        assert process.popen.wait(HANG) == 1
        process.stop()
    assert len(process.said) == 1
    assert re.match(rf"leakwatch: cannot listen on {address} .*: Address already in use", process.said[0])


def test_a_restart_is_recognised(programs: Path, leakwatch: Run, tmp_path: Path) -> None:
    """A new process at an address is counted as a restart; the outage before it does not end the leak."""
    with Programs(programs) as run:
        url = run("w5pipeline")
        daemon = leakwatch("--config", config(tmp_path, f"pipeline={url}"))
        wait_for(lambda: daemon.leaks().get("main.FilterService", 0))
        assert [value for _, value in daemon.series("leakwatch_process_restarts_total")] == [0.0]
        run.restart(url)
        wait_for(lambda: daemon.series("leakwatch_process_restarts_total")[0][1] == 1)
    events = daemon.events()
    (restart,) = (number for number, e in enumerate(events) if e["event"] == "target restarted")
    assert [e["event"] for e in events[:restart] if e.get("before") == "leaking"] == []
    assert events[restart]["new_build"] is False


def test_ignored_leaks_stay_out_of_sight(start: Start, leakwatch: Run, tmp_path: Path) -> None:
    """A leak that a rule matches is counted, and is neither exported nor logged."""
    path = config(tmp_path, f"pipeline={start('w5pipeline')}")
    path.write_text(path.read_text() + "ignore: [{function: main.Filter*, reason: known}, {function: no.such}]\n")
    daemon = leakwatch("--config", path)
    found = {"function 'main.Filter*'": 1.0, "function 'no.such'": 0.0}
    wait_for(lambda: {labels["rule"]: n for labels, n in daemon.series("leakwatch_ignored_leaks")} == found)
    assert daemon.leaks() == {}
    assert not [e for e in daemon.events() if "before" in e]
