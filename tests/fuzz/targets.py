"""The parsers of foreign input, each as a function of bytes, and what every input must satisfy.

An input gives a result or one of leakwatch's own errors, within CPU time and memory that are linear in its length.
"""

import contextlib
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx
from pydantic import TypeAdapter

from leakwatch import config
from leakwatch.cli.analyze.csv_file import CsvRecording
from leakwatch.cli.scrape_once import document, render
from leakwatch.discovery import file as file_sd
from leakwatch.discovery import http as http_sd
from leakwatch.discovery.target_group import TargetGroup
from leakwatch.errors import LeakwatchError
from leakwatch.http.response import HEAD_LIMIT, Response
from leakwatch.leaks.ownership import codeowners
from leakwatch.pasted import reader
from leakwatch.profile import dump, heap, proto, redact, symbols, text
from leakwatch.profile.body import Body
from leakwatch.profile.dump_stacks import DumpIndex, waiting
from leakwatch.profile.grouping import GroupBy
from leakwatch.profile.own_calls import HeapTally, starters
from leakwatch.profile.redact import Redaction, TextRedactor
from leakwatch.profile.stacks import Identifier
from leakwatch.scrape.probes.go_metrics import GoMetricsParser
from leakwatch.settings.file import parse_settings
from leakwatch.web.server.web_config import WebSettings

Target = Callable[[bytes], object]

TESTS: Final = Path(__file__).parents[1]
PIECE: Final = 1000
EXPANDED: Final = 1 << 16
"""Decompressed bytes of a protobuf. A larger limit would make gzip bombs slow, and hide slow parsers."""
CPU_BASE, CPU_PER_BYTE = 2.0, 20e-6  # seconds; with coverage, a parser takes five times as long
MAX_MESSAGE = 100_000  # characters; a configuration has one line per invalid value
MEMORY_BASE, MEMORY_PER_BYTE = 16 << 20, 200  # bytes
GROUPS: TypeAdapter[tuple[TargetGroup, ...]] = TypeAdapter(tuple[TargetGroup, ...])


def _body(parser: text.Parser | proto.Parser, data: bytes) -> None:
    body = Body(parser, Identifier())
    for start in range(0, len(data), PIECE):
        for _ in body.feed(data[start : start + PIECE]):
            pass
    body.close()


def _text(data: bytes) -> None:
    redactor = TextRedactor(Redaction())
    redacted = [redactor.feed(data[start : start + PIECE]) for start in range(0, len(data), PIECE)]
    assert len(b"".join((*redacted, redactor.close()))) <= 2 * len(data) + 100
    _body(text.Parser(), data)


def _proto(data: bytes) -> None:
    _body(proto.Parser(size_limit=EXPANDED), data)
    redact.proto(data, Redaction(), EXPANDED)


def _process(data: bytes) -> None:
    parser = proto.Parser(size_limit=EXPANDED)
    parser.feed(data)
    assert isinstance(parser.process.start, str)


def _dump(data: bytes) -> None:
    parsed, identifier = dump.parse(data), Identifier()
    index = DumpIndex(parsed, identifier)
    for goroutines in index.by_stack.values():
        waiting(goroutines)
        stack = identifier.stack(goroutines[0].trace)
        starters(stack, goroutines, index.by_number.get, identifier.is_own)
    redact.dump(data, Redaction())


def _heap(data: bytes) -> None:
    parser, tally = heap.Parser(), HeapTally(["google.golang.org/grpc"], Identifier().is_own)
    for start in range(0, len(data), PIECE):
        tally.add(parser.feed(data[start : start + PIECE]))
    parser.close()
    tally.parts({"google.golang.org/grpc": 1})


def _saved(data: bytes) -> None:
    file = reader.read(data)
    for index, profile in enumerate(file.profiles[:3]):
        assert json.dumps(document(file, index, GroupBy.SITE))
        for output in ("folded", "pprof"):
            if not profile.is_difference:
                render(profile, GroupBy.SITE, output, 0)


def _metrics(data: bytes) -> None:
    parser = GoMetricsParser()
    for start in range(0, len(data), PIECE):
        parser.feed(data[start : start + PIECE])
    parser.close()


def _symbol(data: bytes) -> None:
    names = symbols.parse(data)
    assert symbols.parse(symbols.encode(names)) == names


def _response(data: bytes) -> None:
    bodies = []
    for size in (len(data) or 1, PIECE, 1):
        response = Response()
        with contextlib.suppress(httpx.RemoteProtocolError):
            for start in range(0, len(data), size):
                response.feed(data[start : start + size])
            response.feed_eof()
        assert response.is_complete or not response.keeps_alive
        bodies.append((response.status, response.headers, response.take()) if response.is_complete else None)
    assert len(data) > HEAD_LIMIT or bodies[1:] == bodies[:-1]


def _file_sd(data: bytes) -> None:
    with TemporaryDirectory(dir=_memory()) as folder:
        path = Path(folder) / "targets.yml"
        path.write_bytes(data)
        file_sd.read_groups(path, GROUPS)


def _csv(data: bytes) -> None:
    with TemporaryDirectory(dir=_memory()) as folder:
        path = Path(folder) / "counts.csv"
        path.write_bytes(data)
        list(CsvRecording(path, Identifier(), lambda _: None).observations())


def _codeowners(data: bytes) -> None:
    owners = codeowners.parse(data.decode("utf-8", "replace"), "CODEOWNERS")
    for path in ("main.go", "a/b/c/d.go", "/build/src/a/b.go", "a" * 500, "a/" * 200):
        owners.owner(path)
        owners.guess(path)


def _config(data: bytes) -> None:
    config.parse(data.decode("utf-8", "replace"), "leakwatch.yml", TESTS / "configs")


def _web(data: bytes) -> None:
    parse_settings(data.decode("utf-8", "replace"), "web.yml", TESTS / "web_configs", WebSettings)


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  the folder of the file is a temporary one


TARGETS: Final[dict[str, tuple[Target, str]]] = {
    "text": (_text, "profiles/*/goroutine*.debug1.txt"),
    "proto": (_proto, "profiles/*/goroutine*.debug0.pb.gz"),
    "process": (_process, "profiles/*/goroutine.debug0.pb.gz"),
    "dump": (_dump, "profiles/*/*.debug2.txt"),
    "heap": (_heap, "profiles/callers/heap.debug1.txt"),
    "saved": (_saved, "profiles/*/goroutine*"),
    "symbol": (_symbol, "profiles/*/symbol.txt"),
    "metrics": (_metrics, ""),
    "response": (_response, ""),
    "file_sd": (_file_sd, ""),
    "http_sd": (lambda data: http_sd.parse(data, "http://sd.example/"), ""),
    "config": (_config, "configs/*.yml"),
    "web": (_web, "web_configs/*.yml"),
    "codeowners": (_codeowners, ""),
    "csv": (_csv, ""),
}
"""Name -> the parser, and the files below tests/ with which fuzzing begins, besides its corpus."""


def corpus(name: str) -> list[Path]:
    """Return the stored inputs of a target: short examples, and inputs that once failed."""
    return sorted((Path(__file__).parent / "corpus" / name).iterdir())


def seeds(name: str) -> Iterator[Path]:
    """Yield the files with which the fuzzing of a target begins."""
    yield from corpus(name)
    if TARGETS[name][1]:
        yield from sorted(TESTS.glob(TARGETS[name][1]))


def check(name: str, data: bytes) -> None:
    """Parse `data`; raise AssertionError if that takes too long, and any error that is not leakwatch's own."""
    begin = time.thread_time()
    _parse(name, data)
    taken, limit = time.thread_time() - begin, CPU_BASE + CPU_PER_BYTE * len(data)
    assert taken < limit, f"{len(data)} bytes took {taken:.1f} s of CPU, the limit is {limit:.1f} s"


def check_memory(name: str, data: bytes) -> None:
    """Parse `data`; raise AssertionError if that takes too much memory."""
    tracemalloc.start()
    try:
        _parse(name, data)
        peak, limit = tracemalloc.get_traced_memory()[1], MEMORY_BASE + MEMORY_PER_BYTE * len(data)
    finally:
        tracemalloc.stop()
    assert peak < limit, f"{len(data)} bytes took {peak} bytes of memory, the limit is {limit}"


def _parse(name: str, data: bytes) -> None:
    message = ""
    try:
        TARGETS[name][0](data)
    except LeakwatchError as error:
        message = str(error)
    assert len(message) < MAX_MESSAGE, "the message is too long"
