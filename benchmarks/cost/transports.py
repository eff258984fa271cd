"""Compare the CPU of scrapes over transports of httpx: leakwatch's, its own (httpcore), and httpx-aiohttp.

    pip install httpx-aiohttp
    python benchmarks/cost/transports.py [--targets 100] [--stacks 100] [--rounds 6]

One Go program (farm/) serves all targets. Each round requests each target once with each transport, over open
connections, and reads the body. Prints the CPU milliseconds per request, and their ratio to httpcore in each
round. The last lines are the resident memory that importing each library adds. httpx-aiohttp is optional.
"""

import argparse
import asyncio
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Final

import httpx

from leakwatch.http.transport import Transport

HERE: Final = Path(__file__).parent
LIMITS: Final = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)
IMPORTED: Final = "import {}; print(open('/proc/self/status').read().partition('VmRSS:')[2].split()[0])"


def transports() -> dict[str, Callable[[], httpx.AsyncBaseTransport]]:
    """Return what makes a transport, by the name of its library. httpcore is the first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    makers: dict[str, Callable[[], httpx.AsyncBaseTransport]] = {
        "httpcore": lambda: httpx.AsyncHTTPTransport(verify=context, limits=LIMITS, trust_env=False),
        "leakwatch": lambda: Transport(context),
    }
    if find_spec("httpx_aiohttp"):
        aiohttp = import_module("httpx_aiohttp").AiohttpTransport
        makers["httpx_aiohttp"] = lambda: aiohttp(limits=LIMITS, trust_env=False)
    return makers


async def request(client: httpx.AsyncClient, url: str) -> None:
    """Read the body of one profile as leakwatch does, in pieces."""
    async with client.stream("GET", url) as response:
        async for _ in response.aiter_raw():
            pass


async def milliseconds(members: list[httpx.AsyncClient], urls: list[str]) -> float:
    """Return the CPU milliseconds per request of one round."""
    begin = time.process_time()
    for client, url in zip(members, urls, strict=True):
        await request(client, url)
    return 1000 * (time.process_time() - begin) / len(urls)


async def compare(urls: list[str], rounds: int) -> None:
    """Print the cost of each transport."""
    clients = {
        name: [httpx.AsyncClient(transport=make(), trust_env=False) for _ in urls]
        for name, make in transports().items()
    }
    costs: dict[str, list[float]] = {name: [] for name in clients}
    for number in range(rounds + 1):
        for name, members in clients.items():
            cost = await milliseconds(members, urls)
            if number:  # the first round connects
                costs[name].append(cost)
    for name, each in costs.items():
        ratios = [new / old for old, new in zip(costs["httpcore"], each, strict=True)]
        spread = f"ratio to httpcore {median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{name}: median {median(each):.2f} ms of CPU per request, {spread}")
    for members in clients.values():
        for client in members:
            await client.aclose()


def resident(module: str) -> float:
    """Return the resident MiB of a Python process that imports a module."""
    command = [sys.executable, "-c", IMPORTED.format(module)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024


def main() -> None:
    """Run the farm, and compare."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--targets", type=int, default=100)
    arguments.add_argument("--stacks", type=int, default=100)
    arguments.add_argument("--rounds", type=int, default=6)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        subprocess.run(["go", "build", "-o", f"{name}/farm", "."], check=True, cwd=HERE / "farm")
        numbers = ["-listeners", str(options.targets), "-stacks", str(options.stacks)]
        with subprocess.Popen([f"{name}/farm", *numbers], stdout=subprocess.PIPE, text=True) as farm:
            lines = iter(farm.stdout or ())
            urls = [line.split()[1] for line in iter(lambda: next(lines), "ready\n")]
            path = "/debug/pprof/goroutine?debug=1"
            asyncio.run(compare([f"{url}{path}" for url in urls], options.rounds))
            farm.terminate()
    base = resident("httpx")
    for name in transports():
        module = {"leakwatch": "httptools"}.get(name, name)
        print(f"memory: importing {module} takes {resident(f'httpx, {module}') - base:.1f} MiB")


if __name__ == "__main__":
    main()
