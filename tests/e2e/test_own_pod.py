"""`leakwatch run` without a target, in a network namespace that it shares with a Go service, as in a pod."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import wait_for

SCRIPT = """
ip link set lo up
"{python}" -m leakwatch run 2> "{folder}/log" &
sleep 1
"{python}" -m http.server --bind 127.0.0.1 8080 > /dev/null 2>&1 &
"{programs}/healthy" -listen 127.0.0.1:6060 > /dev/null &
wait
"""


@pytest.fixture
def log(programs: Path, tmp_path: Path) -> Iterator[Path]:
    """Start leakwatch, then a service without pprof and one with pprof; return the log of leakwatch."""
    script = SCRIPT.format(python=sys.executable, folder=tmp_path, programs=programs)
    environment = {**os.environ, "LEAKWATCH_STORAGE_PATH": ""}
    namespace = ["unshare", "--map-root-user", "--net", "sh", "-c", script]
    pod = subprocess.Popen(namespace, cwd=Path(__file__).parents[2], env=environment, start_new_session=True)
    yield tmp_path / "log"
    os.killpg(pod.pid, signal.SIGTERM)
    pod.wait()


def events(log: Path) -> list[dict[str, object]]:
    """Return the complete events of a log."""
    text = log.read_text() if log.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def test_the_service_of_a_pod_is_watched(log: Path) -> None:
    """The sidecar waits for the service, probes each port once, logs this, and scrapes the service with pprof."""
    wait_for(lambda: any(event["event"] == "target is up" for event in events(log)), show=lambda: events(log))
    probed = [event for event in events(log) if event["event"] == "address probed"]
    findings = {str(event["address"]): event["found"] for event in probed}
    assert len(findings) == len(probed)
    assert findings["127.0.0.1:6060"] == "pprof"
    assert set(findings) <= {"127.0.0.1:6060", "127.0.0.1:8080"}
    (up,) = [event for event in events(log) if event["event"] == "target is up"]
    assert up["service"] == "127.0.0.1:6060"
