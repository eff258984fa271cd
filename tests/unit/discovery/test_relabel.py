"""Relabel rules: the cases that the comparison with Prometheus (tests/e2e/test_discovery_parity.py) lacks."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from leakwatch.discovery.relabel import RelabelConfig, relabel, rules

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def relabeled(labels: dict[str, str], *configs: dict[str, Any]) -> dict[str, str] | None:
    """Return the result of rules for labels."""
    return relabel(labels, rules(RelabelConfig.model_validate(config) for config in configs))


def test_a_dot_matches_a_line_end() -> None:
    """As in Prometheus 3.0 and later; the comparison uses an earlier version."""
    assert relabeled({"a": "x\ny"}, {"source_labels": ["a"], "regex": "x.y", "action": "drop"}) is None
    assert relabeled({"a": "x\n"}, {"source_labels": ["a"], "regex": "x", "action": "drop"}) == {"a": "x\n"}


def test_time_is_linear() -> None:
    """A pattern on which backtracking engines never end fails to match 100,000 letters at once."""
    rule = {"source_labels": ["a"], "regex": "(a+)+b", "action": "keep"}
    assert relabeled({"a": "a" * 100_000}, rule) is None


def test_an_empty_result_removes_the_label() -> None:
    """The name of the label can come from a group; an invalid name has no effect."""
    rule = {"source_labels": ["a"], "regex": "(.*)/.*", "target_label": "l_${1}", "replacement": ""}
    assert relabeled({"a": "x/", "l_x": "1"}, rule) == {"a": "x/"}
    assert relabeled({"a": "ü/", "l_x": "1"}, rule) == {"a": "ü/", "l_x": "1"}


def test_keepequal_and_dropequal() -> None:
    """A missing label equals an empty label."""
    equal = {"source_labels": ["a", "b"], "target_label": "c"}
    for labels, is_equal in (
        ({"a": "1", "b": "2", "c": "1;2"}, True),
        ({"c": ";"}, True),
        ({"a": "1", "c": "1"}, False),
    ):
        assert (relabeled(labels, equal | {"action": "keepequal"}) is not None) == is_equal
        assert (relabeled(labels, equal | {"action": "dropequal"}) is None) == is_equal


def test_labelmap_of_two_labels_to_one() -> None:
    """The last label by name counts, in any order of the labels."""
    rule = {"regex": "x_.*", "replacement": "y", "action": "labelmap"}
    for labels in ({"x_a": "1", "x_b": "2"}, {"x_b": "2", "x_a": "1"}):
        assert relabeled(labels, rule) == labels | {"y": "2"}


@given(TEXT, st.integers(1, 2**64 - 1))
def test_hashmod_is_below_its_modulus(text: str, modulus: int) -> None:
    """The result is the same each time, and below the modulus."""
    rule = {"source_labels": ["a"], "modulus": modulus, "target_label": "shard", "action": "hashmod"}
    first, second = relabeled({"a": text}, rule), relabeled({"a": text}, rule)
    assert first is not None
    assert first == second
    assert 0 <= int(first["shard"]) < modulus


def test_an_invalid_pattern() -> None:
    """A pattern that Go does not support makes the configuration invalid."""
    with pytest.raises(ValidationError, match="is not a regular expression"):
        RelabelConfig.model_validate({"regex": "(?=a)", "action": "labeldrop"})
