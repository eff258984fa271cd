"""The dashboards that we ship: as their script makes them, whole, and laid out without holes in the wall."""

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

ROOT = Path(__file__).parents[2]
PANELS = {title: panel for _, title, panel in panels()}
RECORDING = yaml.safe_load((ROOT / "deploy" / "prometheus" / "leakwatch.recording.yml").read_text())
RECORDED = {rule["record"] for group in RECORDING["groups"] for rule in group["rules"]}


def test_three_are_shipped() -> None:
    """The files that the documentation names, and no other."""
    assert DASHBOARDS.keys() == {"fleet", "service", "leakwatch"}


def test_dashboards_are_those_of_their_script(tmp_path: Path) -> None:
    """Whoever changes deploy/grafana/source runs it: `make dashboards`."""
    subprocess.run([sys.executable, SHIPPED / "source", tmp_path], check=True)
    for name in DASHBOARDS:
        made, shipped = (folder / f"{name}.json" for folder in (tmp_path, SHIPPED))
        assert made.read_text() == shipped.read_text(), "run `make dashboards`"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_overlap(name: str) -> None:
    """Every panel lies within the 24 columns, alone at its place, under a number of its own."""
    all_panels = DASHBOARDS[name]["panels"]
    taken = [
        cell
        for panel in all_panels
        for cell in itertools.product(
            range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"]),
            range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"]),
        )
    ]
    assert len(taken) == len(set(taken))
    # No holes either: what ends early leaves an empty place that looks like a panel that failed.
    assert set(taken) == set(itertools.product(range(24), range(max(y for _, y in taken) + 1)))
    assert [panel["id"] for panel in all_panels] == list(range(1, len(all_panels) + 1))


@pytest.mark.parametrize("title", PANELS)
def test_every_panel_says_what_it_shows(title: str) -> None:
    """Each has a description, a unit, a least interval, what it says without data, and names for its series."""
    panel = PANELS[title]
    assert panel["description"].endswith((".", "`.")), panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["fieldConfig"]["defaults"]["noValue"]
    assert re.fullmatch(r"\d+[sm]", panel["interval"])
    for query in panel["targets"]:
        assert query["legendFormat"] or panel["type"] == "table"


def sources(part: Any) -> list[dict[str, str]]:
    """Return every data source that a part of a dashboard names."""
    if isinstance(part, list):
        return [found for one in part for found in sources(one)]
    if not isinstance(part, dict):
        return []
    own = [part["datasource"]] if isinstance(part.get("datasource"), dict) else []
    return own + [found for one in part.values() for found in sources(one)]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_data_source_is_fixed(name: str) -> None:
    """Panels, queries, variables and marks take the data source that is chosen above."""
    found = sources(DASHBOARDS[name])
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in found)
    wanted = [*DASHBOARDS[name]["annotations"]["list"], *DASHBOARDS[name]["templating"]["list"][1:]]
    wanted = [one for one in wanted if one.get("type") != "textbox"]
    shown = [panel for panel in DASHBOARDS[name]["panels"] if panel["type"] != "row"]
    assert len(found) == len(wanted) + len(shown) + sum(len(panel["targets"]) for panel in shown)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_variables_that_are_used_are_there(name: str) -> None:
    """Each $name in a dashboard is a variable of it, or one of Grafana's own."""
    dashboard = DASHBOARDS[name]
    known = {variable["name"] for variable in dashboard["templating"]["list"]}
    # Without links to other dashboards, whose variables are theirs.
    used = set(re.findall(r"\$\{?(?!__)(\w+)", json.dumps(dashboard)))
    assert used == known


def test_links_lead_to_dashboards_that_are_shipped() -> None:
    """Each /d/... is one of the three, with variables that it has."""
    known = {
        dashboard["uid"]: {variable["name"] for variable in dashboard["templating"]["list"]}
        for dashboard in DASHBOARDS.values()
    }
    links = re.findall(r'/d/([\w-]+)\?([^"]*)', json.dumps(DASHBOARDS))
    assert links
    for uid, query in links:
        assert set(re.findall(r"var-(\w+)=", query)) <= known[uid]


def test_fleet_reads_records_that_exist() -> None:
    """The fleet is asked by records only, never by reading every target; the other two need no records."""
    for name, dashboard in DASHBOARDS.items():
        text = json.dumps(dashboard)
        read = set(re.findall(r"\w+:leakwatch_\w+:\w+", text))
        assert read <= RECORDED
        assert bool(read) is (name == "fleet")
    asked = [query["expr"] for name in PANELS if name.startswith("fleet") for query in PANELS[name]["targets"]]
    raw = {metric for expr in asked for metric in re.findall(r"(?<![:\w])leakwatch_\w+", expr)}
    assert raw == {"leakwatch_build_info"}


DOCS = (ROOT / "docs" / "grafana.md").read_text()
FILES = {name: yaml.safe_load(text) for name, text in re.findall(r"```yaml\n# (\S+)\n(.*?)```", DOCS, re.DOTALL)}
SCRIPTS = re.findall(r"```sh\n(.*?)```", DOCS, re.DOTALL)


def test_provisioning_is_what_the_dashboards_want() -> None:
    """The files of the page are read, and have the dashboards where the page has them put."""
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
    """The commands of the page write the recording rules, plain and as a PrometheusRule."""
    assert SCRIPTS[2] == "kubectl apply -k deploy/grafana -n monitoring\n"  # tests/deploy/test_manifests.py
    own = f"leakwatch() {{ '{sys.executable}' -m leakwatch \"$@\"; }}\n"
    for script in SCRIPTS[:2]:
        subprocess.run(["sh", "-euc", own + script], check=True, cwd=tmp_path)
    assert yaml.safe_load((tmp_path / "leakwatch.recording.yml").read_text()) == RECORDING
    assert yaml.safe_load((tmp_path / "leakwatch-recording.yml").read_text()) == {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "leakwatch-recording"},
        "spec": RECORDING,
    }


def test_every_record_is_explained() -> None:
    """The page names each record."""
    assert {name for name in RECORDED if f"`{name}`" not in DOCS} == set()
