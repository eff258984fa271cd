"""The examples in docs/ci.md are valid for GitHub's schema, Kubernetes, Prometheus and the command line.

There is no schema here for the resources of Argo Rollouts: of its templates the job and the query are tried.
"""

import copy
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
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
from tests.support.waiting import HANG, wait_for

PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text()
WORKFLOW, STEPS, GITLAB, BY_JOB, AGAINST, BY_PROMETHEUS = map(
    yaml.safe_load, re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
)
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
RECORDED = Path(__file__).parents[1] / "profiles"
LEAKWATCH = [sys.executable, "-m", "leakwatch"]


def schema(name: str) -> jsonschema.Draft7Validator:
    """Return the validator of a schema of check-jsonschema."""
    text = (files("check_jsonschema") / f"builtin_schemas/vendor/{name}.json").read_text()
    return jsonschema.Draft7Validator(json.loads(text))


@pytest.mark.parametrize("extra", [[], STEPS], ids=["binary", "cluster"])
def test_the_workflow_is_one(extra: list[dict[str, Any]]) -> None:
    """GitHub's own schema accepts the workflow, also with the steps for a cluster, and rejects a misspelt step."""
    # YAML 1.1 reads the key `on` as true.
    document = {("on" if key is True else key): value for key, value in copy.deepcopy(WORKFLOW).items()}
    document["jobs"]["leaks"]["steps"] += extra
    validator = schema("github-workflows")
    validator.validate(document)
    document["jobs"]["leaks"]["steps"][-1] = {"usse": "x"}
    assert not validator.is_valid(document)


def test_the_gitlab_job_is_one() -> None:
    """GitLab's own schema accepts the job, and rejects a misspelt key."""
    validator = schema("gitlab-ci")
    validator.validate(GITLAB)
    (job,) = GITLAB.values()
    assert not validator.is_valid({"job": {**job, "skript": []}})


@pytest.mark.parametrize("steps", [WORKFLOW["jobs"]["leaks"]["steps"], STEPS], ids=["binary", "cluster"])
def test_its_check_runs(steps: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of the step runs: if nothing listens, it prints an annotation and exits with 2."""
    monkeypatch.chdir(tmp_path)
    (command,) = [step["run"] for step in steps if "leakwatch check" in step.get("run", "")]
    done = check(re.sub(r":\d{4}$", f":{free_port()}", word) for word in shlex.split(command)[1:])
    assert done.stdout.startswith("::error title=not judged%3A shop (127.0.0.1%3A")
    kept = [step["with"]["path"].split() for step in steps if "upload-artifact" in step.get("uses", "")]
    assert {"leaks.xml", "leaks.json"} <= set(kept[0])
    assert {"leaks.xml", "leaks.json"} == {path.name for path in tmp_path.iterdir()}


SHOP = """package main

import (
	"flag"
	"net/http"
	_ "net/http/pprof"
)

func audit() { select {} }

func main() {
	listen := flag.String("listen", "", "")
	flag.Parse()
	http.HandleFunc("/metrics", func(http.ResponseWriter, *http.Request) { go audit() })
	panic(http.ListenAndServe(*listen, nil))
}
"""
"""A program that leaks a goroutine per request of its metrics."""


@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_a_recipe_finds_a_leak(system: str, tmp_path: Path) -> None:
    """The commands of a recipe build, start, load and check a program, fail at its leak, and write the reports."""
    (tmp_path / "cmd" / "shop").mkdir(parents=True)
    (tmp_path / "cmd" / "shop" / "main.go").write_text(SHOP)
    (tmp_path / "go.mod").write_text("module example.com/shop\n\ngo 1.21\n")
    if system == "github":
        steps = [step.get("run", "") for step in WORKFLOW["jobs"]["leaks"]["steps"]]
        commands = [command for command in steps if "pip install" not in command]
    else:
        (job,) = GITLAB.values()
        commands = job["script"]
    script = "\n".join(commands).replace("127.0.0.1:8080", f"127.0.0.1:{free_port()}")
    options = "--interval 800ms --cost-limit 1 --full-dump-limit 100000"  # on a fast machine 1,000 goroutines leak
    script = script.replace("leakwatch check", f"{sys.executable} -m leakwatch check {options}")
    environment = {**os.environ, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"), "GOTOOLCHAIN": "local"}
    with (tmp_path / "out").open("w") as out:
        shell = subprocess.Popen(
            ["/bin/bash", "-e", "-c", script.replace("--for 2m", "--for 96s")],
            cwd=tmp_path,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = shell.wait(timeout=HANG)
        finally:
            os.killpg(shell.pid, signal.SIGKILL)  # the service and its load
    printed = (tmp_path / "out").read_text()
    assert status == 1, printed
    assert '<failure message="leaking: main.audit: ' in (tmp_path / "leaks.xml").read_text()
    (leak,) = json.loads((tmp_path / "leaks.json").read_text())["leaks"]
    assert "creators" in leak, leak
    assert leak["creators"][0]["function"] == "main.main.func1"
    if system == "github":
        assert "::error file=cmd/shop/main.go,line=9,title=goroutine leak in main.audit::" in printed
        assert "#### main.audit at " in (tmp_path / "summary.md").read_text()
    else:
        assert "LEAKING  main.audit" in printed


def test_its_leakwatch_is_there() -> None:
    """The step installs a folder that an earlier step checked out, since no package index has leakwatch."""
    steps = WORKFLOW["jobs"]["leaks"]["steps"]
    (at,) = [at for at, step in enumerate(steps) if "pip install" in step.get("run", "")]
    folders = [step["with"]["path"] for step in steps[:at] if "path" in step.get("with", {})]
    assert steps[at]["run"] == f"pip install ./{folders[-1]}"


def check(words: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """Run a check of an address at which nothing listens."""
    done = subprocess.run([*LEAKWATCH, *words, "--timeout", "300ms"], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "not judged" in done.stdout, done.stderr
    return done


@pytest.mark.parametrize("template", [BY_JOB, AGAINST], ids=["alone", "against"])
def test_the_job_is_one(template: dict[str, Any]) -> None:
    """Kubernetes accepts the job of a template, and leakwatch accepts its arguments."""
    (metric,) = template["spec"]["metrics"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, **metric["provider"]["job"]}
    assert kubernetes_validate.validate(job, "1.29", strict=True) == "1.29"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    check([filled(word, template, "127.0.0.1", "127.0.0.2") for word in container["args"]])


def filled(text: str, template: dict[str, Any], *values: str) -> str:
    """Return `text` with the arguments of a template."""
    for argument, value in zip(template["spec"]["args"], values, strict=False):
        text = text.replace(f"{{{{args.{argument['name']}}}}}", value)
    return text


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
    assert 'verdict=~"leaking|proven"' in query


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
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
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
    done = subprocess.run([*LEAKWATCH, *words, "--timeout", "300ms"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    on_a_busy_machine = ("no connection within", "no complete response within")
    assert any(error in done.stderr for error in ("Connection refused", *on_a_busy_machine))


def test_every_command_is_one_of_those() -> None:
    """No line of the page is left unchecked."""
    assert {tuple(line.split()[:2]) for line in SHELL} == {
        ("leakwatch", name) for name in ("check", "diff", "scrape")
    }
