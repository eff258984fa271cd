"""The fault server of tests/faults/server: targets that misbehave, each in one way."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.running import Process, get

SOURCE = Path(__file__).parents[1] / "faults" / "server"
PREFIX = "healthy"
"""Prefix of the kinds that answer as a Go service does."""


@dataclass(frozen=True, slots=True)
class FaultTarget:
    """A target of the fault server; `form` is the profile format, `url` precedes /debug/pprof."""

    kind: str
    form: str
    url: str

    def group(self, service: str, interval: str, timeout: str) -> dict[str, Any]:
        """Return the target group of the target as a member of `service`."""
        scheme, _, rest = self.url.partition("://")
        address, slash, path = rest.partition("/")
        paths = {
            "__scheme__": scheme,
            "__profile_path__": f"{slash}{path}/debug/pprof",
            "__metrics_path__": f"{slash}{path}/metrics",
            "__scrape_interval__": interval,
            "__scrape_timeout__": timeout,
        }
        return {"targets": [address], "labels": {"service": service, **paths}}


def build(folder: Path) -> None:
    """Build the fault server as `faults` in `folder`."""
    subprocess.run(["go", "build", "-o", f"{folder}/", "."], check=True, cwd=SOURCE)


def kinds(folder: Path) -> dict[str, str]:
    """Return kind -> description, from the program in `folder`."""
    listed = subprocess.run([folder / "faults", "--list"], check=True, capture_output=True, text=True).stdout
    return {kind: about for kind, _, about in (line.split(maxsplit=2) for line in listed.splitlines())}


def write(file: Path, groups: Sequence[Mapping[str, Any]]) -> None:
    """Write a file of target groups, in one step."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(groups))
    new.replace(file)


class FaultServer(Process):
    """A running fault server; `ca`: file for the certificate of its authority."""

    def __init__(self, folder: Path, ca: Path) -> None:
        super().__init__([folder / "faults", "-ca", ca])
        self.ca = ca
        self.targets: dict[str, FaultTarget] = {}
        while (line := self.line().split())[0] != "listening":
            self.targets[line[0]] = FaultTarget(*line)
        self.url = line[1]

    def requests(self) -> dict[str, dict[str, int]]:
        """Return kind -> path -> number of requests so far."""
        counted: dict[str, dict[str, int]] = get(f"{self.url}/-/requests").json()
        return counted

    def write_groups(self, file: Path, services: Mapping[str, str], interval: str, timeout: str) -> None:
        """Write the targets of `services`, service -> kind, as a file of target groups."""
        write(file, [self.targets[kind].group(service, interval, timeout) for service, kind in services.items()])
