"""Measure the cost of leakwatch for the service: CPU, longest pause and latency, with and without leakwatch.

    python benchmarks/cost/scraped.py [--goroutines 1000 10000 100000] [--seconds 90] [--rounds 2]

A Go service (farm/service.go) with parked goroutines answers 100 requests per second, which it sends itself.
Phases without and with leakwatch alternate. In each phase with it, leakwatch starts anew, scrapes every 15 s (less
often above 20,000 goroutines), and requests a proof and, up to 1,200 goroutines, a full dump, after the first
block of 75 s. A running leakwatch requests them once per hour, so the CPU is an upper bound.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import IO, Any, cast

HERE = Path(__file__).parent
CONFIG = """
detection: {{block: 75s}}
scrape_configs:
  - job_name: service
    leak_proof: 1h
    full_dump: 1h
    full_dump_goroutines: 1200
    static_configs: [{{targets: ['{address}']}}]
"""
Report = dict[str, Any]


class Service:
    """A running service with `goroutines` parked goroutines."""

    def __init__(self, farm: Path, goroutines: int) -> None:
        command = [str(farm), "-service", str(goroutines)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._input, self._output = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        self.address = self._line().split("://")[1]
        self._line()

    def _line(self) -> str:
        return self._output.readline().strip()

    def report(self) -> Report:
        """Return the measurements since the last report."""
        self._input.write("report\n")
        self._input.flush()
        report: Report = json.loads(self._line())
        return report

    def close(self) -> None:
        """End the service."""
        self._process.terminate()
        self._process.wait()


def phase(service: Service, seconds: float, config: Path | None) -> Report:
    """Return the measurements of a phase, with leakwatch if there is a configuration for it."""
    service.report()
    daemon = None
    if config:
        options = ["--config", str(config), "--listen", "127.0.0.1:9979", "--log-level", "error"]
        daemon = subprocess.Popen([sys.executable, "-m", "leakwatch", "run", *options])
    time.sleep(seconds)
    report = service.report()
    if daemon:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(30)
    return report


def row(goroutines: int, name: str, reports: Sequence[Report], seconds: float) -> str:
    """Return a row of the table: medians of all rounds, but the longest pause."""
    middle = {key: median(report[key] for report in reports) for key in reports[0]}
    longest = max(report["longest_pause"] for report in reports)
    return (
        f"| {goroutines:,} | {name} | {100 * middle['cpu_seconds'] / seconds:.2f} % | {longest:.2f} ms"
        f" | {middle['p50']:.2f} | {middle['p99']:.1f} | {middle['p999']:.1f} | {middle['max']:.0f} |"
    )


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--goroutines", type=int, nargs="+", default=[1000, 10_000, 100_000])
    arguments.add_argument("--seconds", type=float, default=90)
    arguments.add_argument("--rounds", type=int, default=2)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        farm, config = Path(name) / "farm", Path(name) / "leakwatch.yml"
        subprocess.run(["go", "build", "-o", farm, "."], check=True, cwd=HERE / "farm")
        print("| goroutines | | CPU, of one core | longest pause | p50, ms | p99 | p99.9 | max |")
        print("|---|---|---|---|---|---|---|---|")
        for goroutines in options.goroutines:
            service = Service(farm, goroutines)
            config.write_text(CONFIG.format(address=service.address))
            time.sleep(5)
            reports: dict[str, list[Report]] = {"alone": [], "with leakwatch": []}
            for _ in range(options.rounds):
                reports["alone"].append(phase(service, options.seconds, None))
                reports["with leakwatch"].append(phase(service, options.seconds, config))
            service.close()
            for title, values in reports.items():
                print(row(goroutines, title, values, options.seconds), flush=True)


if __name__ == "__main__":
    main()
