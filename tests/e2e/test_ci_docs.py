"""The examples in docs/ci.md are valid for GitHub's schema, Kubernetes, Prometheus and the command line.

There is no schema here for the resources of Argo Rollouts: of its templates the job and the query are tried.
"""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.support.prometheus import prometheus
from tests.support.running import FAST, Daemon, Programs, free_port
from tests.support.waiting import wait_for

PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text()
WORKFLOW, BY_JOB, BY_PROMETHEUS = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
RECORDED = Path(__file__).parents[1] / "profiles"
LEAKWATCH = [sys.executable, "-m", "leakwatch"]


def test_the_workflow_is_one() -> None:
    """GitHub's own schema accepts the workflow, and rejects a misspelt step."""
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/github-workflows.json").read_text())
    # YAML 1.1 reads the key `on` as true.
    document = {("on" if key is True else key): value for key, value in WORKFLOW.items()}
    validator = jsonschema.Draft7Validator(schema)
    validator.validate(document)
    document["jobs"]["leaks"]["steps"][0]["usse"] = "x"
    assert not validator.is_valid(document)


def test_its_check_runs() -> None:
    """The command of the step runs: if nothing listens, it prints an annotation and exits with 2."""
    commands = [step.get("run", "") for step in WORKFLOW["jobs"]["leaks"]["steps"]]
    (command,) = [command for command in commands if "leakwatch check" in command]
    done = check(shlex.split(command)[1:])
    assert done.stdout.startswith("::error title=not judged%3A shop (127.0.0.1%3A6060)::no scrape succeeded")


def test_its_leakwatch_is_there() -> None:
    """The step installs a folder that an earlier step checked out, since no package index has leakwatch."""
    steps = WORKFLOW["jobs"]["leaks"]["steps"]
    (at,) = [at for at, step in enumerate(steps) if "pip install" in step.get("run", "")]
    folders = [step["with"]["path"] for step in steps[:at] if "path" in step.get("with", {})]
    assert steps[at]["run"] == f"pip install ./{folders[-1]}"


def check(words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a check of an address at which nothing listens."""
    done = subprocess.run([*LEAKWATCH, *words, "--timeout", "300ms"], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "not judged" in done.stdout, done.stderr
    return done


def test_the_job_is_one() -> None:
    """Kubernetes accepts the job of the template, and leakwatch accepts its arguments."""
    (metric,) = BY_JOB["spec"]["metrics"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, **metric["provider"]["job"]}
    assert kubernetes_validate.validate(job, "1.29", strict=True) == "1.29"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    check([filled(word, BY_JOB, "127.0.0.1") for word in container["args"]])


def filled(text: str, template: dict[str, Any], value: str) -> str:
    """Return `text` with the only argument of a template."""
    (argument,) = template["spec"]["args"]
    return text.replace(f"{{{{args.{argument['name']}}}}}", value)


def test_the_query_returns_the_leak(start: Programs, tmp_path: Path, leakwatch: Callable[..., Daemon]) -> None:
    """The query returns the number of leaking stacks: 0 for a healthy service, nothing for an unknown one."""
    (metric,) = BY_PROMETHEUS["spec"]["metrics"]
    query = metric["provider"]["prometheus"]["query"]
    config = tmp_path / "leakwatch.yml"
    config.write_text(FAST)
    shop, calm = start("w5pipeline"), start("healthy")
    daemon = leakwatch("--config", config, "--target", f"shop={shop}", "--target", f"calm={calm}")

    def result(service: str) -> list[float]:
        answer = client.get("/api/v1/query", params={"query": filled(query, BY_PROMETHEUS, service)}).json()
        return [float(one["value"][1]) for one in answer["data"]["result"]]

    with prometheus(tmp_path, free_port(), daemon.url) as client:
        wait_for(lambda: ready(client))
        wait_for(lambda: result("shop") == [1.0], show=lambda: result("shop"))
        assert result("calm") == [0.0]
        assert result("unknown") == []
    assert metric["successCondition"] == "result[0] == 0"


def ready(client: httpx.Client) -> bool:
    """Return whether Prometheus is ready."""
    try:
        return client.get("/-/ready").is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("leakwatch check")])
def test_checks_of_the_page(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check of the page is a valid command line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "leakwatch.yml").write_text("ignore: [{function: main.known}]")
    words = [re.sub(r":60\d\d$", f":{free_port()}", word) for word in shlex.split(line)[1:]]
    check(words)


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("leakwatch diff")])
def test_differences_of_the_page(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every difference of the page is printed, of two recorded profiles."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "profiles").mkdir()
    for version, names in (("1.26", ("old.txt", "profiles/1.txt")), ("1.27", ("new.txt", "profiles/2.txt"))):
        for name in names:
            (tmp_path / name).write_bytes((RECORDED / version / "goroutine.debug1.txt").read_bytes())
    (tmp_path / "old.pb.gz").write_bytes((RECORDED / "1.26" / "goroutine.debug0.pb.gz").read_bytes())
    done = subprocess.run([*LEAKWATCH, *shlex.split(line)[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "total " in done.stdout or ";main." in done.stdout


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("leakwatch scrape")])
def test_looks_of_the_page(line: str) -> None:
    """Every live table of the page is a command line that is understood."""
    words = [re.sub(r":6060$", f":{free_port()}", word) for word in shlex.split(line)[1:]]
    done = subprocess.run([*LEAKWATCH, *words, "--timeout", "0.3"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Connection refused" in done.stderr or "no connection within" in done.stderr  # on a busy machine


def test_every_command_is_one_of_those() -> None:
    """No line of the page is left unchecked."""
    assert {tuple(line.split()[:2]) for line in SHELL} == {
        ("leakwatch", name) for name in ("check", "diff", "scrape")
    }
