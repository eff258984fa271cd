"""Closer looks at real programs: what Go's runtime proves, and what a full dump tells, with a Go that can tell."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.running import FAST, Daemon, Programs
from tests.support.waiting import wait_for

pytestmark = pytest.mark.alone

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
    """Return service -> verdict and value of one metric of leaks."""
    return {labels["service"]: (labels["verdict"], n) for labels, n in daemon.series(f"leakwatch_leak_{name}")}


def test_what_the_runtime_proves(daemon: Daemon) -> None:
    """A send whose reader has gone is proven, with its count; one that a live process could still read is not."""
    wait_for(lambda: len(leaks(daemon, "proven_goroutines")) == 2)
    wait_for(lambda: {verdict for verdict, _ in leaks(daemon, "goroutines").values()} == {"proven", "leaking"})
    proven, goroutines = leaks(daemon, "proven_goroutines"), leaks(daemon, "goroutines")
    assert 0 < proven["w5pipeline"][1] <= goroutines["w5pipeline"][1]
    assert {service: verdict for service, (verdict, _) in proven.items()} == {
        "w5pipeline": "proven",
        "w2push": "leaking",  # the statistics server is slow, not gone
    }
    assert proven["w2push"][1] == 0
    said = {e["service"]: e["reason"] for e in daemon.events() if "before" in e}
    assert "; proven: the runtime reports that nothing can wake " in said["w5pipeline"]
    assert said["w2push"].endswith("; reachable: the runtime reports that they can still end")


def test_how_old_they_are(daemon: Daemon) -> None:
    """The counts prove how many are older than some age: no more than there were then."""

    def older() -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for labels, n in daemon.series("leakwatch_leak_older_goroutines"):
            found.setdefault(labels["service"], {})[labels["age"]] = n
        return found

    wait_for(lambda: all("12s" in ages for ages in older().values()) and older())
    total = leaks(daemon, "goroutines")
    for service, ages in older().items():
        assert 0 < ages["12s"] < ages["2s"] < total[service][1]
        assert ages["12s"] == pytest.approx(total[service][1] - 12 * 5, abs=30)  # 5 leak per second


def test_no_look_was_refused(daemon: Daemon) -> None:
    """Both looks were taken; these programs have no /metrics, and nothing else was refused."""
    failed = [e["probe"] for e in daemon.events() if e["event"] == "probe failed"]
    assert set(failed) <= {"metrics"}
