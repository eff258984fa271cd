"""docs/web.md: every snippet in it is run as it stands, but for ports, addresses and passwords."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml

from leakwatch.web.server.web_config_file import read
from tests.support.certificates import client, everything, hashed
from tests.support.running import Daemon, Process, free_port, get
from tests.support.waiting import wait_for

Run = Callable[..., Daemon]
TEXT = (Path(__file__).parents[2] / "docs" / "web.md").read_text()
FILES = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", TEXT, re.DOTALL))
LINES = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


def test_every_snippet_is_here() -> None:
    """A new snippet wants a test."""
    assert TEXT.count("```") == 2 * (len(FILES) + 3)
    assert FILES.keys() == {"web.yml", "prometheus.yml", "web-mutual.yml", "probe.yml"}
    assert [line.split()[:2] for line in LINES] == [
        ["leakwatch", "check-web-config"],
        ["leakwatch", "run"],
        ["python3", "-c"],
        ["leakwatch", "run"],
        ["leakwatch", "run"],
    ]


def test_a_hash_is_made_and_taken(tmp_path: Path) -> None:
    """The command of the page makes a hash that the web configuration takes."""
    command = [sys.executable, *shlex.split(LINES[2])[1:]]
    done = subprocess.run(command, input="secret\n", capture_output=True, text=True, check=True)
    made = done.stdout.rpartition(" ")[2].strip()
    (tmp_path / "web.yml").write_text(f"basic_auth_users: {{me: '{made}'}}\n")
    assert read(tmp_path / "web.yml").hashes == {b"me": made.encode()}


def test_prometheus_scrapes_over_tls_with_a_password(leakwatch: Run, tmp_path: Path) -> None:
    """A real Prometheus scrapes leakwatch, both configured by the examples of the page."""
    ca = everything(tmp_path)
    check = [sys.executable, "-m", *shlex.split(LINES[0])]
    web = re.sub(r"\$2b\$\S+", lambda _: hashed("secret"), FILES["web.yml"])
    for text in (FILES["web.yml"], web):
        (tmp_path / "web.yml").write_text(text)
        done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout == "web.yml: good: TLS from TLS12, 1 user\n"
    arguments = shlex.split(LINES[1])[2:]
    arguments[arguments.index("--listen") + 1] = "127.0.0.1:0"
    arguments[arguments.index("web.yml")] = str(tmp_path / "web.yml")
    daemon = leakwatch(*arguments)
    assert get(f"{daemon.url}/metrics", verify=client(ca)).status_code == 401

    port = daemon.url.rpartition(":")[2]
    text = FILES["prometheus.yml"].replace("9979", port)
    (tmp_path / "prometheus.yml").write_text(f"global: {{scrape_interval: 1s}}\n{text}")
    (tmp_path / "password").write_text("secret\n")
    own = free_port()
    process = Process(
        [
            "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{own}",
        ]
    )

    def scraped() -> bool:
        try:
            query = {
                "query": 'up{job="leakwatch"} == 1 and on(instance) leakwatch_web_config_last_reload_successful'
            }
            answer = get(f"http://127.0.0.1:{own}/api/v1/query", params=query)
            return bool(answer.json()["data"]["result"])
        except (httpx.HTTPError, ValueError):  # while it starts, the response is plain text
            return False

    try:
        wait_for(scraped, show=lambda: process.said[-5:])
    finally:
        process.stop()


def test_client_certificates(leakwatch: Run, tmp_path: Path) -> None:
    """The file for client certificates lets in the one that it names."""
    ca = everything(tmp_path)
    (tmp_path / "web.yml").write_text(FILES["web-mutual.yml"])
    daemon = leakwatch("--target", "http://127.0.0.1:1", "--web.config.file", tmp_path / "web.yml")
    own = client(ca, ca.issue_cert("prometheus.example.com"))
    assert get(f"{daemon.url}/-/healthy", verify=own).status_code == 200


def test_the_probe(leakwatch: Run, tmp_path: Path) -> None:
    """The request of the documented probe is accepted."""
    ca = everything(tmp_path)
    users = f"basic_auth_users: {{probe: '{hashed('probe-only')}'}}\n"
    (tmp_path / "web.yml").write_text(FILES["web.yml"].partition("basic_auth_users")[0] + users)
    daemon = leakwatch("--target", "http://127.0.0.1:1", "--web.config.file", tmp_path / "web.yml")
    probe = yaml.safe_load(FILES["probe.yml"])["livenessProbe"]["httpGet"]
    assert daemon.url.startswith(probe["scheme"].lower() + ":")
    headers = {header["name"]: header["value"] for header in probe["httpHeaders"]}
    answer = get(daemon.url + probe["path"], headers=headers, verify=client(ca))
    assert answer.status_code == 200


@pytest.mark.parametrize(("line", "prefix"), [(LINES[3], "/leakwatch"), (LINES[4], "")])
def test_under_a_path(line: str, prefix: str, leakwatch: Run) -> None:
    """Each of the two ways serves at its documented path."""
    daemon = leakwatch(*shlex.split(line)[2:])
    assert re.fullmatch(rf"http://127\.0\.0\.1:\d+{prefix}", daemon.url)
    assert daemon.get("/metrics").status_code == 200
