"""The Prometheus files in deploy/prometheus are valid for promtool, and its tests cover all rules."""

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
    """Run promtool in deploy/prometheus; fail the test with the output if the exit status is not 0."""
    program = shutil.which("promtool")
    if program is None:
        pytest.fail("promtool is not on PATH: run `make setup`")
    completed = subprocess.run([program, *arguments], cwd=SHIPPED, capture_output=True, text=True, check=False)
    if completed.returncode:
        output = completed.stdout + completed.stderr
        pytest.fail(f"promtool {' '.join(arguments)}: exit status {completed.returncode}\n{output}")


def rules(file: Path = RULES) -> list[dict[str, Any]]:
    """Return all rules of a shipped file."""
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("file", [RULES, RECORDING], ids=lambda file: file.name)
def test_rules_are_valid(file: Path) -> None:
    """Promtool accepts the shipped rules."""
    promtool("check", "rules", file.name)


@pytest.mark.parametrize("file", [RULE_TESTS, RECORDING_TESTS], ids=lambda file: file.name)
def test_the_cases_of_promtool_pass(file: Path) -> None:
    """Alerts fire at the times, and with the labels and annotations, of the cases; records have their values."""
    promtool("test", "rules", file.name)


def test_every_record_has_a_case() -> None:
    """The promtool cases contain each record with its exact labels."""
    document = yaml.safe_load(RECORDING_TESTS.read_text(encoding="utf-8"))
    cases = [case for test in document["tests"] for case in test["promql_expr_test"]]
    expressions = " ".join(case["expr"] for case in cases if case["exp_samples"])
    assert [rule["record"] for rule in rules(RECORDING) if rule["record"] not in expressions] == []


def test_records_are_named_as_prometheus_recommends() -> None:
    """Each name consists of a level, a metric of leakwatch and an operation."""
    for rule in rules(RECORDING):
        assert re.fullmatch(r"[a-z_]+:leakwatch_[a-z_]+:[a-z_]+", rule["record"]), rule["record"]


def test_example_configuration_is_valid() -> None:
    """Promtool accepts the shipped prometheus.yml, and the rule files in it exist."""
    promtool("check", "config", "prometheus.yml")


def test_the_alerts_and_their_severities() -> None:
    """The shipped rules are these alerts. The severity of a leak is that of its metric."""
    severities = {rule["alert"]: rule["labels"]["severity"] for rule in rules()}
    assert "leakwatch_leak_page" in severities.pop("GoroutineLeak")
    assert severities == {
        "GoroutineLeakSuspected": "info",
        "LeakwatchTargetDown": "warning",
        "LeakwatchNotificationsFailing": "warning",
        "LeakwatchDown": "warning",
        "LeakwatchOverloaded": "warning",
        "LeakwatchConfigReloadFailed": "warning",
        "LeakwatchStorageFailing": "warning",
    }


def test_every_alert_has_a_next_step() -> None:
    """Every alert has a summary, a description and a next step."""
    for rule in rules():
        assert {"summary", "description", "next_step"} <= rule["annotations"].keys(), rule["alert"]


def test_every_alert_has_cases_with_and_without_it() -> None:
    """In the promtool cases each alert fires, with its exact annotations, and does not fire."""
    document = yaml.safe_load(RULE_TESTS.read_text(encoding="utf-8"))
    cases = [case for test in document["tests"] for case in test.get("alert_rule_test", [])]
    names = {rule["alert"] for rule in rules()}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names
    assert all(alert["exp_annotations"] for case in cases for alert in case["exp_alerts"])
