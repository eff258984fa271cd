"""Services, deploys, reloads and faults around one leakwatch, and the samples of its state."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from tests.soak.samples import Sample
from tests.support.fault_server import PREFIX, FaultServer, build
from tests.support.running import Daemon, Process

GO = Path(__file__).parents[1] / "go"
STEADY = {
    "steady-1": ("healthy",),
    "steady-2": ("healthy",),
    "steady-3": ("shapes",),
    "steady-leak": ("w5pipeline",),
}
"""Services that run for the whole time: name -> program and flags. Their scrapes must all succeed."""
DEPLOYED = {"deployed-1": ("healthy",), "deployed-leak": ("w5pipeline", "-rate", "20")}
"""Services that are restarted, with another build at each second restart."""
FAULTS = 12
"""Kinds of the fault server that are targets at the same time."""
CONFIG = """
global: {{scrape_interval: {interval}ms, scrape_timeout: {interval}ms, scrape_cost_limit: 1}}
detection: {{block: {block}ms}}
ignore: [{{function: no.such.function{reloads}}}]
scrape_configs:
  - {{job_name: services, file_sd_configs: [{{files: [{folder}/services.json]}}]}}
  - job_name: text
    scrape_cost_limit: 0.1
    tls_config: {{ca_file: {folder}/ca.pem}}
    file_sd_configs: [{{files: [{folder}/text.json], refresh_interval: 1s}}]
  - job_name: proto
    scrape_cost_limit: 0.1
    profile_format: proto
    file_sd_configs: [{{files: [{folder}/proto.json], refresh_interval: 1s}}]
"""


@dataclass
class Service:
    """A Go service that can be replaced at its address."""

    command: Sequence[str]
    process: Process | None = None
    url: str = ""
    builds: "cycle[Path]" = field(default_factory=lambda: cycle([Path()]))

    def start(self) -> None:
        """Start the service, or start it again at its address with the next build."""
        if self.process:
            self.process.stop()
        program, *flags = self.command
        listen = ["-listen", self.url.removeprefix("http://")] if self.url else []
        self.process = Process([next(self.builds) / program, *listen, *flags])
        self.url = self.process.line().removeprefix("listening ").strip()


def build_all(folder: Path) -> list[Path]:
    """Build the fault server and two builds of the Go services; return the folders of the services."""
    build(folder)
    builds = []
    for name, flags in (("build-1", "-s"), ("build-2", "-w")):
        builds.append(folder / name)
        subprocess.run(
            ["go", "build", f"-ldflags={flags}", "-o", f"{folder / name}/", "./..."], check=True, cwd=GO
        )
    return builds


class World:
    """A running leakwatch with its targets; `speed`: multiple of the normal rate."""

    def __init__(self, folder: Path, speed: float) -> None:
        self.folder = folder
        self.reloads = self.restarts = 0
        self._interval, self._block = 15_000 / speed, 300_000 / speed
        first, second = build_all(folder)
        self.server = FaultServer(folder, folder / "ca.pem")
        self.services = {
            name: Service(command, builds=cycle([first, first, second, second]))
            for name, command in (STEADY | DEPLOYED).items()
        }
        for service in self.services.values():
            service.start()
        self._write_services()
        self._kinds = [kind for kind in self.server.targets if not kind.startswith(PREFIX)]
        self._deployed = cycle(DEPLOYED)
        self._counters: dict[tuple[str, str], int] = {}
        """The counters of the previous sample, by service and result."""
        self._scrapes = Counter[tuple[str, str]]()
        self.rotate()
        self._write_config()
        self.daemon = Daemon("--config", folder / "leakwatch.yml", "--evidence.path", folder / "evidence")

    def rotate(self) -> None:
        """Replace the faults by the next ones."""
        shown, self._kinds = self._kinds[:FAULTS], self._kinds[FAULTS:] + self._kinds[:FAULTS]
        for form in ("text", "proto"):
            kinds = {kind: kind for kind in shown if self.server.targets[kind].form == form}
            interval = f"{self._interval:.0f}ms"
            self.server.write_groups(self.folder / f"{form}.json", kinds, interval, interval)

    def deploy(self) -> None:
        """Restart the next service; every second time with another build."""
        self.services[next(self._deployed)].start()
        self.restarts += 1

    def reload(self) -> None:
        """Change the configuration, and let leakwatch read it."""
        self.reloads += 1
        self._write_config()
        self.daemon.popen.send_signal(signal.SIGHUP)

    def stop(self) -> int:
        """Stop all processes; return the exit status of leakwatch."""
        status = self.daemon.stop()
        self.server.stop()
        for service in self.services.values():
            if service.process:
                service.process.stop()
        return status

    def sample(self, start: float) -> Sample:
        """Return the state of leakwatch now; `start`: monotonic time of the start."""
        pid = self.daemon.popen.pid
        before = time.monotonic()
        self.daemon.get("/-/healthy").raise_for_status()
        health = time.monotonic() - before
        usage = self.daemon.get("/api/v1/status").json()["usage"]
        self._count_scrapes()
        healthy = [key for key in self._scrapes if key[0] in STEADY]
        return Sample(
            time=time.monotonic() - start,
            resident=usage["memory_bytes"],
            files=len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208  names are enough
            tasks=int(sum(value for _, value in self.daemon.series("leakwatch_asyncio_tasks"))),
            cpu=usage["cpu_seconds"],
            lag=usage["lag_seconds"],
            health=health,
            scrapes=sum(self._scrapes[key] for key in healthy),
            failures=sum(self._scrapes[key] for key in healthy if key[1] != "success"),
            other_scrapes=sum(self._scrapes[key] for key in self._scrapes.keys() - healthy),
            restarts=self.restarts,
            reloads=self.reloads,
        )

    def problems(self) -> list[str]:
        """Return the lines of the log with an internal error, or with a failed scrape of a steady service."""
        lost = [e for e in self.daemon.events() if e["event"] == "scrape failed" and e["service"] in STEADY]
        internal = [line for line in self.daemon.said if "Traceback" in line or "internal error" in line]
        return [*map(str, lost), *internal]

    def _count_scrapes(self) -> None:
        """Add the scrapes since the previous call. The counters of a target end with it, and begin again at 0."""
        counters = {
            (labels["service"], labels["result"]): int(value)
            for labels, value in self.daemon.series("leakwatch_scrapes_total")
        }
        for key, value in counters.items():
            before = self._counters.get(key, 0)
            self._scrapes[key] += value - before if value >= before else value
        self._counters = counters

    def _write_services(self) -> None:
        groups = [
            {"targets": [service.url.removeprefix("http://")], "labels": {"service": name}}
            for name, service in self.services.items()
        ]
        (self.folder / "services.json").write_text(json.dumps(groups))

    def _write_config(self) -> None:
        text = CONFIG.format(
            interval=round(self._interval), block=round(self._block), reloads=self.reloads % 2, folder=self.folder
        )
        (self.folder / "leakwatch.yml").write_text(text)
