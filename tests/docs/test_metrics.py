"""docs/metrics.md has a row for every metric that leakwatch can export, and for no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

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
