"""Measures the cost of the daemon: CPU and memory with 1, 100, 1,000 and 2,000 targets, and where the time goes.

    python benchmarks/cost/daemon.py [--targets 1 100 1000 2000] [--stacks 100] [--seconds 60] [--distinct]

One Go program (farm/) serves all targets, each with its own counts; `--distinct` gives each its own addresses
too, as if each ran another build. Measured from the third interval on, so the first look at everything is not in
it. The last table is a profile of the largest run: its share of time by module, cProfile's own cost included.
"""

import argparse
import os
import pstats
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

HERE = Path(__file__).parent
INTERVAL = 15.0
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid: int) -> float:
    """Return the resident memory of a process, in MiB."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def run(targets: list[str], seconds: float, folder: Path, profile: Path | None) -> str:
    """Watch `targets` for a while; return one row of the table."""
    listed = ", ".join(f"'{target.removeprefix('http://')}'" for target in targets)
    config = folder / "c.yml"
    config.write_text(f"scrape_configs: [{{job_name: farm, static_configs: [{{targets: [{listed}]}}]}}]\n")
    spied = ["-m", "cProfile", "-o", str(profile)] if profile else []
    command = [sys.executable, *spied, "-m", "leakwatch", "run", "--config", str(config), "--log-level", "warning"]
    with httpx.Client(trust_env=False, timeout=30) as client:
        daemon = subprocess.Popen([*command, "--listen", "127.0.0.1:9978"])
        try:
            return watched(daemon.pid, client, len(targets), seconds)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)


def watched(pid: int, client: httpx.Client, targets: int, seconds: float) -> str:
    """Return the row of a daemon that runs."""
    begun = time.monotonic()
    first = None
    while first is None and time.monotonic() - begun < 30:
        time.sleep(0.02 if targets == 1 else 1)
        try:
            if re.search(
                r'scrapes_total{result="success".*} [1-9]', client.get("http://127.0.0.1:9978/metrics").text
            ):
                first = time.monotonic() - begun
        except httpx.TransportError:
            continue
    time.sleep(2 * INTERVAL)
    cpu, at = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    share = (cpu_seconds(pid) - cpu) / (time.monotonic() - at)
    rss = memory(pid)
    begun = time.monotonic()
    text = client.get("http://127.0.0.1:9978/metrics").text
    took = time.monotonic() - begun
    up = sum(line.endswith(" 1.0") for line in text.splitlines() if line.startswith("leakwatch_up{"))
    series = sum(not line.startswith("#") for line in text.splitlines())
    each = 1000 * share * INTERVAL / targets
    return (
        f"| {targets:,} | {up:,} | {first or float('nan'):.1f} s | {100 * share:.2f} % | {each:.2f} ms"
        f" | {rss:.0f} MiB | {series:,} in {1000 * took:.0f} ms |"
    )


def where(profile: Path) -> None:
    """Print the share of time by module."""
    stats = pstats.Stats(str(profile)).stats  # type: ignore[attr-defined]  # typeshed leaves it out
    spent: Counter[str] = Counter()
    for (file, _, function), (_, _, own, _, _) in stats.items():
        if "epoll" in function:
            continue  # waiting
        parts = Path(file).parts
        place = parts[parts.index("site-packages") + 1] if "site-packages" in parts else Path(file).parent.name
        if "leakwatch" in parts and "site-packages" not in parts:
            place = f"leakwatch/{Path(file).name}"
        spent["built-in" if file == "~" else place] += own
    total = sum(spent.values())
    print("\n| module | share of time |\n|---|---|")
    for place, own in spent.most_common(14):
        print(f"| {place} | {100 * own / total:.0f} % |")


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--targets", type=int, nargs="+", default=[1, 100, 1000, 2000])
    arguments.add_argument("--stacks", type=int, default=100)
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--distinct", action="store_true")
    arguments.add_argument("--no-profile", action="store_true")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["go", "build", "-o", folder / "farm", "."], check=True, cwd=HERE / "farm")
        command = [str(folder / "farm"), "-listeners", str(max(given.targets)), "-stacks", str(given.stacks)]
        command += ["-distinct"] if given.distinct else []
        farm = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            targets = []
            for line in farm.stdout or ():
                if line == "ready\n":
                    break
                targets.append(line.split()[1])
            print("| targets | up | first scrape | CPU, of one core | per scrape | RSS | /metrics |")
            print("|---|---|---|---|---|---|---|")
            for count in given.targets:
                print(run(targets[:count], given.seconds, folder, None), flush=True)
            if not given.no_profile:
                profile = folder / "profile"
                run(targets[: max(given.targets)], given.seconds, folder, profile)
                where(profile)
        finally:
            farm.terminate()
            farm.wait()


if __name__ == "__main__":
    main()
