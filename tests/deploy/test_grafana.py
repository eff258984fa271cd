"""The shipped Grafana dashboards are up to date and complete, and docs/grafana.md is valid."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.dashboards import DASHBOARDS, SHIPPED, panels
from tests.support.promtool import run_cases, series

ROOT = Path(__file__).parents[2]
PANELS = {title: panel for _, title, panel in panels()}
RECORDING = yaml.safe_load((ROOT / "deploy" / "prometheus" / "leakwatch.recording.yml").read_text())
RECORDED = {rule["record"] for group in RECORDING["groups"] for rule in group["rules"]}


def test_three_dashboards_are_shipped() -> None:
    """deploy/grafana has the dashboards that docs/grafana.md names."""
    assert DASHBOARDS.keys() == {"fleet", "service", "leakwatch"}


def test_dashboards_are_up_to_date(tmp_path: Path) -> None:
    """The script in deploy/grafana/source writes the committed dashboards."""
    subprocess.run([sys.executable, SHIPPED / "source", tmp_path], check=True)
    for name in DASHBOARDS:
        written, shipped = (folder / f"{name}.json" for folder in (tmp_path, SHIPPED))
        assert written.read_text() == shipped.read_text(), "run `make dashboards`"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_overlap(name: str) -> None:
    """The panels fill the 24 columns without overlaps and gaps, and their ids count from 1."""
    all_panels = DASHBOARDS[name]["panels"]
    cells = [
        cell
        for panel in all_panels
        for cell in itertools.product(
            range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"]),
            range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"]),
        )
    ]
    assert len(cells) == len(set(cells))
    # A gap looks like a panel that failed to load.
    assert set(cells) == set(itertools.product(range(24), range(max(y for _, y in cells) + 1)))
    assert [panel["id"] for panel in all_panels] == list(range(1, len(all_panels) + 1))


@pytest.mark.parametrize("title", PANELS)
def test_every_panel_is_described(title: str) -> None:
    """Each panel has a description, a unit, a text for no data, a minimum interval, and names for its series."""
    panel = PANELS[title]
    assert panel["description"].endswith((".", "`.")), panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["fieldConfig"]["defaults"]["noValue"]
    assert re.fullmatch(r"\d+[sm]", panel["interval"])
    for query in panel["targets"]:
        assert query["legendFormat"] or panel["type"] == "table"


def data_sources(part: Any) -> list[dict[str, str]]:
    """Return the data sources in a part of a dashboard, at any depth."""
    if isinstance(part, list):
        return [source for child in part for source in data_sources(child)]
    if not isinstance(part, dict):
        return []
    own = [part["datasource"]] if isinstance(part.get("datasource"), dict) else []
    return own + [source for child in part.values() for source in data_sources(child)]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_data_source_is_fixed(name: str) -> None:
    """Panels, queries, variables and annotations use the data source that the viewer selects."""
    sources = data_sources(DASHBOARDS[name])
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
    annotations = DASHBOARDS[name]["annotations"]["list"]
    # The first variable is the data source itself.
    variables = [item for item in DASHBOARDS[name]["templating"]["list"][1:] if item["type"] != "textbox"]
    shown = [panel for panel in DASHBOARDS[name]["panels"] if panel["type"] != "row"]
    queries = [query for panel in shown for query in panel["targets"]]
    assert len(sources) == len(annotations) + len(variables) + len(shown) + len(queries)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_all_variables_are_defined_and_used(name: str) -> None:
    """A dashboard defines the variables that it uses, and no others."""
    dashboard = DASHBOARDS[name]
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    # The built-in variables of Grafana begin with two underscores.
    used = set(re.findall(r"\$\{?(?!__)(\w+)", json.dumps(dashboard)))
    assert used == defined


def test_links_lead_to_shipped_dashboards() -> None:
    """Each link /d/... has the uid of a shipped dashboard, and sets only variables of that dashboard."""
    variables = {
        dashboard["uid"]: {variable["name"] for variable in dashboard["templating"]["list"]}
        for dashboard in DASHBOARDS.values()
    }
    links = re.findall(r'/d/([\w-]+)\?([^"]*)', json.dumps(DASHBOARDS))
    assert links
    for uid, query in links:
        assert set(re.findall(r"var-(\w+)=", query)) <= variables[uid]


def test_only_the_fleet_dashboard_needs_records() -> None:
    """The fleet dashboard queries records, and of the metrics only build_info; the others query no records."""
    for name, dashboard in DASHBOARDS.items():
        text = json.dumps(dashboard)
        records = set(re.findall(r"\w+:leakwatch_\w+:\w+", text))
        assert records <= RECORDED
        assert bool(records) is (name == "fleet")
    queries = [query["expr"] for name in PANELS if name.startswith("fleet") for query in PANELS[name]["targets"]]
    metrics = {metric for query in queries for metric in re.findall(r"(?<![:\w])leakwatch_\w+", query)}
    assert metrics == {"leakwatch_build_info"}


DOCS = (ROOT / "docs" / "grafana.md").read_text()
FILES = {name: yaml.safe_load(text) for name, text in re.findall(r"```yaml\n# (\S+)\n(.*?)```", DOCS, re.DOTALL)}
SCRIPTS = re.findall(r"```sh\n(.*?)```", DOCS, re.DOTALL)


def test_the_provisioning_files() -> None:
    """The files match deploy/prometheus, and the page names the folder of the dashboards."""
    assert DOCS.count("```") == 2 * (len(FILES) + len(SCRIPTS))
    prometheus, source, provider = FILES.values()
    assert [*FILES] == [
        "prometheus.yml",
        "provisioning/datasources/prometheus.yml",
        "provisioning/dashboards/leakwatch.yml",
    ]
    example = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    assert prometheus["rule_files"] == example["rule_files"]
    assert source["datasources"][0]["type"] == "prometheus"
    assert source["datasources"][0]["jsonData"]["timeInterval"] == example["global"]["scrape_interval"]
    assert f"`{provider['providers'][0]['options']['path']}`" in DOCS


def test_rules_for_prometheus_and_its_operator(tmp_path: Path) -> None:
    """The commands of the page write the recording rules, as a file of rules and as a PrometheusRule."""
    assert SCRIPTS[2] == "kubectl apply -k deploy/grafana -n monitoring\n"  # see test_manifests.py
    function = f"leakwatch() {{ '{sys.executable}' -m leakwatch \"$@\"; }}\n"
    for script in SCRIPTS[:2]:
        subprocess.run(["sh", "-euc", function + script], check=True, cwd=tmp_path)
    assert yaml.safe_load((tmp_path / "leakwatch.recording.yml").read_text()) == RECORDING
    assert yaml.safe_load((tmp_path / "leakwatch-recording.yml").read_text()) == {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "leakwatch-recording"},
        "spec": RECORDING,
    }


def test_every_record_is_documented() -> None:
    """The page names each record."""
    assert {name for name in RECORDED if f"`{name}`" not in DOCS} == set()


def test_the_service_dashboard_links_to_the_shard_of_its_service(tmp_path: Path) -> None:
    """The variable `page` has the URL of the process that watches the selected service, and no other."""
    (page,) = (item for item in DASHBOARDS["service"]["templating"]["list"] if item["name"] == "page")
    query = page["query"].removeprefix("query_result(").removesuffix(")").replace("$service", "pay")
    inputs = [
        series(name, {"instance": f"{shard}:9979", "job": "leakwatch", **labels}, ["1"] * 3)
        for shard, service in (("a", "shop"), ("b", "pay"))
        for name, labels in (
            ("leakwatch_web_info", {"url": f"https://{shard}.example.com/"}),
            ("leakwatch_up", {"service": service, "target": "t"}),
        )
    ]
    expected = {
        "expr": query,
        "eval_time": "1m",
        "exp_samples": [{"labels": '{url="https://b.example.com/"}', "value": 1}],
    }
    test = {"interval": "1m", "input_series": inputs, "promql_expr_test": [expected]}
    assert run_cases(tmp_path, test) == ""
