"""The series table: which stacks have a row when there are more stacks than rows."""

from collections.abc import Mapping

import pytest

from leakwatch.detect.series_table import SeriesTable
from leakwatch.model import Fingerprint
from tests.support.simulated import samples, stack

LIMIT = 3


def key(name: str) -> Fingerprint:
    """Return the fingerprint of a stack of `samples`."""
    return stack(name, f"main.go{name}").fingerprint


def scrape(table: SeriesTable, counts: Mapping[str, int], time: float = 0.0, protected: str = "") -> list[str]:
    """Admit the new stacks of a scrape; return the names of those with a row."""
    found = samples(counts)
    new = [sample for fingerprint, sample in found.items() if fingerprint not in table.rows]
    if new:
        table.admit(new, found, [key(name) for name in protected])
    table.see([table.rows[fingerprint] for fingerprint in found if fingerprint in table.rows], time)
    return [stack.frames[0].function.removeprefix("main.") for stack in table.stacks if stack is not None]


@pytest.mark.parametrize(
    ("before", "counts", "protected", "expected"),
    [
        pytest.param({}, {"a": 1, "b": 2}, "", "ab", id="room for all"),
        pytest.param({}, {"a": 1, "b": 5, "c": 3, "d": 4}, "", "bcd", id="the largest"),
        pytest.param({"a": 1, "b": 1, "c": 1}, {"d": 1}, "", "bcd", id="an empty stack goes"),
        pytest.param({"a": 1, "b": 1, "c": 1}, {"b": 1, "d": 1, "e": 1}, "", "bde", id="all empty stacks go"),
        pytest.param({"a": 5, "b": 3, "c": 5}, {"a": 5, "b": 3, "c": 5, "d": 7}, "", "acd", id="twice as large"),
        pytest.param(
            {"a": 5, "b": 3, "c": 5}, {"a": 5, "b": 3, "c": 5, "d": 6}, "", "abc", id="not twice as large"
        ),
        pytest.param({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 1, "c": 1, "d": 9}, "ab", "abd", id="protected"),
        pytest.param({"a": 1, "b": 1, "c": 1}, {"d": 9}, "abc", "abc", id="all protected"),
    ],
)
def test_admission(before: Mapping[str, int], counts: Mapping[str, int], protected: str, expected: str) -> None:
    """Empty stacks lose their row first, then small ones to stacks that are more than twice as large."""
    table = SeriesTable(LIMIT)
    scrape(table, before)
    assert sorted(scrape(table, counts, 1.0, protected)) == list(expected)
    assert len(table.stacks) <= LIMIT
    assert {stack.fingerprint for stack in table.stacks if stack} == table.rows.keys()


def test_the_longest_unseen_stack_goes_first() -> None:
    """Of several empty stacks, those that were seen last stay."""
    table = SeriesTable(LIMIT)
    scrape(table, {"a": 1, "b": 1, "c": 1}, 0.0)
    scrape(table, {"a": 1, "c": 1}, 1.0)
    scrape(table, {"c": 1}, 2.0)
    assert sorted(scrape(table, {"d": 1}, 3.0)) == ["a", "c", "d"]


def test_rows_are_reported() -> None:
    """An admission returns the rows that were freed and those that were given, and changes the version."""
    table = SeriesTable(1)
    first, second = samples({"a": 1}), samples({"b": 1})
    assert table.admit(list(first.values()), first, ()) == ([], [(0, first[key("a")])])
    version = table.version
    assert table.admit(list(second.values()), second, ()) == ([0], [(0, second[key("b")])])
    assert table.version != version


def test_rows_of_one_origin_share_a_number() -> None:
    """Numbers of origins are shared, and stay so when old numbers are dropped."""
    table = SeriesTable(4)
    new = [*samples({"a": 1, "b": 1}, "main.work").values(), *samples({"c": 1}).values()]
    table.admit(new, {}, ())
    numbers = [int(table.origins[table.rows[sample.stack.fingerprint]]) for sample in new]
    assert numbers[0] == numbers[1] != numbers[2]
    for i in range(20):
        scrape(table, {"a": 0, f"once{i}": 1}, float(i))
    assert table.origins.max() <= 2 * table.limit
