"""Commands and the services that they scrape, with real HTTP between them, in one event loop in virtual time."""

import asyncio
import gzip
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from typer.testing import CliRunner, Result

import leakwatch.cli.logging  # noqa: F401  it keeps the stderr of its first import, which CliRunner would close
from leakwatch.cli.main import app
from leakwatch.model import Frame, Profile, Trace
from tests.support.rendering import counters, render
from tests.support.virtual_time import VirtualLoop

PROFILES = Path(__file__).parents[1] / "profiles"

NOT_FOUND = b"404 page not found"

Load = Callable[[float], Mapping[str, int] | bytes | None]
"""Seconds since the start -> goroutines by function, or a body; None while the service does not respond."""


def body(counts: Mapping[str, int]) -> bytes:
    """Return a goroutine profile in which each function of package main has a stack."""
    traces = [
        (
            Trace(
                (Frame(f"main.{name}", f"/src/{name}.go", 7), Frame("main.main", "/src/main.go", 3)),
                counters([0x100 * number + 1, 0x20, 0x30]),
            ),
            count,
        )
        for number, (name, count) in enumerate(sorted(counts.items()), 1)
    ]
    return render(Profile(sum(counts.values()), tuple(traces)))


def full_dump(counts: Mapping[str, int]) -> bytes:
    """Return a full dump of the same stacks; main.start created all goroutines, for example for requests."""
    goroutines = [name for name in sorted(counts) for _ in range(counts[name])]
    return b"\n".join(
        b"goroutine %d [select, 2 minutes]:\nmain.%s()\n\t/src/%s.go:7 +0x1\nmain.main()\n\t/src/main.go:3 +0x1\n"
        b"created by main.start in goroutine 1\n\t/src/start.go:9 +0x1\n" % (number, name.encode(), name.encode())
        for number, name in enumerate(goroutines, 1)
    )


class VirtualService:
    """A service on loopback.

    `duration`: seconds that each response takes; `restart`: time of a restart, 0 for none. The processes have the
    recorded mappings of two programs.
    """

    def __init__(self, load: Load, duration: float = 0.0, restart: float = 0.0) -> None:
        self.requests = 0
        """Requests for a profile."""
        self.dumps = 0
        """Requests for a full dump."""
        self._load = load
        self._duration = duration
        self._restart = restart
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    async def run(self) -> None:
        """Serve until cancelled."""
        async with await asyncio.start_server(self._serve, sock=self._listener) as server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Respond to the requests of one connection, which a restart ends."""
        loop = asyncio.get_running_loop()
        restarted = loop.time() >= self._restart
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
                await reader.readexactly(int(length[1]) if length else 0)
                await asyncio.sleep(self._duration)
                response = self._respond(head.split()[1], loop.time())
                if response is None or restarted != (loop.time() >= self._restart):
                    return
                status = b"404 Not Found" if response is NOT_FOUND else b"200 OK"
                writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(response), response))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    def _respond(self, path: str, time: float) -> bytes | None:
        """Return the body of a response, None if the service does not respond."""
        if path.startswith("/debug/pprof/threadcreate?"):
            version = "1.26" if time < self._restart else "1.27"
            return gzip.decompress((PROFILES / version / "goroutine.debug0.pb.gz").read_bytes())
        if not path.startswith("/debug/pprof/goroutine?"):
            return NOT_FOUND
        if path.endswith("debug=2"):
            self.dumps += 1
            load = self._load(time)
            return full_dump(load) if isinstance(load, Mapping) else load
        self.requests += 1
        load = self._load(time)
        return body(load) if isinstance(load, Mapping) else load


class _Policy(asyncio.DefaultEventLoopPolicy):
    """Makes `asyncio.run` use `loop`, in which the services run."""

    def __init__(self, loop: VirtualLoop, services: Sequence[VirtualService]) -> None:
        super().__init__()
        self._loop = loop
        self._services = services

    def new_event_loop(self) -> VirtualLoop:
        """Return the loop."""
        self._tasks = [self._loop.create_task(service.run()) for service in self._services]
        return self._loop


def invoke(loop: VirtualLoop, services: Sequence[VirtualService], *arguments: str) -> Result:
    """Run a command of leakwatch beside the services, in `loop`; return its result."""
    asyncio.set_event_loop_policy(_Policy(loop, services))
    try:
        return CliRunner().invoke(app, arguments, catch_exceptions=False)
    finally:
        asyncio.set_event_loop_policy(None)
