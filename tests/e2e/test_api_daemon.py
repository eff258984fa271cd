"""The API of a real daemon: a real leak appears in it, behind passwords, TLS and a prefix, and news of it come."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.certificates import client, everything, hashed
from tests.support.running import FAST, Daemon, Programs
from tests.support.waiting import HANG, wait_for

Run = Callable[..., Daemon]

CONFIG = f"{FAST}scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['ADDRESS']}}]}}]\n"


def ask(daemon: Daemon, path: str) -> Any:
    """Return the parsed response of the API to a request for `path`."""
    response = daemon.get(f"/api/v1/{path}")
    assert response.status_code == 200, response.text
    return response.json()


def test_a_real_leak(leakwatch: Run, start: Programs, tmp_path: Path) -> None:
    """It is listed with all that leads further; its commands work as they stand; the profile is a flame graph."""
    url = start("w5pipeline")
    (tmp_path / "leakwatch.yml").write_text(CONFIG.replace("ADDRESS", url.removeprefix("http://")))
    daemon = leakwatch("--config", tmp_path / "leakwatch.yml")
    assert ask(daemon, "services")["waiting"]
    news = httpx.Client(trust_env=False, timeout=HANG)
    with news.stream("GET", f"{daemon.url}/api/v1/events") as stream:
        told = next(line for line in stream.iter_lines() if line == "event: changed")
    news.close()
    assert told
    found = wait_for(lambda: ask(daemon, "leaks?verdict=leaking")["leaks"])
    leak = ask(daemon, f"leaks/{found[0]['id']}")
    assert leak["service"] == "shop"
    assert leak["frames"][-1]["function"].startswith("main.")
    series = ask(daemon, f"leaks/{leak['id']}/series")
    assert series["recent"]["mean"][-1] >= leak["goroutines"]
    assert series["fit"]["per_hour"]["value"] > 0
    target = ask(daemon, "targets?service=shop")["targets"][0]
    root = ask(daemon, f"targets/{target['id']}/flame")["root"]
    assert root["value"] >= leak["goroutines"]
    stack, pprof, sites = leak["commands"]
    for command in (stack, sites):
        shown = subprocess.run(command["command"], shell=True, capture_output=True, text=True, check=True)  # noqa: S602  as a reader would
        assert leak["function"].rpartition(".")[2] in shown.stdout
    assert "go tool pprof" in pprof["command"]
    status = ask(daemon, "status")
    assert (status["targets_up"], status["jobs"][0]["kept"], status["ready"]) == (1, 1, "")
    assert status["usage"]["memory_bytes"] > 10_000_000
    assert status["uptime_seconds"] > 0


def test_who_may_ask(leakwatch: Run, tmp_path: Path) -> None:
    """TLS, passwords and the prefix hold for the API as for all pages; a response of 401 has no other content."""
    ca = everything(tmp_path)
    (tmp_path / "web.yml").write_text(
        "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
        f"basic_auth_users:\n  me: {hashed('right')}\n"
    )
    options = ("--web.config.file", tmp_path / "web.yml", "--web.route-prefix", "/leak/watch")
    daemon = leakwatch("--target", "http://127.0.0.1:1", *options)
    with httpx.Client(verify=client(ca), trust_env=False, timeout=20) as http:
        for path in ("/api/v1/leaks", "/api/v1/status", "/api/v1/events", "/api/nothing", "/api/v1/openapi.json"):
            refused = http.get(daemon.url + path)
            assert (refused.status_code, refused.text) == (401, "unauthorized.\n")
        http.auth = ("me", "right")
        status = http.get(f"{daemon.url}/api/v1/status")
        assert status.json()["access"] == "TLS from TLS12, 1 user"
        assert status.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in status.headers["content-security-policy"]
        assert http.get(f"{daemon.url}/api/nothing").headers["content-type"] == "application/problem+json"
        assert http.get(daemon.url.removesuffix("/leak/watch") + "/api/v1/status").status_code == 404
        assert http.post(f"{daemon.url}/api/v1/status").headers["allow"] == "GET"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_listens_does_not_hold_up_the_end(number: int, leakwatch: Run) -> None:
    """A daemon with listeners ends cleanly: it ends their streams, and cancels no task."""
    daemon = leakwatch("--target", "http://127.0.0.1:1")
    with (
        httpx.Client(trust_env=False, timeout=HANG) as http,
        http.stream("GET", f"{daemon.url}/api/v1/events") as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines) == "retry: 2000"
        daemon.popen.send_signal(number)
        rest = [line for line in lines if line.startswith("data")]
        assert daemon.popen.wait(HANG) == 0
    assert all(json.loads(line.removeprefix("data: ")) for line in rest)
    assert not [said for said in daemon.said if "Traceback" in said or "ancel" in said]
