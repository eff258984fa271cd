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
    "SummaryMetricFamily": ("_sum", "_count"),
}
OF_LEAKS = "LeakFamily"
"""What leaks/metrics.py makes its own with, each a gauge that begins with leakwatch_leak_."""


def exported() -> Iterator[str]:
    """Yield the series of each family that the source makes, also of those that there are now and then only."""
    for file in (ROOT / "leakwatch").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
                continue
            made, name = node.func.id, node.args[0]
            if made not in ENDINGS and made != OF_LEAKS:
                assert not made.endswith("MetricFamily"), f"{made}: how do its series end?"
                continue
            if isinstance(name, ast.JoinedStr):
                assert file.parent.name == "leaks"  # that of class Family itself
                continue
            assert isinstance(name, ast.Constant), f"{file.name}:{node.lineno}: its name is not written there"
            family = f"leakwatch_leak_{name.value!s}" if made == OF_LEAKS else str(name.value)
            yield from (family + ending for ending in ENDINGS.get(made, ("",)))


def documented() -> Iterator[str]:
    """Yield the names in the first column of the table."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    for cell in re.findall(r"^\| (`leakwatch_[^|]*) \|", page, re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", cell)
        yield first
        yield from (first.removesuffix("_sum") + other if other[0] == "_" else other for other in others)


def test_every_metric_has_a_row() -> None:
    """Whoever adds a metric says what it means; a row of one that is gone goes too."""
    rows = list(documented())
    assert len(rows) > 40
    assert sorted(rows) == sorted(set(exported()))
