"""The whole chain with real programs: Go services, leakwatch, Prometheus with leakwatch's rules, and its alert.

Prometheus itself and a nats-server with idle connections are targets too. Both are busy services:
nats-server gains two goroutines per connection, and Prometheus must not be reported.
"""

import contextlib
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.prometheus import prometheus
from tests.support.running import FAST, Daemon, Process, free_port
from tests.support.waiting import wait_for

Run = Callable[..., Daemon]
Start = Callable[..., str]

JUDGED = 75
"""Scrapes of 15 blocks. After 11 blocks a leak is confirmed."""
FILTER = ("pipeline", "main.FilterService")
NATS = {("nats", "server.(*client).readLoop"), ("nats", "server.(*client).writeLoop")}
"""Each connection has both, so they are one leak, reported under the name of one of them."""


@pytest.fixture
def nats() -> Iterator[tuple[int, str]]:
    """Run nats-server; give its port and the URL of its profiles."""
    port, profile = free_port(), free_port()
    command = ["nats-server", "-a", "127.0.0.1", "-p", str(port), "--profile", str(profile)]
    process = Process([shutil.which("nats-server") or "nats-server", *command[1:]])
    yield port, f"http://127.0.0.1:{profile}"
    process.stop()


@contextlib.contextmanager
def idle_connections(port: int, every: float) -> Iterator[None]:
    """Open a connection every few seconds, and close all at the end: the leak of a client that never closes."""
    done = threading.Event()

    def run() -> None:
        with contextlib.ExitStack() as held:
            while not done.wait(every):
                held.enter_context(socket.create_connection(("127.0.0.1", port)))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def firing(client: httpx.Client) -> dict[tuple[str, str], dict[str, str]]:
    """Return service and function, without the path of its package, -> annotations of each GoroutineLeak."""
    try:
        alerts = client.get("/api/v1/alerts").json()["data"]["alerts"]
    except (httpx.HTTPError, ValueError):  # while it starts, the response is plain text
        return {}
    return {
        (alert["labels"]["service"], alert["labels"]["function"].rpartition("/")[2]): alert["annotations"]
        for alert in alerts
        if alert["labels"]["alertname"] == "GoroutineLeak" and alert["state"] == "firing"
    }


def test_prometheus_fires_and_names_the_function(
    start: Start, leakwatch: Run, nats: tuple[int, str], tmp_path: Path
) -> None:
    """Prometheus fires GoroutineLeak for what leaks, with count, rate and since when; itself it is clean."""
    port = free_port()
    jobs = {
        "pipeline": start("w5pipeline", "-delay", "5s"),
        "nats": nats[1],
        "prometheus": f"http://127.0.0.1:{port}",
        "healthy": start("healthy", "-period", "90s"),
    }
    text = "".join(
        f"  - {{job_name: {name}, static_configs: [{{targets: ['{url[7:]}']}}]}}\n" for name, url in jobs.items()
    )
    (tmp_path / "c.yml").write_text(f"{FAST}scrape_configs:\n{text}")
    daemon = leakwatch("--config", tmp_path / "c.yml")
    with prometheus(tmp_path, port, daemon.url) as client, idle_connections(nats[0], every=0.3):

        def wanted() -> bool:
            found = firing(client).keys()
            return FILTER in found and bool(found & NATS)

        wait_for(wanted, show=lambda: (firing(client).keys(), daemon.leaks()))
        alerts = firing(client)

        def scrapes() -> dict[str, float]:
            counters = daemon.series("leakwatch_scrapes_total")
            return {labels["service"]: n for labels, n in counters if labels["result"] == "success"}

        wait_for(lambda: min(scrapes()[name] for name in jobs) > JUDGED)
        series = daemon.leak_series()
        leaking = {labels["service"] for labels, _ in series if labels["verdict"] == "leaking"}

    assert alerts.keys() <= {FILTER} | NATS
    assert leaking == {"pipeline", "nats"}
    annotations = alerts[FILTER]
    assert annotations["summary"].startswith("pipeline: goroutine leak in main.FilterService")
    assert annotations["summary"].endswith("/h")
    assert "Since:" in annotations["description"]
