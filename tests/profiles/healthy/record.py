"""Records the goroutine profiles of healthy daemons: python -m tests.profiles.healthy.record.

Runs prometheus, prometheus-alertmanager and nats-server of Debian on the loopback interface, and writes the
responses of /debug/pprof/goroutine?debug=1 to DAEMON/idle.txt and DAEMON/load.txt beside this file: before and
while ten clients send requests. DAEMON/symbol names the functions that these responses hide.
"""

import contextlib
import os
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from leakwatch.profile import symbols, text
from tests.support.waiting import wait_for

FOLDER: Final = Path(__file__).parent
CLIENTS: Final = 10
PORTS: Final = {"prometheus": 19090, "alertmanager": 19093, "nats-server": 18222}
"""Port of the pprof handlers of each daemon."""
NATS: Final = 14222
CONFIG: Final = """\
global: {{scrape_interval: 1s}}
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{alertmanager}"]}}]}}]}}
scrape_configs:
  - {{job_name: a, static_configs: [{{targets: ["127.0.0.1:{prometheus}", "127.0.0.1:{alertmanager}"]}}]}}
"""


def main() -> None:
    """Record all daemons, first idle and then under load."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for name, command in commands(Path(folder)).items():
            stack.enter_context(running(command, Path(folder) / f"{name}.log"))
        for name, port in PORTS.items():
            wait_for(partial(answers, port), show=partial(str, name))
        time.sleep(5)  # several scrapes of prometheus
        names: dict[str, dict[int, str]] = {name: {} for name in PORTS}
        record("idle", names)
        stop = threading.Event()
        threads = [threading.Thread(target=client, args=(stop,)) for client in CLIENTS * (query, subscribe)]
        for thread in threads:
            thread.start()
        time.sleep(5)
        record("load", names)
        stop.set()
        for thread in threads:
            thread.join()


def commands(folder: Path) -> Mapping[str, list[str]]:
    """Return the command of each daemon, with its files in `folder`."""
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(**PORTS))
    routes = folder / "alertmanager.yml"
    routes.write_text("route: {receiver: a}\nreceivers: [{name: a}]\n")
    listen = {name: f"127.0.0.1:{port}" for name, port in PORTS.items()}
    return {
        "prometheus": [
            "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={listen['prometheus']}",
        ],
        "alertmanager": [
            "prometheus-alertmanager", f"--config.file={routes}", f"--storage.path={folder}/alerts",
            f"--web.listen-address={listen['alertmanager']}", "--cluster.listen-address=",
        ],
        "nats-server": [
            "nats-server", "-a", "127.0.0.1", "-p", str(NATS), "--profile", str(PORTS["nats-server"]),
            "-js", "-sd", f"{folder}/nats",
        ],
    }  # fmt: skip


@contextlib.contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    """Run a daemon."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | {"PATH": path})
        try:
            yield
        finally:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    """Return whether the pprof handlers of a daemon answer."""
    try:
        return bool(fetched(f"http://127.0.0.1:{port}/debug/pprof/goroutine?debug=1"))
    except OSError:
        return False


def query(stop: threading.Event) -> None:
    """Send requests on one connection to each HTTP daemon, until `stop` is set."""
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(contextlib.closing(HTTPConnection("127.0.0.1", PORTS[name])))
            for name in ("prometheus", "alertmanager")
        ]
        while not stop.wait(0.1):
            for connection, path in zip(connections, ("/api/v1/query?query=up", "/api/v2/alerts"), strict=True):
                connection.request("GET", path)
                connection.getresponse().read()


def subscribe(stop: threading.Event) -> None:
    """Publish messages to nats-server and receive them, until `stop` is set."""
    with socket.create_connection(("127.0.0.1", NATS)) as connection:
        connection.sendall(b'CONNECT {"verbose":false}\r\nSUB events 1\r\n')
        while not stop.wait(0.1):
            connection.sendall(b"PUB events 1\r\na\r\nPONG\r\n")
            connection.recv(1 << 16)


def record(state: str, names: dict[str, dict[int, str]]) -> None:
    """Write the profile of each daemon in a state; `names`: hidden functions by daemon, which it adds to."""
    for daemon, port in PORTS.items():
        folder = FOLDER / daemon
        folder.mkdir(exist_ok=True)
        body = fetched(f"http://127.0.0.1:{port}/debug/pprof/goroutine?debug=1")
        (folder / f"{state}.txt").write_bytes(body)
        groups = text.parse(body).groups
        hidden = {trace.parked_at for trace, _ in groups if trace.parked_at} - names[daemon].keys()
        if hidden:
            query_text = symbols.query(sorted(hidden)).decode()
            names[daemon] |= symbols.parse(fetched(f"http://127.0.0.1:{port}/debug/pprof/symbol?{query_text}"))
        (folder / "symbol").write_bytes(symbols.encode(names[daemon]))


def fetched(url: str) -> bytes:
    """Return the body of a response of a daemon on the loopback interface."""
    with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310  its address is the daemon's
        return bytes(response.read())


if __name__ == "__main__":
    main()
