"""Runs inside namespaces of its own: Prometheus and leakwatch find targets by one configuration, and say which.

    unshare --map-root-user --mount --net python -m tests.support.discovering FOLDER

FOLDER has common.json (scrape_configs that both read), the files they name, list.json (what the server of http_sd
answers) and zone.json (what the DNS knows). found.json is what came out. The namespaces are there because
Prometheus asks whom /etc/resolv.conf names, on port 53; nothing in them reaches the outside.
"""

import asyncio
import contextlib
import fcntl
import http.server
import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import yaml

from leakwatch.config import Config, parse
from leakwatch.discovery.runner import DiscoveryRunner
from leakwatch.discovery.target_builder import Endpoint, TargetBuilder
from leakwatch.scrape.config import DEFAULT_PATH
from leakwatch.settings.units import exact_duration
from tests.support.naming import Zone, naming
from tests.support.running import Process
from tests.support.waiting import HANG, wait_for

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
HTTP, PROMETHEUS = 8080, 9090
PATHS = ("__profile_path__", "__metrics_path__")
"""Ours, and Prometheus's."""


def isolate(folder: Path) -> None:
    """Bring up loopback and name it as the server of the DNS."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    resolv = folder / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\nsearch first.test second.test\n")
    subprocess.run(["mount", "--bind", resolv, "/etc/resolv.conf"], check=True)


@contextlib.contextmanager
def listing(body: bytes) -> Iterator[None]:
    """Answer http_sd with `body`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", HTTP), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()


def translated(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels without the empty ones, and with the path under Prometheus's name, copied or not."""
    return {name.replace(*PATHS): value for name, value in labels.items() if value}


def row(before: dict[str, str], after: Endpoint | None) -> dict[str, Any]:
    """Return what became of one address; `after` is None if it was dropped."""
    row: dict[str, Any] = {"before": translated(before)}
    if after:
        url = after.url.copy_with(path=after.url.path.removesuffix("/goroutine") or "/", query=None)
        row |= {"labels": translated(after.target.labels), "url": str(url)}
        row |= {"interval": exact_duration(after.interval), "timeout": exact_duration(after.timeout)}
    return row


async def ours(config: Config) -> list[dict[str, Any]]:
    """Return what leakwatch makes of each address; those it refuses have "error"."""
    news = asyncio.Event()
    finder = DiscoveryRunner(news.set)
    finder.configure({job.job_name: job for job in config.scrape_configs})
    while finder.waiting()[0]:
        await asyncio.wait_for(news.wait(), HANG)
        news.clear()
    rows = []
    for job in config.jobs():
        resolver = TargetBuilder(replace(job.defaults, metrics_path="", memory_limit=None))
        groups = finder.groups(job.name)
        for group in groups:
            for address in group.targets:
                made = resolver._made(address, group.labels)
                before = resolver._start | {n: v for n, v in group.labels.items() if v} | {"__address__": address}
                if made is None or isinstance(made, Endpoint):
                    rows.append(row(before, made))
                else:
                    rows.append({**row(before, None), "error": str(made)})
    finder.stop()
    return rows


def theirs(number: int) -> dict[str, Any]:
    """Return all targets of Prometheus once it has that many."""

    def look() -> dict[str, Any]:
        url = f"http://127.0.0.1:{PROMETHEUS}/api/v1/targets"
        with contextlib.suppress(httpx.HTTPError):
            found = httpx.get(url, trust_env=False, timeout=30).json()["data"]
            latest.update(found)
        return latest if len(latest["activeTargets"]) + len(latest["droppedTargets"]) >= number else {}

    latest: dict[str, Any] = {"activeTargets": [], "droppedTargets": []}
    return wait_for(look, show=lambda: {kind: len(targets) for kind, targets in latest.items()})


def main(folder: Path) -> None:
    """Do it."""
    isolate(folder)
    common = json.loads((folder / "common.json").read_text())
    jobs = [job | {"metrics_path": DEFAULT_PATH} for job in common["scrape_configs"]]
    text = json.dumps(common | {"scrape_configs": jobs}, ensure_ascii=False)
    (folder / "prometheus.yml").write_text(text.replace(*PATHS))
    records = json.loads((folder / "zone.json").read_text())
    listen = f"--web.listen-address=127.0.0.1:{PROMETHEUS}"
    command = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        listen,
    ]
    with naming(Zone(records), 53), listing((folder / "list.json").read_bytes()):
        process = Process(command)
        try:
            rows = asyncio.run(ours(parse(yaml.safe_dump(common, allow_unicode=True), "common.json", folder)))
            # Of those of one job that end up the same, Prometheus has one; of those of two jobs, both.
            distinct = {
                json.dumps([r["before"]["job"], r["labels"], r["url"]], sort_keys=True) for r in rows if "url" in r
            }
            found = theirs(len(distinct) + sum("url" not in r and "error" not in r for r in rows))
        finally:
            process.stop()
    told = {"ours": rows, "theirs": found, "log": process.said}
    (folder / "found.json").write_text(json.dumps(told, ensure_ascii=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
