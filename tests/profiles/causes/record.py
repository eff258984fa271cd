"""Records the goroutine profiles of leaking programs: python -m tests.profiles.causes.record [NAME ...].

Builds `programs`, runs each leak (or those with the given names), and writes NAME.txt beside this file, or to the
folder of `--to`: the response of /debug/pprof/goroutine?debug=1. The file `symbol` names the functions that these
responses hide, and NAME.dump.txt is the response of debug=2 for the leaks in `DUMPS`.
"""

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

from leakwatch.profile import symbols, text

FOLDER: Final = Path(__file__).parent
PROGRAMS: Final = FOLDER / "programs"
TIMES: Final = 40
"""Calls of each leak: more than the 30 from which `leakwatch scrape` shows a cause, and few for small files."""
SETTLED: Final = 3
"""Equal numbers of goroutines, half a second apart, after which a program is recorded."""
DUMPS: Final = frozenset((
    "http-body-not-closed", "http-no-timeout", "grpc-client-connection", "grpc-stream-not-finished",
    "sql-pool-exhausted", "k8s-informer-not-stopped", "channel-send-after-return", "mutex-not-unlocked",
    "iter-pull-not-stopped", "exec-output-held-open",
))  # fmt: skip


def main() -> None:
    """Record all leaks, or those that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", default=".", help="folder beside this file")
    parser.add_argument("names", nargs="*", help="leaks, all without any")
    options = parser.parse_args()
    folder: Path = FOLDER / options.to
    folder.mkdir(exist_ok=True)
    file = folder / "symbol"
    names = symbols.parse(file.read_bytes()) if options.names and file.exists() else {}
    for leak, address in leaking(options.names):
        record(leak, address, folder, names)
    file.write_bytes(symbols.encode(names))


def leaking(names: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each leak that has leaked, and the address of its pprof handlers; `names`: of leaks, empty for all."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "leaks"
        subprocess.run(("go", "build", "-o", program, "."), cwd=PROGRAMS, check=True)
        listed = subprocess.run((program, "-list"), capture_output=True, text=True, check=True).stdout.split()
        for leak in names or listed:
            with running(program, leak) as address:
                yield leak, address


@lru_cache(maxsize=1)
def rewritten() -> list[tuple[bytes, bytes]]:
    """Return the paths of this machine, and what the recordings have instead."""
    output = subprocess.run(("go", "env", "-json", "GOROOT", "GOMODCACHE"), capture_output=True, check=True).stdout
    env = json.loads(output)
    return [
        (f"{PROGRAMS}/".encode(), b"/src/leaks/"),
        (env["GOMODCACHE"].encode(), b"/go/pkg/mod"),
        (env["GOROOT"].encode(), b"/usr/local/go"),
    ]


@contextmanager
def running(program: Path, leak: str) -> Iterator[str]:
    """Run a leak, and yield the address of its pprof handlers once it has leaked."""
    command = (program, "-leak", leak, "-times", str(TIMES))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout
        address = process.stdout.readline().strip()
        if not address:
            raise SystemExit(f"{leak} exits")
        yield f"http://{address}/debug/pprof"
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with its servers and commands
        process.wait()


def record(leak: str, address: str, folder: Path, names: dict[int, str]) -> None:
    """Write the profile of a leak to `folder`, and add the functions that it hides to `names`."""
    body = settled(f"{address}/goroutine?debug=1")
    (folder / f"{leak}.txt").write_bytes(without_paths(body))
    parsed = text.parse(body)
    hidden = {trace.parked_at for trace, _ in parsed.groups if trace.parked_at} - names.keys()
    if hidden:
        names |= symbols.parse(fetched(f"{address}/symbol?{symbols.query(sorted(hidden)).decode()}"))
    if leak in DUMPS:
        dump = fetched(f"{address}/goroutine?debug=2")
        (folder / f"{leak}.dump.txt").write_bytes(without_paths(dump))


def settled(url: str) -> bytes:
    """Return the body of a profile when its number of goroutines no longer changes."""
    heads = list[bytes]()
    while True:
        body = fetched(url)
        heads.append(body.partition(b"\n")[0])
        if len(heads) >= SETTLED and len(set(heads[-SETTLED:])) == 1:
            return body
        time.sleep(0.5)


def fetched(url: str) -> bytes:
    """Return the body of a response of a program on the loopback interface."""
    with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310  its address is the program's
        return bytes(response.read())


def without_paths(body: bytes) -> bytes:
    """Return `body` with the paths of `rewritten` replaced."""
    for path, replacement in rewritten():
        body = body.replace(path, replacement)
    return body


if __name__ == "__main__":
    main()
