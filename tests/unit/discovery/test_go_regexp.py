"""Regular expressions and replacements with Go's semantics: examples, and properties of any text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.discovery.go_regexp import compile_pattern, parse_replacement

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(TEXT, TEXT)
def test_a_pattern_matches_the_whole_text(text: str, other: str) -> None:
    """A quoted text matches itself, but not with other text, such as a line end, before or after it."""
    pattern = compile_pattern(rf"\Q{text}\E" if r"\E" not in text else re.escape(text))
    if r"\E" not in text and not text.endswith("\\"):
        assert pattern.matches(text)
        assert pattern.matches(other + text) == (other == "")
        assert pattern.matches(text + other) == (other == "")


@given(TEXT)
def test_a_dot_matches_any_letter(text: str) -> None:
    """The default pattern matches any text, and so does an equivalent one. A dot matches a whole letter."""
    assert compile_pattern("(.*)").groups(text) == compile_pattern("(.*?)").groups(text) == (text, text)
    assert compile_pattern(f".{{{len(text)}}}").matches(text)


@given(TEXT, TEXT, TEXT)
def test_expansion(first: str, second: str, literal: str) -> None:
    """References expand to the groups, whatever text these contain; a doubled dollar sign is a dollar sign."""
    pattern = compile_pattern("(.*);(?P<two>.*)")
    groups = (f"{first};{second}", first, second)
    for text in ("${1}", "$1", "${two}", "$two", "$0"):
        expected = {"1": first, "t": second, "0": groups[0]}[text.strip("${}")[0]]
        assert parse_replacement(text, pattern).expand(groups) == expected
        assert parse_replacement("$$" + text, pattern).expand(groups) == f"${expected}"
    escaped = literal.replace("$", "$$")
    assert parse_replacement(escaped + "${1}" + escaped, pattern).expand(groups) == literal + first + literal


@pytest.mark.parametrize(
    ("text", "expected"),
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
def test_expansion_as_in_go(text: str, expected: str) -> None:
    """The longest name counts, a missing group is empty, and a dollar sign before other text is literal."""
    pattern = compile_pattern("(.*),(?P<name>.*)")
    assert parse_replacement(text, pattern).expand(("ONE,TWO", "ONE", "TWO")) == expected


@pytest.mark.parametrize(
    "text", ["(?=a)", "(?!a)", "(?<=a)b", r"(a)\1", "(?P=x)", "(?>a)", "a++", r"\C", "[", "("]
)
def test_syntax_that_go_does_not_have(text: str) -> None:
    """The error quotes the pattern."""
    with pytest.raises(ValueError, match="is not a regular expression") as caught:
        compile_pattern(text)
    assert text.replace("\\", "\\\\") in str(caught.value)


def test_an_escaped_byte_class() -> None:
    r"""An escaped \C is a text, not the byte class that Go lacks."""
    assert compile_pattern(r"\Q\C\E|\\C").matches(r"\C")
