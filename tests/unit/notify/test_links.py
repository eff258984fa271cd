"""The addresses in alerts, the same in both forms."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from leakwatch.causes.catalogue import shipped
from leakwatch.model import Target, TargetHealth
from leakwatch.notify.links import ANCHORS, AlertLinks, leak_help
from tests.support.leaking import START, Play, leak
from tests.support.promtool import run_cases, series

URL = "https://leakwatch.example.com/ui"
DASHBOARD = "https://grafana.example.com/d/leakwatch-service?var-service={service}"
PROCESS = {"instance": "a:9979", "job": "leakwatch"}
SERVICE = "a b/ü&?+"
WAITS = (*ANCHORS, "", "syscall", "select (no cases)", "chan receive (nil chan)", "chan send (nil chan)")
"""Known wait reasons, and some without a section."""


BODIES = next(cause for cause in shipped() if cause.id == "http-body-not-closed")
CAUSES = (BODIES, replace(BODIES, docs=""))
"""A shipped cause, and one without docs, as a file of the configuration defines it."""


def expected() -> dict[str, list[Mapping[str, Any]]]:
    """Return the alerts that leakwatch pushes, with their links, as promtool expects them."""
    play = Play()
    play.rules.links = AlertLinks(URL, DASHBOARD)
    leaks = [leak(service=SERVICE, wait=wait, function=f"main.f{i}") for i, wait in enumerate(WAITS)]
    caused = [
        replace(leak(service=SERVICE, wait="select", function=f"main.g{i}"), cause=cause)
        for i, cause in enumerate(CAUSES)
    ]
    down = {Target(SERVICE, "t:1"): TargetHealth(up=False, since=START - 600)}
    alerts: dict[str, list[Mapping[str, Any]]] = {"GoroutineLeak": [], "LeakwatchTargetDown": []}
    for alert in play.at(0, [*leaks, *caused], down):
        labels = dict(alert.labels)
        links = {name: text for name, text in alert.annotations.items() if is_link(name)}
        alerts[labels.pop("alertname")].append({"exp_labels": labels, "exp_annotations": links})
    return alerts


def is_link(annotation: str) -> bool:
    """Return whether an annotation is an address that both forms of an alert have."""
    return annotation.endswith("_url")


def test_both_forms_link_to_the_same_addresses(tmp_path: Path) -> None:
    """For wait reasons, likely causes, and targets that are down; the service has an unusual name."""
    alerts = expected()
    inputs = [
        series("leakwatch_web_info", {**PROCESS, "url": f"{URL}/", "dashboard": DASHBOARD}, ["1"] * 20),
        series("leakwatch_up", {**PROCESS, "service": SERVICE, "target": "t:1"}, ["0"] * 20),
    ]
    for alert in alerts["GoroutineLeak"]:
        labels = {name: value for name, value in alert["exp_labels"].items() if name != "severity"}
        inputs.append(series("leakwatch_leak_goroutines", {**PROCESS, **labels}, ["9"] * 20))
        verdict = {**PROCESS, **labels, "verdict": "leaking"}
        inputs.append(series("leakwatch_leak_verdict", verdict, ["1"] * 20))
    for alert, cause in zip(alerts["GoroutineLeak"][-len(CAUSES) :], CAUSES, strict=True):
        labels = {"service": SERVICE, "stack": alert["exp_labels"]["stack"], "docs": cause.docs}
        inputs.append(series("leakwatch_leak_cause_info", {**PROCESS, **labels}, ["1"] * 20))
    test = {
        "interval": "1m",
        "input_series": inputs,
        "alert_rule_test": [
            {"eval_time": "15m", "alertname": name, "exp_alerts": expected_alerts}
            for name, expected_alerts in alerts.items()
        ],
    }
    assert len(alerts["GoroutineLeak"]) == len(WAITS) + len(CAUSES)
    assert len(alerts["GoroutineLeak"][0]["exp_annotations"]) == 3
    output = run_cases(tmp_path, test, is_link)
    assert output == "", output[:3000]


def test_the_runbook_of_a_likely_cause() -> None:
    """It is the section of the cause, or that of the wait reason if leakwatch does not ship the cause."""
    assert leak_help(replace(leak(wait="select"), cause=BODIES)) == "docs/causes#http-body-not-closed"
    assert leak_help(replace(leak(wait="select"), cause=CAUSES[1])) == "docs/fixing#select"
    page = (Path(__file__).parents[3] / "docs" / "causes.md").read_text(encoding="utf-8")
    assert [cause.id for cause in shipped() if f"\n### {cause.id}\n" not in page] == []


def test_addresses() -> None:
    """Names are escaped; without a configured dashboard there is no address of one."""
    links = AlertLinks("http://x/ui/", DASHBOARD)
    assert links.page(leak(service="a/b")) == f"http://x/ui/leaks/a%2Fb/{leak().stack.fingerprint}"
    assert links.docs("docs/fixing") == "http://x/ui/docs/fixing"
    assert links.dashboard_of("a b") == DASHBOARD.replace("{service}", "a%20b")
    assert AlertLinks("http://x").dashboard_of("shop") == ""
