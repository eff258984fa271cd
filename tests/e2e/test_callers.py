"""Callers of a real leak in a library: a handler that opens a gRPC connection per request."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from leakwatch.cli.scrape_session import ScrapeSession, SessionSettings
from leakwatch.leaks.callers import is_clear
from leakwatch.leaks.model import Caller
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.profile.redact import Redaction
from leakwatch.scrape.probes.config import ProbeSettings
from tests.support.running import Programs

GO = Path(__file__).parents[1] / "go"
STOCK = "main.(*supplier).Stock"
BLOCK = 1.0  # seconds
GODEBUG = "tracebackancestors=10,memprofilerate=512"
"""With the default rate, the first heap profile of a young leak has no sample of it."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the program, with ancestors and an exact heap profile; return its URL."""
    folder = tmp_path_factory.mktemp("callers")
    subprocess.run(["go", "build", "-o", f"{folder}/", "./w6handler"], check=True, cwd=GO)
    with pytest.MonkeyPatch.context() as patch, Programs(folder) as start:
        patch.setenv("GODEBUG", GODEBUG)
        yield start("w6handler", "-rate", "50")


def test_the_function_that_opens_the_connections(url: str) -> None:
    """Ancestors and heap profile name the own function, and the labels its endpoint, once each has a result."""
    session = ScrapeSession(
        [url],
        DetectionSettings(block=BLOCK, redaction=Redaction(labels=None)),
        SessionSettings(
            interval=BLOCK / 5, timeout=60.0, cost_limit=1.0, probes=ProbeSettings(full_dump_goroutines=100_000)
        ),
    )

    def callers() -> tuple[Caller, ...]:
        return next((leak.callers for leak in session.pipeline.open_leaks() if leak.callers), ())

    def is_over(_: object) -> bool:
        (state,) = session.pipeline.targets.values()
        dump = state.probe_results.full_dump
        return bool(state.probe_results.heap and dump and dump.starters and state.labels and callers())

    asyncio.run(asyncio.wait_for(session.run(is_over), 300))
    assert callers()[0].way == "ancestors"
    assert callers()[0].certainty == "certain"
    assert {caller.function.function for caller in callers() if caller.function} == {STOCK}
    assert [(each.label, each.value) for each in callers() if each.way == "labels"] == [
        ("trace endpoint", "/stock")
    ]
    (state,) = session.pipeline.targets.values()
    profile = state.probe_results.heap["google.golang.org/grpc"]
    assert [caller.function.function for caller in profile.callers] == [STOCK]
    assert is_clear(profile)
    assert state.probe_results.unavailable.keys() <= {"metrics", "proof"}
