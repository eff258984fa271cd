"""Runs Prometheus and leakwatch with the same discovery configuration, and writes the targets of both.

    unshare --map-root-user --mount --net python -m tests.support.discovering FOLDER

FOLDER has common.json (the scrape_configs of both), the files that they name, list.json (the response of the
http_sd server) and zone.json (the DNS records). The result is found.json. Prometheus sends DNS queries to port 53
of the server in /etc/resolv.conf, so this runs in a mount and network namespace.
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
from collections import Counter
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
IDENTITY = ("__id", "__meta_id", "__tmp_id")
"""Labels that identify a target; each starts with the name of its job and a space."""
PATHS = ("__profile_path__", "__metrics_path__")
"""The label of the path in leakwatch and in Prometheus."""


def isolate(folder: Path) -> None:
    """Enable the loopback interface, and make it the DNS server of this namespace."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    resolv = folder / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\nsearch first.test second.test\n")
    subprocess.run(["mount", "--bind", resolv, "/etc/resolv.conf"], check=True)


@contextlib.contextmanager
def listing(body: bytes) -> Iterator[None]:
    """Run an http_sd server that responds with `body`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", HTTP), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()


def translated(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that are not empty, with Prometheus's name of the path, also within other names."""
    return {name.replace(*PATHS): value for name, value in labels.items() if value}


def row(before: dict[str, str], after: Endpoint | None) -> dict[str, Any]:
    """Return the result for one address; `after` is None if a rule drops the address."""
    row: dict[str, Any] = {"before": translated(before)}
    if after:
        url = after.url.copy_with(path=after.url.path.removesuffix("/goroutine") or "/", query=None)
        row |= {"labels": translated(after.target.labels), "url": str(url)}
        row |= {"interval": exact_duration(after.interval), "timeout": exact_duration(after.timeout)}
    return row


async def leakwatch_targets(config: Config) -> list[dict[str, Any]]:
    """Return leakwatch's result for each address; invalid addresses have the key "error"."""
    changed = asyncio.Event()
    runner = DiscoveryRunner(changed.set)
    runner.configure({job.job_name: job for job in config.scrape_configs})
    while runner.waiting()[0]:
        await asyncio.wait_for(changed.wait(), HANG)
        changed.clear()
    rows = []
    for job in config.jobs():
        builder = TargetBuilder(replace(job.defaults, metrics_path="", memory_limit=None))
        for group in runner.groups(job.name):
            for address in group.targets:
                before = builder.initial_labels(address, group.labels)
                result = builder.relabeled(address, group.labels)
                if result is None or isinstance(result, Endpoint):
                    rows.append(row(before, result))
                else:
                    rows.append({**row(before, None), "error": str(result)})
    runner.stop()
    return rows


def job_of(labels: Mapping[str, str]) -> str:
    """Return the name of the job of a target by its labels before the rules.

    Prometheus 2.42 returns these labels with changes of some rules, also of `job`. The labels of IDENTITY start
    with the name of the job too.
    """
    return next((labels[name] for name in IDENTITY if name in labels), labels.get("job", "")).split(" ")[0]


def prometheus_targets(expected: Counter[str]) -> dict[str, Any]:
    """Return the targets of Prometheus when each job has at least as many as `expected`.

    One number for all jobs is not enough: Prometheus may have more targets than expected in one job, and none yet
    in another.
    """

    def fetch() -> dict[str, Any]:
        url = f"http://127.0.0.1:{PROMETHEUS}/api/v1/targets"
        with contextlib.suppress(httpx.HTTPError):
            latest.update(httpx.get(url, trust_env=False, timeout=30).json()["data"])
        return latest if not missing() else {}

    def missing() -> Counter[str]:
        active = (target["scrapePool"] for target in latest["activeTargets"])
        dropped = (job_of(target["discoveredLabels"]) for target in latest["droppedTargets"])
        return expected - Counter([*active, *dropped])

    latest: dict[str, Any] = {"activeTargets": [], "droppedTargets": []}
    return wait_for(fetch, show=missing)


def main(folder: Path) -> None:
    """Run both, and write found.json."""
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
            rows = asyncio.run(
                leakwatch_targets(parse(yaml.safe_dump(common, allow_unicode=True), "common.json", folder))
            )
            # Prometheus merges equal targets within a job, but not between jobs.
            active = {
                (r["before"]["job"], json.dumps([r["labels"], r["url"]], sort_keys=True))
                for r in rows
                if "url" in r
            }
            dropped = [r["before"]["job"] for r in rows if "url" not in r and "error" not in r]
            expected = Counter([*(job for job, _ in active), *dropped])
            targets = prometheus_targets(expected)
        finally:
            process.stop()
    results = {"leakwatch": rows, "prometheus": targets, "log": process.said}
    (folder / "found.json").write_text(json.dumps(results, ensure_ascii=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
