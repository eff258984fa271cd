"""Measure what healthy targets notice of bad ones that the same daemon scrapes.

    python benchmarks/cost/beside_bad.py [--healthy 40] [--kinds 43] [--seconds 180] [--interval 15]

Runs leakwatch with healthy targets only, then with as many kinds of bad targets beside them, from the fault server
of tests/faults. All targets have the same interval. For both it prints the share of healthy scrapes within 10 % of
the interval, the latency of `/-/healthy`, RSS, the share of a core and the lag of the event loop.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import httpx
from overload import cpu_seconds

from tests.support.fault_server import PREFIX, FaultServer, build
from tests.support.running import Daemon

LOOK: Final = 0.25
"""Seconds between two looks at the targets and at `/-/healthy`."""
WARM: Final = 45
"""Seconds before the measurement: the first body of each target takes most CPU."""
CONFIG: Final = """
global: {{scrape_interval: {interval}s, scrape_timeout: 10s}}
scrape_configs:
  - {{job_name: good, file_sd_configs: [{{files: [{folder}/good.json]}}]}}
  - job_name: text
    tls_config: {{ca_file: {folder}/ca.pem}}
    file_sd_configs: [{{files: [{folder}/text.json]}}]
  - {{job_name: proto, profile_format: proto, file_sd_configs: [{{files: [{folder}/proto.json]}}]}}
"""


def chosen(server: FaultServer, number: int) -> list[str]:
    """Return kinds of bad targets, evenly spread over all."""
    bad = [kind for kind in server.targets if not kind.startswith(PREFIX)]
    return [bad[i * len(bad) // number] for i in range(number)]


def start(folder: Path, server: FaultServer, healthy: int, bad: Sequence[str], interval: int) -> Daemon:
    """Run leakwatch with these targets."""
    times = f"{interval}s", "10s"
    server.write_groups(folder / "good.json", {f"healthy-{i}": "healthy" for i in range(healthy)}, *times)
    for form in ("text", "proto"):
        kinds = {kind: kind for kind in bad if server.targets[kind].form == form}
        server.write_groups(folder / f"{form}.json", kinds, *times)
    (folder / "leakwatch.yml").write_text(CONFIG.format(folder=folder, interval=interval))
    return Daemon("--config", folder / "leakwatch.yml")


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile of values."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def measure(daemon: Daemon, interval: int, seconds: float) -> str:
    """Return the figures of a running daemon as a row of a Markdown table."""
    time.sleep(WARM)
    scraped: dict[str, list[float]] = {}
    latencies = []
    cpu, lag, begin = cpu_seconds(daemon.popen.pid), _lag(daemon), time.monotonic()
    with httpx.Client(base_url=daemon.url, trust_env=False, timeout=60) as client:
        while time.monotonic() < begin + seconds:
            before = time.monotonic()
            client.get("/-/healthy")
            latencies.append(time.monotonic() - before)
            targets = client.get("/api/v1/targets", params={"q": "healthy-", "limit": 500}).json()["targets"]
            for target in targets:
                times = scraped.setdefault(target["id"], [])
                if target["scraped_at"] and target["scraped_at"] not in times[-1:]:
                    times.append(target["scraped_at"])
            time.sleep(LOOK)
    taken = time.monotonic() - begin
    intervals = [new - old for times in scraped.values() for old, new in pairwise(times)]
    kept = sum(abs(each - interval) <= 0.1 * interval for each in intervals) / len(intervals)
    status = Path(f"/proc/{daemon.popen.pid}/status").read_text()
    resident = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    health = f"{1000 * percentile(latencies, 0.5):.0f} ms, {1000 * percentile(latencies, 0.99):.0f} ms"
    share, late = (cpu_seconds(daemon.popen.pid) - cpu) / taken, (_lag(daemon) - lag) / taken
    return f"| {kept:.1%} of {len(intervals)} | {health} | {resident:.0f} MiB | {share:.0%} | {late:.1%} |"


def _lag(daemon: Daemon) -> float:
    """Return the total lag of the event loop, in seconds."""
    return sum(value for _, value in daemon.series("leakwatch_event_loop_lag_seconds_sum"))


def main() -> None:
    """Run both, and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--healthy", type=int, default=40)
    arguments.add_argument("--kinds", type=int, default=43)
    arguments.add_argument("--seconds", type=float, default=180)
    arguments.add_argument("--interval", type=int, default=15)
    options = arguments.parse_args()
    print(
        "| bad targets | healthy scrapes in time | `/-/healthy`: median, p99 | RSS | of a core | event loop late |"
    )
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder)
        server = FaultServer(folder, folder / "ca.pem")
        try:
            for bad in ([], chosen(server, options.kinds)):
                daemon = start(folder, server, options.healthy, bad, options.interval)
                try:
                    print(f"| {len(bad)} {measure(daemon, options.interval, options.seconds)}", flush=True)
                finally:
                    daemon.stop()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
