"""What real leaks take of memory: programs that hold a known amount, next to what leakwatch says of them."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.running import FAST, Daemon, Programs, get
from tests.support.waiting import wait_for

KIB, MIB = 1024, 1 << 20
HOLDS = 64 * KIB
RATE = 30
LIMIT = 224 * MIB
NO_METRICS = "HTTP 404 for /metrics: '404 page not found'"
LEAK = "main.Convert"
CONFIG = """
scrape_configs:
  - {{job_name: told, memory_limit: {limit}, static_configs: [{{targets: ["{0}"]}}]}}
  - {{job_name: seen, static_configs: [{{targets: ["{1}"]}}]}}
  - {{job_name: silent, memory_limit: {limit}, static_configs: [{{targets: ["{2}"]}}]}}
"""


@contextmanager
def forwarded(url: str) -> Iterator[str]:
    """Forward a port of ours to that of a program, as `kubectl port-forward` does; give its address."""
    host, _, port = url.removeprefix("http://").partition(":")

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError), source, sink:
            while data := source.recv(65_536):
                sink.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.create_connection((host, int(port)))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def resident(url: str) -> float:
    """Return the resident memory of a program, as it says itself."""
    said = get(f"{url}/metrics").text
    return float(re.findall(r"^process_resident_memory_bytes (\S+)$", said, re.MULTILINE)[0])


def of(daemon: Daemon, what: str, service: str, **labels: str) -> float:
    """Return a number of the leak of a service, 0 where there is none."""
    wanted = {"function": LEAK, "service": service, **labels}.items()
    found = [value for said, value in daemon.series(f"leakwatch_leak_{what}") if wanted <= said.items()]
    return found[0] if found else 0.0


def each(daemon: Daemon, service: str) -> float:
    """Return what a goroutine of the leak takes with its heap, 0 where that is not known."""
    return of(daemon, "resident_bytes", service) / (of(daemon, "goroutines", service) or 1)


def test_what_leaks_take_and_when_the_limit_is_reached(
    start: Programs, leakwatch: Callable[..., Daemon], tmp_path: Path
) -> None:
    """From metrics, from this machine, or stacks alone through a forwarded port; the limit is reached in time."""
    told, seen, silent = (
        start("heavy", "-rate", str(RATE), "-holds", str(HOLDS), f"-metrics={metrics}")
        for metrics in ("true", "false", "false")
    )
    path = tmp_path / "leakwatch.yml"
    with forwarded(silent) as behind:
        addresses = (told.removeprefix("http://"), seen.removeprefix("http://"), behind)
        path.write_text(FAST + CONFIG.format(*addresses, limit=f"{LIMIT}B"))
        daemon = leakwatch("--config", path)
        wait_for(lambda: of(daemon, "until_memory_limit_seconds", "told", bound="soonest"))
        asked = time.monotonic()
        soonest = of(daemon, "until_memory_limit_seconds", "told", bound="soonest")
        latest = of(daemon, "until_memory_limit_seconds", "told", bound="latest")
        wait_for(lambda: each(daemon, "seen"))
        for service in ("told", "seen"):
            assert HOLDS / 2 < each(daemon, service) < 2 * HOLDS
        assert of(daemon, "bytes", "told") >= 2 * KIB * of(daemon, "goroutines", "told") * 0.9
        assert of(daemon, "growth_bytes_per_second", "told") > RATE * HOLDS / 2

        wait_for(lambda: resident(told) >= LIMIT)
        took = time.monotonic() - asked
        assert 0.8 * soonest <= took <= latest

        # Forwarded by this busy process, so it may take longer.
        def latest_of_silent() -> float:
            return of(daemon, "until_memory_limit_seconds", "silent", bound="latest")

        wait_for(latest_of_silent)
        assert of(daemon, "resident_bytes", "silent") == 0
        assert of(daemon, "until_memory_limit_seconds", "silent", bound="soonest") == 0
        said = [event for event in daemon.events() if event.get("service") == "silent"]
        assert [event for event in said if "memory" in event]
        assert all("at least 2 KiB each" in event["memory"] for event in said if "memory" in event)
        assert [event["error"] for event in said if event.get("what") == "metrics"] == [NO_METRICS]
