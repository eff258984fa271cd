"""Fixtures for Go programs and for running leakwatch processes, and the profile of hypothesis."""

import gc
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from tests.support.containers import build
from tests.support.running import Daemon, Programs
from tests.support.sharing import built_once

settings.register_profile("any machine", deadline=None)  # the duration of an example depends on the machine
settings.load_profile("any machine")

GO = Path(__file__).parent / "go"


def go_build(folder: Path, *arguments: str) -> None:
    """Build programs of tests/go."""
    subprocess.run(["go", "build", "-o", f"{folder}/", *arguments], check=True, cwd=GO)


def pytest_collection_finish() -> None:
    """Exclude all objects of the imported modules from garbage collections, which take 5 % of the tests' time."""
    gc.freeze()


@pytest.fixture(autouse=True)
def default_logging() -> Iterator[None]:
    """Restore the defaults of structlog after a test, because commands set the log level of the whole process."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the programs of tests/go; a machine without Go fails here, loudly."""
    return built_once(tmp_path_factory, "programs", lambda folder: go_build(folder, "./..."))


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Build the container image once."""
    built_once(tmp_path_factory, "image", lambda _: build())


@pytest.fixture
def start(programs: Path) -> Iterator[Programs]:
    """Return a function that starts a Go program by name, with flags. The programs end with the test."""
    with Programs(programs) as start:
        yield start


@pytest.fixture
def leakwatch() -> Iterator[Callable[..., Daemon]]:
    """Return a function that starts `leakwatch run` with arguments, on a free port. Daemons end with the test."""
    daemons: list[Daemon] = []

    def run(*arguments: str | Path) -> Daemon:
        daemon = Daemon(*arguments)
        daemons.append(daemon)
        return daemon

    yield run
    for daemon in daemons:
        daemon.stop()
