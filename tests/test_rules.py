"""The Prometheus files that we ship are checked by Prometheus's own promtool."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

SHIPPED = Path(__file__).parent.parent / "deploy" / "prometheus"
RULES = SHIPPED / "leakwatch.rules.yml"
RULE_TESTS = SHIPPED / "leakwatch.rules.test.yml"


def promtool(*arguments: str) -> None:
    """Run promtool; fail the test with what it printed, or with how to get it."""
    program = shutil.which("promtool")
    if program is None:
        pytest.fail("promtool is not on PATH: run `make setup`")
    done = subprocess.run([program, *arguments], cwd=SHIPPED, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"promtool {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}{done.stderr}")


def rules() -> list[dict[str, Any]]:
    """All rules of the shipped file."""
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def test_rules_are_valid() -> None:
    """Prometheus loads the shipped rules."""
    promtool("check", "rules", RULES.name)


def test_rules_fire_and_resolve_as_promised() -> None:
    """Every case in leakwatch.rules.test.yml holds: labels, texts, when alerts fire and when they do not."""
    promtool("test", "rules", RULE_TESTS.name)


def test_example_configuration_is_valid() -> None:
    """Prometheus starts with the shipped prometheus.yml, and finds the rules it names."""
    promtool("check", "config", "prometheus.yml")


def test_exactly_the_promised_alerts_are_shipped() -> None:
    """The alerts that the documentation names exist, each with its severity."""
    assert {rule["alert"]: rule["labels"]["severity"] for rule in rules()} == {
        "GoroutineLeak": "warning",
        "GoroutineLeakSuspected": "info",
        "LeakwatchTargetDown": "warning",
        "LeakwatchNotificationsFailing": "warning",
        "LeakwatchConfigReloadFailed": "warning",
    }


def test_every_alert_says_what_to_do() -> None:
    """Every alert has a summary, a description and a next step."""
    for rule in rules():
        assert {"summary", "description", "next_step"} <= rule["annotations"].keys(), rule["alert"]


def test_every_alert_is_seen_firing_and_silent() -> None:
    """The promtool cases cover each alert both ways, with its exact labels and annotations when it fires."""
    document = yaml.safe_load(RULE_TESTS.read_text(encoding="utf-8"))
    cases = [case for test in document["tests"] for case in test.get("alert_rule_test", [])]
    names = {rule["alert"] for rule in rules()}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names
    assert all(alert["exp_annotations"] for case in cases for alert in case["exp_alerts"])
