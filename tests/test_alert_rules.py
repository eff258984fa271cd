"""What is pushed is what Prometheus itself makes of the shipped rules: its promtool is the judge."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from leaking import START, Play, leak

from leakwatch.model import Target, TargetHealth, Verdict
from leakwatch.notify.rules import RULES, Labels
from leakwatch.settings.units import parse_duration

SHIPPED = Path(__file__).parents[1] / "deploy" / "prometheus" / "leakwatch.rules.yml"
MINUTE = 60.0
MINUTES = 1700  # more than a day
ASKED = 200  # of them

Script = list[Verdict | None]
Leaky = tuple[str, str]
"""Function and owner."""


def shipped() -> list[dict[str, Any]]:
    """Return the alerts of the shipped rules."""
    document = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def test_rules_have_the_numbers_of_the_shipped_ones() -> None:
    """Severity, `for` and `keep_firing_for` are those of the file; what is not pushed is about leakwatch."""
    pushed = {rule.name: (rule.severity, rule.wait, rule.keep) for rule in RULES}
    rules = {
        rule["alert"]: (
            rule["labels"]["severity"],
            parse_duration(rule.get("for", "0s")),
            parse_duration(rule.get("keep_firing_for", "0s")),
        )
        for rule in shipped()
        if "$labels.instance" not in rule["annotations"]["summary"]
    }
    assert pushed == rules


def scripts(rng: np.random.Generator) -> tuple[dict[Leaky, Script], dict[str, list[bool]]]:
    """Return what happens minute by minute: verdicts of each leak, and whether targets are up by name."""

    def stretches(values: Sequence[Any]) -> list[Any]:
        found: list[Any] = []
        while len(found) < MINUTES:
            value = values[int(rng.integers(len(values)))]
            found += [value] * int(rng.choice([1, 2, 4, 5, 6, 14, 15, 16, 40, 300]))
        return found[:MINUTES]

    verdicts: dict[Leaky, Script] = {}
    for i in range(4):
        verdicts[f"main.any{i}", "a"] = stretches([None, *list(Verdict)[1:]])
        verdicts[f"main.maybe{i}", "a"] = stretches([None, Verdict.SUSPECTED, Verdict.RECOVERED])
        # Leaking once and never again: remembered for a day; with the first owner, and then with another.
        still = stretches([None, Verdict.PLATEAU, Verdict.SUSPECTED, Verdict.RECOVERED])
        verdicts[f"main.once{i}", "a"] = [
            *[Verdict.LEAKING] * 7,
            *(still[7:] if i < 2 else [None] * (MINUTES - 7)),
        ]
        verdicts[f"main.once{i}", "b"] = [*[None] * 7, *(still[7:] if i >= 2 else [None] * (MINUTES - 7))]
    return verdicts, {f"10.0.0.{i}:6060": stretches([True, False]) for i in range(3)}


def played(verdicts: Mapping[Leaky, Script], ups: Mapping[str, list[bool]]) -> list[set[Labels]]:
    """Return what we push, minute by minute."""
    play, fires = Play(), []
    health = {Target("shop", name): TargetHealth(up=None) for name in ups}
    for minute in range(MINUTES):
        time = START + minute * MINUTE
        for target, state in health.items():
            if state.up is not ups[target.name][minute]:
                state.up, state.since = ups[target.name][minute], time
        leaks = [leak(v, function=f, owner=o) for (f, o), script in verdicts.items() if (v := script[minute])]
        play.at(minute * MINUTE, leaks, health)
        fires.append(play.alerts.firing(time))
    return fires


def exported(verdicts: Mapping[Leaky, Script], ups: Mapping[str, list[bool]]) -> list[dict[str, str]]:
    """Return what Prometheus would have scraped, as promtool reads it."""
    found = [
        series("leakwatch_up", {"service": "shop", "target": name}, [str(int(one)) for one in up])
        for name, up in ups.items()
    ]
    for (function, owner), script in verdicts.items():
        named = dict(next(iter(Play().at(0, [leak(function=function, owner=owner)]))).labels)
        del named["alertname"], named["severity"]
        for verdict in list(Verdict)[1:]:
            values = ["340" if now is verdict else None for now in script]
            found.append(series("leakwatch_leak_goroutines", {**named, "verdict": verdict.word}, values))
    return found


def series(name: str, labels: Mapping[str, str], values: Sequence[str | None]) -> dict[str, str]:
    """Return one series, a value a minute; where there is none any more, a stale marker says so."""
    before = [None, *values[:-1]]
    gaps = ("stale" if then is not None else "_" for then in before)
    tokens = [gap if now is None else now for gap, now in zip(gaps, values, strict=True)]
    return {"series": selector(name, labels), "values": " ".join(tokens)}


def selector(name: str, labels: Mapping[str, str]) -> str:
    """Return the name of a series."""
    said = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{said}}}"


def case(minute: int, firing: set[Labels]) -> dict[str, Any]:
    """Return what promtool is to find firing in one minute."""
    wanted = [selector("ALERTS", {**dict(labels), "alertstate": "firing"}) for labels in firing]
    samples = [{"labels": labels, "value": 1} for labels in wanted]
    return {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{minute}m", "exp_samples": samples}


@pytest.mark.parametrize("seed", range(2))
def test_the_same_alerts_fire_in_every_minute(seed: int, tmp_path: Path) -> None:
    """Over more than a day, with the same labels, whatever verdicts, owners and targets do."""
    rng = np.random.default_rng(seed)
    verdicts, ups = scripts(rng)
    fires = played(verdicts, ups)
    changes = [minute for minute in range(1, MINUTES) if fires[minute] != fires[minute - 1]]
    asked = {minute - before for minute in rng.permutation(changes)[: ASKED // 2].tolist() for before in (0, 1)}
    test = {
        "interval": "1m",
        "input_series": exported(verdicts, ups),
        "promql_expr_test": [case(minute, fires[minute]) for minute in sorted(asked)],
    }
    document = {"rule_files": [str(SHIPPED)], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[:3000]
    told = {name for firing in fires for labels in firing for key, name in labels if key == "alertname"}
    assert told == {rule.name for rule in RULES}
