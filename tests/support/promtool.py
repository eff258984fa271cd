"""Unit tests of alert rules by promtool."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

SHIPPED = Path(__file__).parents[2] / "deploy" / "prometheus" / "leakwatch.rules.yml"


def series(name: str, labels: Mapping[str, str], values: Sequence[str | None]) -> dict[str, str]:
    """Return one series with a value per minute; a stale marker ends each run of values."""
    before = [None, *values[:-1]]
    gaps = ("stale" if then is not None else "_" for then in before)
    tokens = [gap if now is None else now for gap, now in zip(gaps, values, strict=True)]
    return {"series": selector(name, labels), "values": " ".join(tokens)}


def selector(name: str, labels: Mapping[str, str]) -> str:
    """Return a selector of one series."""
    escaped = {key: value.replace("\\", "\\\\").replace('"', '\\"') for key, value in labels.items()}
    matchers = ",".join(f'{key}="{value}"' for key, value in escaped.items())
    return f"{name}{{{matchers}}}"


def run_cases(folder: Path, test: Mapping[str, Any], keep: Callable[[str], bool] = lambda _: False) -> str:
    """Run one test on the shipped rules with promtool; return its output, "" if it passes.

    `keep`: returns whether the rules keep an annotation. Without annotations promtool takes 2 s instead of 10 s of
    CPU time for a day of alerts.
    """
    document = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    for group in document["groups"]:
        for rule in group["rules"]:
            rule["annotations"] = {name: text for name, text in rule["annotations"].items() if keep(name)}
    (folder / "rules.yml").write_text(yaml.safe_dump(document))
    tests = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.yml").write_text(yaml.safe_dump(tests))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr if done.returncode else ""
