"""Probes of real programs: proofs of Go's runtime and full dumps, with a version of Go that has both."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leakwatch.settings.units import parse_duration
from tests.support.running import FAST, Daemon, Programs
from tests.support.waiting import wait_for

GO = Path(__file__).parents[1] / "go"
ROOT = Path(__file__).parents[2] / ".venv" / "go1.27" / "go"  # 1.27 is the first that has the profile as it is


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Start leaks that the runtime can prove and that it cannot, each with busy load in its process."""
    folder = tmp_path_factory.mktemp("programs127")
    named = ["w2push", "w5pipeline"]
    build = [str(ROOT / "bin" / "go"), "build", "-o", f"{folder}/", *(f"./{name}" for name in named)]
    subprocess.run(build, check=True, cwd=GO, env={**os.environ, "GOTOOLCHAIN": "local", "GOROOT": str(ROOT)})
    with Programs(folder) as start:
        jobs = [
            f"  - {{job_name: {name}, static_configs: [{{targets: [{start(name).removeprefix('http://')!r}]}}]}}\n"
            for name in named
        ]
        config = folder / "leakwatch.yml"
        config.write_text(f"{FAST}scrape_configs:\n{''.join(jobs)}")
        daemon = Daemon("--config", config)
        yield daemon
        daemon.stop()


def leaks(daemon: Daemon, name: str) -> dict[str, tuple[str, float]]:
    """Return service -> verdict and value of one metric of the leak in its package main."""
    return {
        labels["service"]: (labels["verdict"], n)
        for labels, n in daemon.leak_series(name)
        if labels["function"].startswith("main.")
    }


def test_what_the_runtime_proves(daemon: Daemon) -> None:
    """A send without a receiver is proven, with its count; a send that can still end is not proven."""
    expected = {"w5pipeline": "proven", "w2push": "leaking"}  # the receiver of w2push is slow, but exists

    def verdicts() -> dict[str, str]:
        return {service: verdict for service, (verdict, _) in leaks(daemon, "proven_goroutines").items()}

    wait_for(lambda: verdicts() == expected, show=verdicts)
    proven, goroutines = leaks(daemon, "proven_goroutines"), leaks(daemon, "goroutines")
    assert 0 < proven["w5pipeline"][1] <= goroutines["w5pipeline"][1]
    assert proven["w2push"][1] == 0

    def reasons(service: str, text: str) -> list[str]:
        changes = [e for e in daemon.events() if "before" in e and e["service"] == service]
        return [e["reason"] for e in changes if e["function"].startswith("main.") and text in e["reason"]]

    wait_for(lambda: reasons("w5pipeline", "; proven: the runtime reports that nothing can wake "))
    wait_for(lambda: reasons("w2push", "; reachable: the runtime reports that they can still end"))


def test_minimum_ages(daemon: Daemon) -> None:
    """The goroutines that are older than an age are at most all that the leak had at that time."""
    history: list[tuple[float, dict[str, tuple[str, float]]]] = []

    def older() -> dict[str, dict[float, float]]:
        history.append((time.monotonic(), leaks(daemon, "goroutines")))
        ages: dict[str, dict[float, float]] = {}
        for labels, n in daemon.series("leakwatch_leak_older_goroutines"):
            if labels["function"].startswith("main."):
                ages.setdefault(labels["service"], {})[parse_duration(labels["age"])] = n
        return ages

    wait_for(lambda: len(older()) == 2)
    age = min(max(ages) for ages in older().values())
    begin = time.monotonic()
    wait_for(lambda: older() and time.monotonic() > begin + age)
    for service, ages in older().items():
        now = time.monotonic()
        counts = [count for _, count in sorted(ages.items())]
        assert counts == sorted(counts, reverse=True)
        for seconds, count in ages.items():
            totals = [total[service][1] for at, total in history if at >= now - seconds]
            assert 0 < count <= totals[0]


def test_no_look_was_refused(daemon: Daemon) -> None:
    """Both looks were taken; these programs have no /metrics, and nothing else was refused."""
    failed = [e["probe"] for e in daemon.events() if e["event"] == "probe failed"]
    assert set(failed) <= {"metrics"}
