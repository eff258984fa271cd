"""Measure CPU and memory of the daemon with 1, 100, 1,000 and 2,000 targets, and its share of time by module.

    python benchmarks/cost/daemon.py [--targets 1 100 1000 2000] [--stacks 100] [--seconds 60] [--distinct]

One Go program (farm/) serves all targets, each with its own counts. With `--distinct`, each target also has its
own addresses, as if it ran its own build. The measurement starts two intervals after the first scrape, because the
first scrapes parse each stack for the first time. The last table is a profile of another run with the most
targets. It includes the cost of cProfile.
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
    """Run leakwatch on `targets`, in cProfile if `profile` is given; return one row of the table."""
    addresses = ", ".join(f"'{target.removeprefix('http://')}'" for target in targets)
    config = folder / "c.yml"
    config.write_text(f"scrape_configs: [{{job_name: farm, static_configs: [{{targets: [{addresses}]}}]}}]\n")
    profiler = ["-m", "cProfile", "-o", str(profile)] if profile else []
    options = ["--config", str(config), "--listen", "127.0.0.1:9978", "--log-level", "warning"]
    with httpx.Client(trust_env=False, timeout=30) as client:
        daemon = subprocess.Popen([sys.executable, *profiler, "-m", "leakwatch", "run", *options])
        try:
            return measured(daemon.pid, client, len(targets), seconds)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)


def measured(pid: int, client: httpx.Client, targets: int, seconds: float) -> str:
    """Return the row of a running daemon, measured for `seconds`."""
    started = time.monotonic()
    first = None
    while first is None and time.monotonic() - started < 30:
        time.sleep(0.02 if targets == 1 else 1)
        try:
            if re.search(
                r'scrapes_total{result="success".*} [1-9]', client.get("http://127.0.0.1:9978/metrics").text
            ):
                first = time.monotonic() - started
        except httpx.TransportError:
            continue
    time.sleep(2 * INTERVAL)
    cpu, started = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    share = (cpu_seconds(pid) - cpu) / (time.monotonic() - started)
    rss = memory(pid)
    requested = time.monotonic()
    text = client.get("http://127.0.0.1:9978/metrics").text
    duration = time.monotonic() - requested
    up = sum(line.endswith(" 1.0") for line in text.splitlines() if line.startswith("leakwatch_up{"))
    series = sum(not line.startswith("#") for line in text.splitlines())
    each = 1000 * share * INTERVAL / targets
    return (
        f"| {targets:,} | {up:,} | {first or float('nan'):.1f} s | {100 * share:.2f} % | {each:.2f} ms"
        f" | {rss:.0f} MiB | {series:,} in {1000 * duration:.0f} ms |"
    )


def print_modules(profile: Path) -> None:
    """Print the share of time by module."""
    stats = pstats.Stats(str(profile)).stats  # type: ignore[attr-defined]  # not in typeshed
    spent: Counter[str] = Counter()
    for (file, _, function), (_, _, own, _, _) in stats.items():
        if "epoll" in function:
            continue  # the event loop waits
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
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["go", "build", "-o", folder / "farm", "."], check=True, cwd=HERE / "farm")
        command = [str(folder / "farm"), "-listeners", str(max(options.targets)), "-stacks", str(options.stacks)]
        command += ["-distinct"] if options.distinct else []
        farm = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            targets = []
            for line in farm.stdout or ():
                if line == "ready\n":
                    break
                targets.append(line.split()[1])
            print("| targets | up | first scrape | CPU, of one core | per scrape | RSS | /metrics |")
            print("|---|---|---|---|---|---|---|")
            for count in options.targets:
                print(run(targets[:count], options.seconds, folder, None), flush=True)
            if not options.no_profile:
                profile = folder / "profile"
                run(targets[: max(options.targets)], options.seconds, folder, profile)
                print_modules(profile)
        finally:
            farm.terminate()
            farm.wait()


if __name__ == "__main__":
    main()
