"""Relabeling: what Prometheus cannot be asked about in one go, and what holds for any text."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.discovery.go_regexp import compiled, template
from leakwatch.discovery.relabel import RelabelConfig, relabel, rules

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def made(labels: dict[str, str], *configs: dict[str, Any]) -> dict[str, str] | None:
    """Return what rules make of labels."""
    return relabel(labels, rules(RelabelConfig.model_validate(config) for config in configs))


@given(TEXT, TEXT)
def test_a_pattern_matches_the_whole_text(text: str, other: str) -> None:
    """A text matches itself alone; with anything before or after it, line ends too, it does not."""
    pattern = compiled(rf"\Q{text}\E" if r"\E" not in text else re.escape(text))
    if r"\E" not in text and not text.endswith("\\"):
        assert pattern.matches(text)
        assert pattern.matches(other + text) == (other == "")
        assert pattern.matches(text + other) == (other == "")


@given(TEXT)
def test_a_dot_is_any_letter(text: str) -> None:
    """The default matches everything, and so does the same written in another way; a letter is never cut."""
    assert compiled("(.*)").groups(text) == compiled("(.*?)").groups(text) == (text, text)
    assert compiled(f".{{{len(text)}}}").matches(text)


@given(TEXT, TEXT, TEXT)
def test_expansion(one: str, two: str, literal: str) -> None:
    """Groups come out as they went in, whatever is in them; dollars that are doubled are dollars."""
    pattern = compiled("(.*);(?P<two>.*)")
    groups = (f"{one};{two}", one, two)
    for text in ("${1}", "$1", "${two}", "$two", "$0"):
        wanted = {"1": one, "t": two, "0": groups[0]}[text.strip("${}")[0]]
        assert template(text, pattern).filled(groups) == wanted
        assert template("$$" + text, pattern).filled(groups) == f"${wanted}"
    escaped = literal.replace("$", "$$")
    assert template(escaped + "${1}" + escaped, pattern).filled(groups) == literal + one + literal


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("$1x", ""),
        ("${1}x", "ONEx"),
        ("$1-x", "ONE-x"),
        ("$name", "TWO"),
        ("$names", ""),
        ("$3", ""),
        ("$01", ""),
        ("$", "$"),
        ("a$", "a$"),
        ("$$$$", "$$"),
        ("$-1", "$-1"),
        ("${1", "${1"),
        ("${}", "${}"),
        ("${a-b}", "${a-b}"),
        ("$1é", ""),
        ("$1²", "ONE²"),
        ("$1$name", "ONETWO"),
        ("$99999999999", ""),
    ],
)
def test_expansion_as_in_go(text: str, wanted: str) -> None:
    """The longest name counts, a group that is not there is empty, a dollar before anything else is one."""
    pattern = compiled("(.*),(?P<name>.*)")
    assert template(text, pattern).filled(("ONE,TWO", "ONE", "TWO")) == wanted


def test_a_dot_matches_a_line_end() -> None:
    """As in Prometheus from 3.0 on; the version that the other test asks does not yet."""
    assert made({"a": "x\ny"}, {"source_labels": ["a"], "regex": "x.y", "action": "drop"}) is None
    assert made({"a": "x\n"}, {"source_labels": ["a"], "regex": "x", "action": "drop"}) == {"a": "x\n"}


def test_time_grows_with_the_text_only() -> None:
    """A pattern that keeps backtracking engines busy for ever answers at once."""
    assert made({"a": "a" * 100_000}, {"source_labels": ["a"], "regex": "(a+)+b", "action": "keep"}) is None


def test_a_result_that_is_empty_removes_the_label() -> None:
    """Also where the name of the label comes from a group; a name that is none writes nothing."""
    rule = {"source_labels": ["a"], "regex": "(.*)/.*", "target_label": "l_${1}", "replacement": ""}
    assert made({"a": "x/", "l_x": "1"}, rule) == {"a": "x/"}
    assert made({"a": "ü/", "l_x": "1"}, rule) == {"a": "ü/", "l_x": "1"}


def test_keepequal_and_dropequal() -> None:
    """A missing label equals an empty one."""
    equal = {"source_labels": ["a", "b"], "target_label": "c"}
    for labels, same in (
        ({"a": "1", "b": "2", "c": "1;2"}, True),
        ({"c": ";"}, True),
        ({"a": "1", "c": "1"}, False),
    ):
        assert (made(labels, equal | {"action": "keepequal"}) is not None) == same
        assert (made(labels, equal | {"action": "dropequal"}) is None) == same


def test_labelmap_of_two_to_one() -> None:
    """The last by name counts, however the labels are ordered."""
    rule = {"regex": "x_.*", "replacement": "y", "action": "labelmap"}
    for labels in ({"x_a": "1", "x_b": "2"}, {"x_b": "2", "x_a": "1"}):
        assert made(labels, rule) == labels | {"y": "2"}


@given(TEXT, st.integers(1, 2**64 - 1))
def test_hashmod_is_below_its_modulus(text: str, modulus: int) -> None:
    """Every target falls into one shard, always the same."""
    rule = {"source_labels": ["a"], "modulus": modulus, "target_label": "shard", "action": "hashmod"}
    first, second = made({"a": text}, rule), made({"a": text}, rule)
    assert first is not None
    assert first == second
    assert 0 <= int(first["shard"]) < modulus


@pytest.mark.parametrize(
    "text", ["(?=a)", "(?!a)", "(?<=a)b", r"(a)\1", "(?P=x)", "(?>a)", "a++", r"\C", "[", "("]
)
def test_what_go_does_not_know_is_refused(text: str) -> None:
    """Whoever writes it hears it at once, with the text and with what is wrong about it."""
    with pytest.raises(ValueError, match="is no regular expression") as caught:
        RelabelConfig.model_validate({"regex": text, "action": "labeldrop"})
    assert text.replace("\\", "\\\\") in str(caught.value)
    assert compiled(r"\Q\C\E|\\C").matches(r"\C")
