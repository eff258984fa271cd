"""The alert rules: equal to the shipped rules of Prometheus, as promtool evaluates them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from leakwatch.leaks.labels import shown
from leakwatch.model import Target, TargetHealth, Verdict
from leakwatch.notify.rules import RULES, Labels
from leakwatch.settings.units import parse_duration
from tests.support.leaking import START, Play, leak
from tests.support.promtool import SHIPPED, run_cases, selector, series

MINUTE = 60.0
DOWN = TargetHealth(up=False, reason="connection", error="Connection refused", since=START)
MINUTES = 1700  # more than a day
COMPARED = 200  # minutes

Script = list[Verdict | None]
Leaky = tuple[str, str]
"""Function and owner."""


def shipped() -> list[dict[str, Any]]:
    """Return the alerting rules of the file."""
    document = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def test_rules_have_the_numbers_of_the_file() -> None:
    """Severity, `for` and `keep_firing_for` are equal; only rules about leakwatch itself are missing.

    A severity that is a template is that of the leak, "".
    """
    own_rules = {rule.name: (rule.severity, rule.hold_for, rule.keep_firing_for) for rule in RULES}
    rules = {
        rule["alert"]: (
            "" if "{{" in rule["labels"]["severity"] else rule["labels"]["severity"],
            parse_duration(rule.get("for", "0s")),
            parse_duration(rule.get("keep_firing_for", "0s")),
        )
        for rule in shipped()
        if not any(f"$labels.{name}" in rule["annotations"]["summary"] for name in ("instance", "job"))
    }
    assert own_rules == rules


def scripts(rng: np.random.Generator) -> tuple[dict[Leaky, Script], dict[str, list[bool]]]:
    """Return for each minute the verdicts of each leak, and whether each target is up."""

    def stretches(values: Sequence[Any]) -> list[Any]:
        minutes: list[Any] = []
        while len(minutes) < MINUTES:
            value = values[int(rng.integers(len(values)))]
            minutes += [value] * int(rng.choice([1, 2, 4, 5, 6, 14, 15, 16, 40, 300]))
        return minutes[:MINUTES]

    verdicts: dict[Leaky, Script] = {}
    for i in range(4):
        verdicts[f"main.any{i}", "a"] = stretches([None, *list(Verdict)[1:]])
        verdicts[f"main.maybe{i}", "a"] = stretches([None, Verdict.SUSPECTED, Verdict.RECOVERED])
        # Leaking only once, then remembered for a day, with the same owner or with another.
        still = stretches([None, Verdict.PLATEAU, Verdict.SUSPECTED, Verdict.RECOVERED])
        verdicts[f"main.once{i}", "a"] = [
            *[Verdict.LEAKING] * 7,
            *(still[7:] if i < 2 else [None] * (MINUTES - 7)),
        ]
        verdicts[f"main.once{i}", "b"] = [*[None] * 7, *(still[7:] if i >= 2 else [None] * (MINUTES - 7))]
    return verdicts, {f"10.0.0.{i}:6060": stretches([True, False]) for i in range(3)}


def space(name: str) -> str:
    """Return the namespace of a target, or that of all targets on which a function leaks: "" if they differ."""
    return {"10.0.0.1:6060": "a", "10.0.0.2:6060": "b", "main.any0": "a"}.get(name, "")


def played(verdicts: Mapping[Leaky, Script], ups: Mapping[str, list[bool]]) -> list[set[Labels]]:
    """Return the alerts of leakwatch that fire in each minute."""
    play, firing = Play(), []
    play.rules.target_labels = ("namespace",)
    health = {Target("shop", name, {"namespace": space(name)}): TargetHealth(up=None) for name in ups}
    for minute in range(MINUTES):
        time = START + minute * MINUTE
        for target, state in health.items():
            if state.up is not ups[target.name][minute]:
                state.up, state.since = ups[target.name][minute], time
        leaks = [
            leak(v, function=f, owner=o, target_labels={"namespace": space(f)})
            for (f, o), script in verdicts.items()
            if (v := script[minute])
        ]
        play.at(minute * MINUTE, leaks, health)
        firing.append(play.alerts.firing(time))
    return firing


def exported(verdicts: Mapping[Leaky, Script], ups: Mapping[str, list[bool]]) -> list[dict[str, str]]:
    """Return the series that Prometheus would have scraped, in the format of promtool."""
    exported_series = [series("leakwatch_build_info", {}, ["1"] * MINUTES)]
    exported_series += [
        series(
            "leakwatch_up",
            {"service": "shop", "target": name, "namespace": space(name)},
            [str(int(is_up)) for is_up in up],
        )
        for name, up in ups.items()
    ]
    for (function, owner), script in verdicts.items():
        one = leak(function=function, owner=owner, target_labels={"namespace": space(function)})
        labels = dict(next(iter(Play().at(0, [one]))).labels)
        del labels["alertname"], labels["severity"]
        if function != "main.any1":
            values = [None if now is None else "340" for now in script]
            exported_series.append(series("leakwatch_leak_goroutines", labels, values))
        for verdict in list(Verdict)[1:]:
            with_verdict = {**labels, "verdict": verdict.word}
            values = [None if now is None else str(int(now is verdict)) for now in script]
            exported_series.append(series("leakwatch_leak_verdict", with_verdict, values))
            if function == "main.any1":  # by a process with metrics.verdict_label
                values = ["340" if now is verdict else None for now in script]
                exported_series.append(series("leakwatch_leak_goroutines", with_verdict, values))
    return exported_series


def case(minute: int, firing: set[Labels]) -> dict[str, Any]:
    """Return a test of promtool: the alerts that fire in one minute."""
    selectors = [selector("ALERTS", {**dict(labels), "alertstate": "firing"}) for labels in firing]
    samples = [{"labels": labels, "value": 1} for labels in selectors]
    return {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{minute}m", "exp_samples": samples}


def test_the_same_alerts_fire_in_every_minute(tmp_path: Path) -> None:
    """For more than a day of random verdicts, owners, target labels and target health, with the same labels."""
    rng = np.random.default_rng(0)
    verdicts, ups = scripts(rng)
    firing = played(verdicts, ups)
    changes = [minute for minute in range(1, MINUTES) if firing[minute] != firing[minute - 1]]
    minutes = {
        minute - before for minute in rng.permutation(changes)[: COMPARED // 2].tolist() for before in (0, 1)
    }
    test = {
        "interval": "1m",
        "input_series": exported(verdicts, ups),
        "promql_expr_test": [case(minute, firing[minute]) for minute in sorted(minutes)],
    }
    output = run_cases(tmp_path, test)
    assert output == "", output[:3000]
    names = {name for alerts in firing for labels in alerts for key, name in labels if key == "alertname"}
    assert names == {rule.name for rule in RULES}


def test_empty_labels_are_left_out() -> None:
    """An alert without owner or wait reason does not have the label, as in Prometheus."""
    (alert,) = Play().at(0, [leak(wait="", owner="")])
    assert dict(alert.labels).keys() == {"alertname", "severity", "service", "stack", "function"}


def test_labels_are_cut_as_in_metrics() -> None:
    """A very long function name is the same label as in metrics, so both alerts are equal."""
    (alert,) = Play().at(0, [leak(function="main." + "x" * 1000)])
    assert dict(alert.labels)["function"] == shown("main." + "x" * 1000)


def test_targets_that_are_down() -> None:
    """A service has one alert, with target, reason and error of each target that was down for five minutes."""
    play = Play()
    health = {Target("shop", f"a:{i}"): DOWN for i in range(30)}
    health[Target("shop", "up:1")] = TargetHealth(up=True)
    health[Target("cart", "b:1")] = TargetHealth(up=False, since=START + 200)
    assert play.at(299, (), health) == []
    (alert,) = play.at(300, (), health)
    assert dict(alert.labels) == {"alertname": "LeakwatchTargetDown", "severity": "warning", "service": "shop"}
    assert alert.annotations["summary"] == "shop: leakwatch cannot scrape 30 of 31 targets"
    assert alert.annotations["targets"].startswith("a:0: connection, Connection refused\n")
    assert alert.annotations["targets"].endswith(" and 10 more")
    assert (alert.starts_at, alert.generator_url) == (START + 300, "https://leakwatch.example.com/")
    assert len(play.at(500, (), health)) == 2


def test_targets_that_are_down_have_their_labels() -> None:
    """Each combination of target labels has an alert of its own, with its own number of targets."""
    play = Play()
    play.rules.target_labels = ("namespace",)
    spaces = ("eu", "eu", "us", "")
    health = {Target("shop", f"a:{i}", {"namespace": space}): DOWN for i, space in enumerate(spaces)}
    alerts = play.at(300, (), health)
    assert [dict(alert.labels).get("namespace") for alert in alerts] == ["eu", "us", None]
    assert alerts[0].annotations["summary"] == "shop: leakwatch cannot scrape 2 of 2 targets"
