"""Measure the scrapes of a daemon that has more targets, or less of a core, than it needs.

    python benchmarks/cost/overload.py [--targets 4000] [--stacks 100] [--seconds 60] [--core 1] [--busy 0]

leakwatch runs on one core, beside `--busy` processes that never sleep. One Go program (farm/) serves all targets,
which are scraped every 15 s. After `--warm` seconds, the scrapes of `--seconds` seconds are counted: those that
succeeded and those that failed, and how often the targets were scraped.
"""

import argparse
import os
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
METRICS = "http://127.0.0.1:9977/metrics"
SCRAPES = re.compile(
    r'^leakwatch_scrapes_total{result="(\w+)",service="farm",target="([^"]+)"} (\S+)$', re.MULTILINE
)
BUSY = [sys.executable, "-c", "while True: pass"]


def scrapes(client: httpx.Client) -> tuple[float, Counter[tuple[str, str]], str]:
    """Return the time, the scrapes by result and target, and all metrics."""
    text = client.get(METRICS).text
    counts = Counter({(result, target): int(float(count)) for result, target, count in SCRAPES.findall(text)})
    return time.monotonic(), counts, text


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(pid: int, targets: int, warm: float, seconds: float) -> None:
    """Print the scrapes of a running daemon."""
    with httpx.Client(trust_env=False, timeout=120) as client:
        time.sleep(warm)
        begin, before, _ = scrapes(client)
        cpu = cpu_seconds(pid)
        time.sleep(max(begin + seconds - time.monotonic(), 0))
        end, after, text = scrapes(client)
    cpu, taken = cpu_seconds(pid) - cpu, end - begin
    delta = after - before
    results: Counter[str] = Counter()
    per_target: Counter[str] = Counter()
    for (result, target), count in delta.items():
        results[result] += count
        per_target[target] += count if result == "success" else 0
    often = sorted([per_target[target] for target in per_target] + [0] * (targets - len(per_target)))
    intervals = Counter(re.findall(r"^leakwatch_scrape_interval_seconds{.*} (\S+)$", text, re.MULTILINE))
    due = targets * taken / 15
    print(f"due {due:.0f} in {taken:.0f} s, results {dict(results)}, {cpu / taken:.2f} of a core")
    print(f"ms of CPU per success {1000 * cpu / max(results['success'], 1):.2f}")
    print(f"successes per target: least {often[0]}, median {often[len(often) // 2]}, most {often[-1]}")
    print(f"intervals {dict(intervals.most_common(8))}")
    for line in text.splitlines():
        if re.match(r"leakwatch_(overloaded|scrapes_missed|scrape_start_delay\S*_(sum|count)) ", line):
            print(line)


def main() -> None:
    """Run farm, busy processes and daemon; print the results."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--targets", type=int, default=4000)
    arguments.add_argument("--stacks", type=int, default=100)
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--warm", type=float, default=30)
    arguments.add_argument("--core", type=int, default=1)
    arguments.add_argument("--busy", type=int, default=0)
    options = arguments.parse_args()
    core: list[str | Path] = ["taskset", "-c", str(options.core)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["go", "build", "-o", folder / "farm", "."], check=True, cwd=HERE / "farm")
        command: list[str | Path] = [
            folder / "farm",
            "-listeners",
            str(options.targets),
            "-stacks",
            str(options.stacks),
        ]
        processes: list[subprocess.Popen[str]] = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True)]
        try:
            lines = iter(processes[0].stdout or ())
            urls = [line.split()[1] for line in iter(lambda: next(lines), "ready\n")]
            addresses = ", ".join(f"'{url.removeprefix('http://')}'" for url in urls)
            config = folder / "c.yml"
            config.write_text(
                f"scrape_configs: [{{job_name: farm, static_configs: [{{targets: [{addresses}]}}]}}]\n"
            )
            processes += [subprocess.Popen([*core, *BUSY], text=True) for _ in range(options.busy)]
            run: list[str | Path] = [
                "-m",
                "leakwatch",
                "run",
                "--config",
                config,
                "--listen",
                "127.0.0.1:9977",
                "--log-level",
                "warning",
            ]
            log = (folder / "log").open("w")
            processes.append(subprocess.Popen([*core, sys.executable, *run], stdout=log, stderr=log, text=True))
            measure(processes[-1].pid, options.targets, options.warm, options.seconds)
            events = Counter(re.findall(r'"event": "([^"]*)"', (folder / "log").read_text()))
            print(f"log {dict(events.most_common(5))}")
        finally:
            for process in reversed(processes):
                process.send_signal(signal.SIGTERM)
                process.wait()


if __name__ == "__main__":
    main()
