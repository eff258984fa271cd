"""The Prometheus files that we ship are checked by Prometheus's own promtool."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

SHIPPED = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = SHIPPED / "leakwatch.rules.yml"
RULE_TESTS = SHIPPED / "leakwatch.rules.test.yml"
RECORDING = SHIPPED / "leakwatch.recording.yml"
RECORDING_TESTS = SHIPPED / "leakwatch.recording.test.yml"


def promtool(*arguments: str) -> None:
    """Run promtool; fail the test with what it printed, or with how to get it."""
    program = shutil.which("promtool")
    if program is None:
        pytest.fail("promtool is not on PATH: run `make setup`")
    done = subprocess.run([program, *arguments], cwd=SHIPPED, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"promtool {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}{done.stderr}")


def rules(file: Path = RULES) -> list[dict[str, Any]]:
    """All rules of a shipped file."""
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("file", [RULES, RECORDING], ids=lambda file: file.name)
def test_rules_are_valid(file: Path) -> None:
    """Prometheus loads the shipped rules."""
    promtool("check", "rules", file.name)


@pytest.mark.parametrize("file", [RULE_TESTS, RECORDING_TESTS], ids=lambda file: file.name)
def test_rules_do_as_promised(file: Path) -> None:
    """Every case holds: labels, texts, when alerts fire and when they do not, and what is recorded."""
    promtool("test", "rules", file.name)


def test_every_record_is_seen() -> None:
    """The promtool cases show each record with exact labels."""
    document = yaml.safe_load(RECORDING_TESTS.read_text(encoding="utf-8"))
    cases = [case for test in document["tests"] for case in test["promql_expr_test"]]
    seen = " ".join(case["expr"] for case in cases if case["exp_samples"])
    assert [rule["record"] for rule in rules(RECORDING) if rule["record"] not in seen] == []


def test_records_are_named_as_prometheus_advises() -> None:
    """Each name says its level, a metric of ours and the operation, in this order."""
    for rule in rules(RECORDING):
        assert re.fullmatch(r"[a-z_]+:leakwatch_[a-z_]+:[a-z_]+", rule["record"]), rule["record"]


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
