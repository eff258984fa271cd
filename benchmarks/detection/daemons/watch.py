"""Watch real daemons under load that swings, and record the profiles that table.py reads: README.md shows how.

Everything that this program starts ends with it, also on SIGTERM and Ctrl-C.
"""

import argparse
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import yaml
from catalog import daemons
from place import Daemon

Process = subprocess.Popen[bytes]
Processes = dict[str, Process]

MODES = {"real": ("5m", "15s", 0.01), "scaled": ("5s", "1s", 0.5)}
"""The two leakwatches: block, scrape interval and cost limit. In the scaled one, an hour lasts a minute."""

SCRAPE, DUMP = 15, 60
"""Seconds between two recorded profiles, and between two recorded full dumps."""


@contextmanager
def running(command: list[str], log: Path, environment: Mapping[str, str]) -> Iterator[Process]:
    """Run a program with its output in a file, and end it."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}, cwd=log.parent
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def configuration(watched: list[Daemon], mode: str, listen: str) -> str:
    """Return the configuration of one leakwatch; each daemon is a service."""
    block, interval, cost_limit = MODES[mode]
    return yaml.safe_dump(
        {
            # A scrape of 28 ms per second would exceed 1 % and stretch the interval of the scaled leakwatch.
            "global": {
                "scrape_interval": interval,
                "scrape_timeout": interval,
                "scrape_cost_limit": cost_limit,
            },
            "detection": {"block": block},
            "storage": {"path": ""},
            "web": {"listen": listen},
            "scrape_configs": [
                {
                    "job_name": daemon.name,
                    "full_dump": "growth",
                    "static_configs": [{"targets": [daemon.profiles]}],
                }
                for daemon in watched
            ],
        }
    )


def fetch(client: httpx.Client, url: str, path: Path) -> None:
    """Store one response, compressed; a failed request is reported and missing."""
    try:
        body = client.get(url).raise_for_status().content
    except httpx.HTTPError as error:
        print(f"{url}: {error}", file=sys.stderr)
        return
    path.write_bytes(body if body.startswith(b"\x1f\x8b") else gzip.compress(body, 5))


def record(watched: list[Daemon], folder: Path, until: float) -> None:
    """Record profiles and full dumps of all daemons until a time, in seconds since the epoch."""
    with httpx.Client(timeout=10) as client, ThreadPoolExecutor(2) as threads:
        step = 0
        while (now := time.time()) < until:
            for daemon in watched:
                url = f"http://{daemon.profiles}/debug/pprof/goroutine"
                target = folder / "profiles" / daemon.name
                threads.submit(fetch, client, f"{url}?debug=0", target / f"{int(now)}.pb.gz")
                if step % (DUMP // SCRAPE) == 0:
                    dump = folder / "dumps" / daemon.name / f"{int(now)}.dump.gz"
                    threads.submit(fetch, client, f"{url}?debug=2", dump)
            step += 1
            time.sleep(max(SCRAPE - (time.time() - now), 0))


def wait_until_up(daemon: Daemon, process: Process) -> bool:
    """Return whether the daemon serves profiles; it has a minute."""
    for _ in range(120):
        if process.poll() is not None:
            return False
        try:
            if httpx.get(f"http://{daemon.profiles}/debug/pprof/goroutine?debug=1").status_code == httpx.codes.OK:
                return True
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    return False


def cpu_seconds(process: Process) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_daemons(stack: ExitStack, folder: Path, chosen: Iterable[Daemon]) -> tuple[list[Daemon], Processes]:
    """Start daemons and return those that are up, with their processes by name."""
    started = []
    for daemon in chosen:
        log = folder / "logs" / f"{daemon.name}.log"
        environment = {"GOMAXPROCS": "1", **daemon.environment}
        started.append((daemon, stack.enter_context(running(daemon.command, log, environment))))
        for kind in ("profiles", "dumps"):
            (folder / kind / daemon.name).mkdir(parents=True, exist_ok=True)
    watched, processes = [], {}
    for daemon, process in started:
        if wait_until_up(daemon, process):
            watched.append(daemon)
            processes[daemon.name] = process
        else:
            print(f"{daemon.name} is not up: see logs/{daemon.name}.log", file=sys.stderr)
    return watched, processes


def start_leakwatches(
    stack: ExitStack, folder: Path, watched: list[Daemon], listen: Mapping[str, str]
) -> Processes:
    """Start the leakwatches; `listen`: their addresses by mode."""
    processes = {}
    for mode, address in listen.items():
        path = folder / f"leakwatch-{mode}.yml"
        path.write_text(configuration(watched, mode, address))
        command = [sys.executable, "-m", "leakwatch", "run", "-c", str(path)]
        log = folder / "logs" / f"leakwatch-{mode}.log"
        processes[f"leakwatch-{mode}"] = stack.enter_context(running(command, log, {}))
    return processes


def start_load(stack: ExitStack, folder: Path, watched: list[Daemon], options: argparse.Namespace) -> Process:
    """Start the load of all daemons."""
    plan = folder / "plan.json"
    plan.write_text(json.dumps([session for daemon in watched for session in daemon.sessions], indent=1))
    command = [
        str(options.load.resolve()), "-plan", str(plan), "-backend", f"127.0.0.1:{options.port + 2}",
        "-targets", str(folder / "targets.json"),
    ]  # fmt: skip
    return stack.enter_context(running(command, folder / "logs" / "load.log", {}))


def write_results(folder: Path, processes: Processes, listen: Mapping[str, str], seconds: float) -> None:
    """Write the CPU time of each process, as a share of a core, and the leaks that are open."""
    running = {name: process for name, process in processes.items() if process.poll() is None}
    cpu = {name: cpu_seconds(process) / seconds for name, process in running.items()}
    (folder / "cpu.json").write_text(json.dumps({"seconds": seconds, "share": cpu}, indent=1))
    for mode, address in listen.items():
        leaks = httpx.get(f"http://{address}/api/v1/leaks", timeout=30)
        (folder / f"leaks-{mode}.json").write_bytes(leaks.content)


def arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="new folder for all files")
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--load", type=Path, required=True, help="the program made from load/")
    parser.add_argument("--programs", type=Path, default=Path("programs"), help="folder of daemons not in Debian")
    parser.add_argument("--port", type=int, default=20000, help="first of the 300 ports")
    parser.add_argument("--only", default=".*", help="expression that the names of the daemons match")
    parser.add_argument("--no-scaled", dest="scaled", action="store_false", help="without the second leakwatch")
    return parser.parse_args()


def main() -> None:
    """Start daemons, load and leakwatches; record until the end; write the results."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = options.folder.resolve()
    (folder / "logs").mkdir(parents=True)
    listen = {mode: f"127.0.0.1:{options.port + number}" for number, mode in enumerate(MODES)}
    if not options.scaled:
        del listen["scaled"]
    with ExitStack() as stack:
        chosen = daemons(folder, options.programs.resolve(), options.port, options.only)
        watched, processes = start_daemons(stack, folder, chosen)
        processes["load"] = start_load(stack, folder, watched, options)
        processes |= start_leakwatches(stack, folder, watched, listen)
        begin = time.time()
        try:
            record(watched, folder, begin + 60 * options.minutes)
        finally:
            write_results(folder, processes, listen, time.time() - begin)


if __name__ == "__main__":
    main()
