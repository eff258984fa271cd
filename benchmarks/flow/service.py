"""A server that answers as a Go 1.26 service does, with bodies that were recorded; prints its port first.

python benchmarks/flow/service.py [--leaks]
"""

import argparse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

PROFILES: Final = Path(__file__).parents[2] / "tests/profiles/1.26"
STACKS: Final = 21
LEAKS_IN: Final = b"main.chanSend"
FIRST_LEAKED: Final = 1_000_000
"""The ID of the first leaked goroutine, above those of the recording."""


class Service(ThreadingHTTPServer):
    """Answers as a Go service; if it `leaks`, one stack has one more goroutine in each profile."""

    daemon_threads = True

    def __init__(self, *, leaks: bool) -> None:
        self._scrapes = 0
        self._leaks = leaks
        text = (PROFILES / "goroutine.debug1.txt").read_bytes().partition(b"\n")[2]
        groups = sorted(text.removesuffix(b"\n\n").split(b"\n\n"), key=lambda group: LEAKS_IN not in group)
        self._groups = groups[:STACKS]
        super().__init__(("127.0.0.1", 0), Handler)

    def answer(self, path: str) -> bytes | None:
        """Return the body at a path, None if there is none."""
        match path.partition("?")[0], path.partition("debug=")[2]:
            case "/debug/pprof/goroutine", "1":
                self._scrapes += 1
                return self._profile()
            case "/debug/pprof/goroutine", "2":
                return self._dump()
            case "/debug/pprof/threadcreate", _:
                return (PROFILES / "goroutine.debug0.pb.gz").read_bytes()  # every profile has the mappings
            case "/debug/pprof/symbol", _:
                return (PROFILES / "symbol.txt").read_bytes()
            case "/metrics", _:
                total = self._profile().split(b"\n", 1)[0].rpartition(b" ")[2].decode()
                return f"go_goroutines {total}\nprocess_resident_memory_bytes 3e7\n".encode()
        return None

    def _dump(self) -> bytes:
        """Return the recorded dump, with the leaked goroutines: a dump without them would veto the leak."""
        recorded = (PROFILES / "goroutine.debug2.txt").read_bytes()
        if not self._leaks:
            return recorded
        _, _, stack = next(part for part in recorded.split(b"\n\n") if LEAKS_IN in part).split(b" ", 2)
        leaked = (b"goroutine %d %s" % (FIRST_LEAKED + number, stack) for number in range(self._scrapes))
        return b"\n\n".join((recorded.rstrip(b"\n"), *leaked)) + b"\n"

    def _profile(self) -> bytes:
        groups = list(self._groups)
        if self._leaks:
            count, space, rest = groups[0].partition(b" ")
            groups[0] = b"%d" % (int(count) + self._scrapes) + space + rest
        total = sum(int(group.partition(b" ")[0]) for group in groups)
        return b"goroutine profile: total %d\n" % total + b"".join(group + b"\n\n" for group in groups)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection of a Service."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        """Answer one request."""
        assert isinstance(self.server, Service)  # noqa: S101  for mypy
        body = self.server.answer(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        """Write nothing."""


def main() -> None:
    """Answer until the process is ended."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--leaks", action="store_true")
    service = Service(leaks=arguments.parse_args().leaks)
    print(service.server_port, flush=True)
    service.serve_forever()


if __name__ == "__main__":
    main()
