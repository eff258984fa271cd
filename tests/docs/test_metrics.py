"""docs/metrics.md has a row for every metric that leakwatch can export; the metrics are valid."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import generate_latest

from tests.support.all_metrics import complete_registry

ROOT = Path(__file__).parents[2]
ENDINGS = {
    "GaugeMetricFamily": ("",),
    "CounterMetricFamily": ("_total",),
    "InfoMetricFamily": ("_info",),
    "HistogramMetricFamily": ("_sum", "_count", "_bucket"),
    "SummaryMetricFamily": ("_sum", "_count"),
}
LEAK_FAMILY = "LeakFamily"
"""The class in leaks/metrics.py of which each instance is a gauge with the prefix leakwatch_leak_."""


def exported() -> Iterator[str]:
    """Yield the series of each metric family in the source, including those that are not always exported."""
    for file in (ROOT / "leakwatch").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
                continue
            family, name = node.func.id, node.args[0]
            if family not in ENDINGS and family != LEAK_FAMILY:
                assert not family.endswith("MetricFamily"), f"add {family} to ENDINGS"
                continue
            if isinstance(name, ast.JoinedStr):
                assert file.parent.name == "leaks"  # in the class itself
                continue
            assert isinstance(name, ast.Constant), f"{file.name}:{node.lineno}: the name is not a literal"
            metric = f"leakwatch_leak_{name.value!s}" if family == LEAK_FAMILY else str(name.value)
            yield from (metric + ending for ending in ENDINGS.get(family, ("",)))


def documented() -> Iterator[str]:
    """Yield the series in the first column of the table; `_count` there continues a name before it."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    for cell in re.findall(r"^\| (`leakwatch_[^|]*) \|", page, re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", cell)
        yield first
        yield from (first.removesuffix("_sum") + other if other[0] == "_" else other for other in others)


def test_every_metric_has_a_row() -> None:
    """The table has one row for each metric, and no row for a removed metric."""
    rows = list(documented())
    assert len(rows) > 40
    assert sorted(rows) == sorted(set(exported()))


def test_the_metrics_of_a_busy_daemon() -> None:
    """Every metric has a series, none has a label of Prometheus's own scrape, and promtool reports nothing."""
    registry = complete_registry()
    found = [sample for family in registry.collect() for sample in family.samples]
    names = {sample.name for sample in found}
    assert set(exported()) - names == set()
    assert [sample for sample in found if {"job", "instance"} & sample.labels.keys()] == []
    linted = subprocess.run(
        ["promtool", "check", "metrics"], input=generate_latest(registry), capture_output=True, check=False
    )
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, b"")


def test_the_help_texts_stand_alone() -> None:
    """Each is a noun phrase or clause of its own: it does not refer to another metric, and no two are alike."""
    texts = {
        family.name: family.documentation
        for family in complete_registry().collect()
        if family.name.startswith("leakwatch_")
    }
    assert len(set(texts.values())) == len(texts) > 60
    referring = re.compile(r"(Their|Its|The same|Of them|Such|Always|How|What|It|They|Those)\b|.*\bsuch a\b")
    assert [text for text in texts.values() if referring.match(text)] == []
    assert [text for text in texts.values() if not re.fullmatch(r"[A-Z].*\.", text) or len(text.split()) < 4] == []
