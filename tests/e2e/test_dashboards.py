"""Each query of each dashboard, run by a real Prometheus that scrapes a leakwatch that watches a real leak."""

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.dashboards import DASHBOARDS, panels
from tests.support.running import FAST, Daemon, Process, Programs, free_port
from tests.support.waiting import HANG, wait_for

ROOT = Path(__file__).parents[2]
QUERIES = {
    f"{title} {query['refId']}": (name, query) for name, title, panel in panels() for query in panel["targets"]
}
MARKS = {
    f"{name}: {mark['name']}": (name, mark["expr"])
    for name, dashboard in DASHBOARDS.items()
    for mark in dashboard["annotations"]["list"]
}
EMPTY = {
    "leakwatch: Discovery and delivery, Notifications A": "nothing is pushed: no `alerting` in the configuration",
    "leakwatch: Discovery and delivery, Notifications B": "the same",
}
"""Queries that rightly return nothing here, and why."""

TOLD = 'leak:leakwatch_leak_goroutines:max{verdict="leaking"}'
SECONDS = {"$__rate_interval": "8s", "$__interval": "1s", "$__range": "300s"}
CONFIG = """
scrape_configs:
  - job_name: pipeline
    memory_limit: 8GiB
    static_configs: [{{targets: [{targets}]}}]
  - job_name: healthy
    static_configs: [{{targets: ["{healthy}", "127.0.0.1:1"]}}]
owners: {{leakwatch.test/: team-pipeline, main: team-main, "": team-all}}
ignore: [{{function: nothing.at.all, reason: a rule to count}}]
"""
PROMETHEUS = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [recording.yml]
scrape_configs:
  - job_name: leakwatch
    honor_labels: true
    static_configs: [{{targets: ["{leakwatch}"]}}]
"""


@dataclass(frozen=True, slots=True)
class Watched:
    """A Prometheus with what a dashboard asks for. `began`: when it was started, on the wall clock."""

    client: httpx.Client
    began: float

    def get(self, path: str, **parameters: str | float) -> Any:
        """Ask its API; fails the test with what it answered."""
        answer = self.client.get(f"/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", (answer, parameters)
        return answer["data"]

    def values(self, variable: dict[str, Any], chosen: dict[str, str]) -> list[str]:
        """Return the values of a variable, as Grafana reads them."""
        query = filled(variable["query"], chosen)
        if match := re.fullmatch(r"label_values\((.*), (\w+)\)", query):
            return list(self.get(f"label/{match[2]}/values", **{"match[]": match[1]}))
        found = []
        for one in self.get("query", query=query.removeprefix("query_result(")[:-1])["result"]:
            # Labels in the order of the alphabet, as Prometheus sends them.
            text = "{" + ",".join(f'{key}="{value}"' for key, value in sorted(one["metric"].items())) + "}"
            shown = re.search(variable["regex"].strip("/").replace("(?<", "(?P<"), text)
            found.append(shown["value"] if shown else pytest.fail(f"{variable['regex']} does not fit {text}"))
        return found

    def chosen(self, name: str) -> dict[str, str]:
        """Return each variable of a dashboard with its first value, or with what All means."""
        chosen: dict[str, str] = {}
        for variable in DASHBOARDS[name]["templating"]["list"]:
            if variable["type"] == "query":
                values = self.values(variable, chosen)
                assert values, variable["name"]
                everything = variable.get("allValue") or "(" + "|".join(map(re.escape, values)) + ")"
                first = "pipeline" if "pipeline" in values else values[0]
                chosen["$" + variable["name"]] = everything if variable["includeAll"] else first
        return chosen


def filled(expr: str, chosen: dict[str, str]) -> str:
    """Return a query with its variables replaced, the longer names first."""
    for name, value in sorted((SECONDS | chosen).items(), reverse=True):
        expr = expr.replace(name, value)
    assert "$" not in expr
    return expr


@pytest.fixture(scope="module")
def watched(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Run services, leakwatch and Prometheus until a leak is reported and a process has restarted."""
    folder = tmp_path_factory.mktemp("grafana")
    rules = (ROOT / "deploy" / "prometheus" / "leakwatch.recording.yml").read_text()
    (folder / "recording.yml").write_text(rules.replace("interval: 1m", "interval: 1s"))
    port = free_port()
    with Programs(programs) as start:
        replicas = [start("w5pipeline", "-delay", "5s") for _ in range(2)]
        targets = ", ".join(f'"{url[7:]}"' for url in replicas)
        healthy = start("healthy", "-period", "90s").removeprefix("http://")
        (folder / "c.yml").write_text(FAST + CONFIG.format(targets=targets, healthy=healthy))
        daemon = Daemon("--config", folder / "c.yml")
        (folder / "prometheus.yml").write_text(PROMETHEUS.format(leakwatch=daemon.url.removeprefix("http://")))
        command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}"]
        command += [f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}"]
        began = time.time()
        process = Process(command)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=HANG) as client:
            found = Watched(client, began)

            def asked(query: str) -> bool:
                try:
                    return bool(found.get("query", query=query)["result"])
                except (httpx.HTTPError, ValueError):  # it does not answer yet, or is not ready
                    return False

            try:
                wait_for(lambda: asked(TOLD))
                start.restart(replicas[1])
                assert daemon.post("/-/reload").status_code == 200
                wait_for(lambda: asked("leakwatch_process_restarts_total > 0"))
                # Until plots have some points of both.
                wait_for(lambda: asked("increase(leakwatch_process_restarts_total[8s]) > 0"))
                wait_for(lambda: asked(f"count_over_time({TOLD}[1m]) > 5"))
                yield found
            finally:
                process.stop()
                daemon.stop()


def numbers(result: list[dict[str, Any]]) -> list[float]:
    """Return all numbers of an answer."""
    return [float(value) for one in result for _, value in one.get("values") or [one["value"]]]


@pytest.mark.parametrize("title", QUERIES)
def test_every_query_has_data(title: str, watched: Watched) -> None:
    """A panel's query is good PromQL, and returns numbers; those of EMPTY return nothing, and are still good."""
    name, query = QUERIES[title]
    expr = filled(query["expr"], watched.chosen(name))
    assert watched.get("format_query", query=expr)
    if query["instant"]:
        result = watched.get("query", query=expr)["result"]
    else:
        result = watched.get("query_range", query=expr, start=watched.began, end=time.time(), step=1)["result"]
    found = [number for number in numbers(result) if math.isfinite(number)]
    assert bool(found) is (title not in EMPTY), (expr, EMPTY.get(title))
    names = set(re.findall(r"{{(\w+)}}", query["legendFormat"]))
    assert not result or names <= {key for one in result for key in one["metric"]}


@pytest.mark.parametrize("title", MARKS)
def test_every_mark_is_seen(title: str, watched: Watched) -> None:
    """Restarts, verdicts, new leaks and starts are marked when they happen, and not all the time."""
    name, expr = MARKS[title]
    expr = filled(expr, watched.chosen(name))
    now = time.time()
    result = watched.get("query_range", query=expr, start=watched.began, end=now, step=1)["result"]
    assert [number for number in numbers(result) if number > 0], expr
    assert all(len(one["values"]) < (now - watched.began) / 2 for one in result)


def test_tables_can_be_merged(watched: Watched) -> None:
    """In each table, queries that share labels agree on them, so that a row is one leak, target or process."""
    for name, dashboard in DASHBOARDS.items():
        chosen = watched.chosen(name)
        for panel in dashboard["panels"]:
            if panel["type"] != "table":
                continue
            asked = [watched.get("query", query=filled(q["expr"], chosen))["result"] for q in panel["targets"]]
            shared = set.intersection(*({*one["metric"]} for result in asked for one in result))
            rows = [{tuple(one["metric"][key] for key in sorted(shared)) for one in result} for result in asked]
            assert all(len(found) == len(result) for found, result in zip(rows, asked, strict=True)), panel[
                "title"
            ]
            assert all(found <= max(rows, key=len) for found in rows), panel["title"]


def test_the_leak_is_where_one_looks(watched: Watched) -> None:
    """The fleet's table has the leaking function with its owner; the service's table has file and line too."""
    tables = {
        name: next(panel for panel in DASHBOARDS[name]["panels"] if panel["type"] == "table")
        for name in ("fleet", "service")
    }
    for name, panel in tables.items():
        expr = filled(panel["targets"][0]["expr"], watched.chosen(name))
        leaks = [one["metric"] for one in watched.get("query", query=expr)["result"]]
        (leak,) = [leak for leak in leaks if leak["function"].endswith("FilterService")]
        assert leak["owner"].startswith("team-")
        if name == "service":
            assert leak["file"].endswith(".go")
            assert int(leak["line"]) > 0
        else:
            assert leak["service"] == "pipeline"
