"""Each test that docs/reliability.md names exists, and its numbers are those of the fault server."""

import ast
import re
from pathlib import Path

from tests.faults.outcomes import OUTCOMES, UP

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def names_in(file: str) -> set[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_each_named_test_exists() -> None:
    """A guarantee and its test stay together."""
    named = NAMED.findall(PAGE)
    assert len(named) > 20
    assert [f"{file}::{test}" for file, test in named if test not in names_in(file)] == []


def test_the_numbers_of_kinds() -> None:
    """The page has the number of all kinds, and of those that must fail."""
    failing = sum(UP not in results for results in OUTCOMES.values())
    assert f"{len(OUTCOMES)} kinds of such targets, {failing} of which must fail" in PAGE


def test_each_guarantee_has_a_test() -> None:
    """Each row of the guarantees names a test, and each row of the threat model that denies an act."""
    rows = re.findall(r"^\| (.*?) \| (.*?) ?\|$", PAGE.partition("## Soak test")[0], re.MULTILINE)
    promises = [row for row in rows if not row[0].startswith(("guarantee", "the attacker", "**can**", "---"))]
    assert len(promises) > 30
    assert [text for text, test in promises if not NAMED.search(test)] == []
