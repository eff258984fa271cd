"""Memory of real leaks: programs that hold a known amount, compared with the figures of leakwatch."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.running import FAST, Daemon, Programs, get
from tests.support.waiting import wait_for

KIB, MIB = 1024, 1 << 20
HOLDS = 64 * KIB
RATE = 30
LIMIT = 160 * MIB
NO_METRICS = "HTTP 404 for /metrics: '404 page not found'"
LEAK = "main.Convert"
CONFIG = """
scrape_configs:
  - {{job_name: metrics, memory_limit: {limit}, static_configs: [{{targets: ["{0}"]}}]}}
  - {{job_name: machine, static_configs: [{{targets: ["{1}"]}}]}}
  - {{job_name: stacks, memory_limit: {limit}, static_configs: [{{targets: ["{2}"]}}]}}
"""


@contextmanager
def forwarded(url: str) -> Iterator[str]:
    """Forward a local port to the port of a program, as `kubectl port-forward` does; yield the local address."""
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
    """Return the resident memory of a program from its own metrics."""
    said = get(f"{url}/metrics").text
    return float(re.findall(r"^process_resident_memory_bytes (\S+)$", said, re.MULTILINE)[0])


def goroutines_of(url: str) -> int:
    """Return the goroutines of the leak, as the program prints them."""
    text = get(f"{url}/debug/pprof/goroutine?debug=2").text
    return text.count("\nmain.Convert(")


def of(daemon: Daemon, what: str, service: str, **labels: str) -> float:
    """Return a number of the leak of a service, 0 where there is none."""
    wanted = {"function": LEAK, "service": service, **labels}.items()
    found = [value for said, value in daemon.series(f"leakwatch_leak_{what}") if wanted <= said.items()]
    return found[0] if found else 0.0


def each(daemon: Daemon, service: str) -> float:
    """Return what a goroutine of the leak takes with its heap, 0 where that is not known."""
    return of(daemon, "resident_bytes", service) / (of(daemon, "goroutines", service) or 1)


def test_memory_of_leaks_and_the_time_to_the_limit(
    start: Programs, leakwatch: Callable[..., Daemon], tmp_path: Path
) -> None:
    """The source is metrics, this machine, or the stacks alone, through a forwarded port; the limit is predicted.

    The prediction is compared in goroutines, because a busy machine slows the leak down: the limit is reached with
    as many goroutines as the growth adds between the soonest and the latest time.
    """
    metrics, machine, stacks = (
        start("heavy", "-rate", str(RATE), "-holds", str(HOLDS), f"-metrics={metrics}")
        for metrics in ("true", "false", "false")
    )
    path = tmp_path / "leakwatch.yml"
    with forwarded(stacks) as behind:
        addresses = (metrics.removeprefix("http://"), machine.removeprefix("http://"), behind)
        path.write_text(FAST + CONFIG.format(*addresses, limit=f"{LIMIT}B"))
        daemon = leakwatch("--config", path)

        def until(service: str, bound: str) -> float:
            return of(daemon, "until_memory_limit_seconds", service, bound=bound)

        wait_for(lambda: until("metrics", "soonest"))
        goroutines, rate = (of(daemon, name, "metrics") for name in ("goroutines", "growth_goroutines_per_second"))
        soonest, latest = (goroutines + rate * until("metrics", bound) for bound in ("soonest", "latest"))
        wait_for(lambda: each(daemon, "machine"))
        for service in ("metrics", "machine"):
            assert HOLDS / 2 < each(daemon, service) < 2 * HOLDS
        assert of(daemon, "bytes", "metrics") >= 2 * KIB * goroutines * 0.9
        growth = of(daemon, "growth_bytes_per_second", "metrics")
        assert growth > of(daemon, "growth_goroutines_per_second", "metrics") * HOLDS / 2

        wait_for(lambda: resident(metrics) >= LIMIT)
        assert 0.8 * soonest <= goroutines_of(metrics) <= latest

        wait_for(lambda: until("stacks", "latest"))
        assert of(daemon, "resident_bytes", "stacks") == 0
        assert until("stacks", "soonest") == 0
        events = [event for event in daemon.events() if event.get("service") == "stacks"]
        assert [event for event in events if "memory" in event]
        assert all("at least 2 KiB each" in event["memory"] for event in events if "memory" in event)
        assert [event["error"] for event in events if event.get("probe") == "metrics"] == [NO_METRICS]
