"""Evidence survives: a real service leaks, is killed, and what it was blocked in can be read from what is left."""

import gzip
import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from leakwatch.cli.main import app
from tests.support.running import FAST, Daemon, Programs
from tests.support.waiting import wait_for

Run = Callable[..., Daemon]
LEAK = "main.FilterService"


def kept(folder: Path, kind: str) -> list[Path]:
    """Return the JSON files of the bodies that are kept for this reason, the oldest first."""
    files = sorted(folder.glob("*/*/*.json"))
    return [file for file in files if kind in json.loads(file.read_text())["kinds"]]


def beside(file: Path) -> Path:
    """Return the body that a JSON file is about."""
    (found,) = (one for one in file.parent.iterdir() if re.fullmatch(file.stem + r"\.(txt|pb)\.gz", one.name))
    return found


def scraped(body: Path) -> dict[tuple[str, str], Any]:
    """Return function, wait reason -> goroutines, as `leakwatch scrape` prints them for a body."""
    result = CliRunner().invoke(app, ["scrape", str(body), "--format", "json"])
    assert result.exit_code == 0, result.output
    stacks = [stack for group in json.loads(result.stdout)["groups"] for stack in group["stacks"]]
    return {(stack["function"], stack["wait"]): stack["goroutines"] for stack in stacks}


def killed(start: Programs, url: str) -> None:
    """Kill the program that serves `url` as the kernel does when memory is short."""
    process, *_ = start._running.pop(url)
    process.popen.kill()
    process.stop()


def configured(folder: Path, url: str, form: str) -> Path:
    """Write a configuration that keeps evidence of the one service at `url` in folder/evidence."""
    path = folder / "leakwatch.yml"
    path.write_text(
        f"{FAST}evidence: {{path: evidence}}\nscrape_configs:\n  - job_name: team/pipeline\n"
        f"    profile_format: {form}\n    static_configs: [{{targets: ['{url.removeprefix('http://')}']}}]\n"
    )
    return path


@pytest.mark.parametrize("form", ["text", "proto"])
def test_the_evidence_survives_the_kill(start: Programs, leakwatch: Run, tmp_path: Path, form: str) -> None:
    """The last body of a killed service is on disk with its name and target, also after leakwatch was killed."""
    url = start("w5pipeline")
    daemon = leakwatch("--config", configured(tmp_path, url, form))
    folder = tmp_path / "evidence"
    wait_for(lambda: daemon.leaks().get(LEAK, 0))
    wait_for(lambda: kept(folder, "leaking"))
    wait_for(lambda: [*folder.glob("*/*/*.dump.gz")])
    before = daemon.leaks()[LEAK]
    killed(start, url)
    wait_for(lambda: ({"service": "team/pipeline", "target": url[7:]}, 0.0) in daemon.series("leakwatch_up"))

    def written() -> bool:  # the last one before the end, not that of the last minute
        return bool(scraped(beside(kept(folder, "last")[-1]))[LEAK, "chan send"] >= before)

    wait_for(written)
    daemon.popen.send_signal(signal.SIGKILL)
    daemon.stop()

    last = kept(folder, "last")
    assert len(last) == 1
    count = scraped(beside(last[0]))[LEAK, "chan send"]
    record = json.loads(last[0].read_text())
    assert (record["service"], record["target"]) == ("team/pipeline", url[7:])
    assert record["start"].startswith("0x")
    (leak,) = (leak for leak in record["leaks"] if leak["function"] == LEAK)
    assert leak["goroutines"] == count >= before > 10
    (dumped,) = folder.glob("*/*/*.dump.gz")
    assert re.search(rf"^{LEAK}\(\.\.\.\)$", gzip.decompress(dumped.read_bytes()).decode(), re.MULTILINE)

    result = CliRunner().invoke(app, ["analyze", str(folder), "--format", "json"])
    (target,) = json.loads(result.stdout)["targets"]
    assert (target["service"], target["target"]) == ("team/pipeline", url[7:])
    assert target["profiles"] == len([*folder.glob("*/*/*.txt.gz"), *folder.glob("*/*/*.pb.gz")])
    assert "left out" not in result.stderr

    again = leakwatch("--config", tmp_path / "leakwatch.yml")
    assert again.series("leakwatch_evidence_bodies") == [({}, float(len(list(folder.glob("*/*/*.json")))))]


def test_a_restart_leaves_the_last_body_of_each_process(start: Programs, leakwatch: Run, tmp_path: Path) -> None:
    """Each process that ends leaves its last body; the page of evidence lists them, and pprof opens them."""
    url = start("w5pipeline")
    daemon = leakwatch("--config", configured(tmp_path, url, "text"))
    wait_for(lambda: daemon.leaks().get(LEAK, 0))
    for restarts in (1, 2):
        wait_for(lambda: kept(tmp_path / "evidence", "last"))
        start.restart(url)
        wait_for(
            lambda count=restarts: daemon.series("leakwatch_process_restarts_total")[0][1] == count  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        )
    listed = wait_for(
        lambda: [
            one
            for one in daemon.get("/api/v1/profiles?kind=last").json()["profiles"]
            if one["start"] and one["goroutines"] > 40
        ]
    )
    one = listed[-1]
    plain, converted = (daemon.get(f"/api/v1/profiles/{one['id']}{query}") for query in ("", "?format=pprof"))
    assert plain.headers["content-type"] == "application/gzip"
    assert len(plain.content) == one["bytes"]
    body = tmp_path / "body.pb.gz"
    body.write_bytes(converted.content)
    top = subprocess.run(["go", "tool", "pprof", "-top", body], check=True, capture_output=True, text=True).stdout
    plain_body = tmp_path / "body.txt.gz"
    plain_body.write_bytes(plain.content)
    assert f"of {one['goroutines']} total" in top
    held = sum(count for (function, _), count in scraped(plain_body).items() if function == LEAK)
    assert held > 10
    assert re.search(rf" {held} +\d\S*% +{re.escape(LEAK)}\n", top), top
    assert scraped(body)[LEAK, "chan send"] == held - scraped(body).get((LEAK, "sleep"), 0)


def test_a_healthy_service_leaves_nothing(start: Programs, leakwatch: Run, tmp_path: Path) -> None:
    """Of a service that does not leak nothing is kept."""
    url = start("healthy")
    daemon = leakwatch("--config", configured(tmp_path, url, "text"))
    wait_for(lambda: daemon.series("leakwatch_scrapes_total")[0][1] > 20)
    assert list((tmp_path / "evidence").iterdir()) == []
    assert daemon.series("leakwatch_evidence_bodies") == [({}, 0.0)]
