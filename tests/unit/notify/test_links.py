"""The addresses in alerts, the same in both forms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leakwatch.model import Target, TargetHealth
from leakwatch.notify.links import ANCHORS, AlertLinks
from tests.support.leaking import START, Play, leak
from tests.support.promtool import run_cases, series

URL = "https://leakwatch.example.com/ui"
DASHBOARD = "https://grafana.example.com/d/leakwatch-service?var-service={service}"
PROCESS = {"instance": "a:9979", "job": "leakwatch"}
SERVICE = "a b/ü&?+"
WAITS = (*ANCHORS, "", "syscall", "select (no cases)", "chan receive (nil chan)", "chan send (nil chan)")
"""Known wait reasons, and some without a section."""


def expected() -> dict[str, list[Mapping[str, Any]]]:
    """Return the alerts that leakwatch pushes, with their links, as promtool expects them."""
    play = Play()
    play.rules.links = AlertLinks(URL, DASHBOARD)
    leaks = [leak(service=SERVICE, wait=wait, function=f"main.f{i}") for i, wait in enumerate(WAITS)]
    down = {Target(SERVICE, "t:1"): TargetHealth(up=False, since=START - 600)}
    alerts: dict[str, list[Mapping[str, Any]]] = {"GoroutineLeak": [], "LeakwatchTargetDown": []}
    for alert in play.at(0, leaks, down):
        labels = dict(alert.labels)
        links = {name: text for name, text in alert.annotations.items() if is_link(name)}
        alerts[labels.pop("alertname")].append({"exp_labels": labels, "exp_annotations": links})
    return alerts


def is_link(annotation: str) -> bool:
    """Return whether an annotation is an address that both forms of an alert have."""
    return annotation.endswith("_url")


def test_both_forms_link_to_the_same_addresses(tmp_path: Path) -> None:
    """For each wait reason, for targets that are down, and for a service with special characters in its name."""
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
    test = {
        "interval": "1m",
        "input_series": inputs,
        "alert_rule_test": [
            {"eval_time": "15m", "alertname": name, "exp_alerts": expected_alerts}
            for name, expected_alerts in alerts.items()
        ],
    }
    assert len(alerts["GoroutineLeak"]) == len(WAITS)
    assert len(alerts["GoroutineLeak"][0]["exp_annotations"]) == 3
    output = run_cases(tmp_path, test, is_link)
    assert output == "", output[:3000]


def test_addresses() -> None:
    """Names are escaped; without a configured dashboard there is no address of one."""
    links = AlertLinks("http://x/ui/", DASHBOARD)
    assert links.page(leak(service="a/b")) == f"http://x/ui/leaks/a%2Fb/{leak().stack.fingerprint}"
    assert links.docs("docs/fixing") == "http://x/ui/docs/fixing"
    assert links.dashboard_of("a b") == DASHBOARD.replace("{service}", "a%20b")
    assert AlertLinks("http://x").dashboard_of("shop") == ""
