"""CODEOWNERS as GitHub and GitLab parse it, with arbitrary text."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from leakwatch.errors import ConfigError
from leakwatch.leaks.ownership.codeowners import LONGEST_PATH, CodeOwners, OwnerRule, parse

SEGMENT = st.sampled_from(["a", "b", "ab", "*", "**", "a*", "*b", "?", "a?", "a*b*a", "*a*b*", "**a", r"\a"])
PATTERN = st.builds(
    lambda first, segments, last: first + "/".join(segments) + last,
    st.sampled_from(["", "/"]),
    st.lists(SEGMENT, min_size=1, max_size=4),
    st.sampled_from(["", "/"]),
)
PATH = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=5).map("/".join)


def owners(text: str) -> CodeOwners:
    """Return the rules of a file with this text."""
    return parse(text, "CODEOWNERS")


@pytest.mark.parametrize(
    ("pattern", "path", "owned"),
    [
        ("*", "a/b/c.go", True),
        ("*.go", "a/b/c.go", True),
        ("*.go", "a/b.go/c", True),
        ("*.go", "a/b.god", False),
        ("/build/logs/", "build/logs/a/b", True),
        ("/build/logs/", "x/build/logs/a", False),
        ("/build/logs/", "build/logs", False),
        # The only difference from .gitignore: files in directories below do not match.
        ("docs/*", "docs/a.md", True),
        ("docs/*", "docs/build/a.md", False),
        ("docs/*", "x/docs/a.md", False),
        ("/*", "main.go", True),
        ("/*", "cmd/main.go", False),
        ("docs/*.md", "docs/a.md/x", True),
        ("apps/", "x/y/apps/z/a.go", True),
        ("apps/", "apps", False),
        ("**/logs", "logs", True),
        ("**/logs", "deeply/nested/logs/a.go", True),
        ("/apps/github", "apps/github/a.go", True),
        ("/apps/github", "apps/github", True),
        ("/apps/github", "apps/githubber", False),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b/c", True),
        ("a/**", "a/x/y", True),
        ("a/**", "a", False),
        ("**", "a/b", True),
        ("/", "a", False),
        ("b/**/", "b/a", False),
        ("b/**/", "b/c/d", True),
        # Brackets are not ranges, and regular expressions do not apply.
        ("a[12].go", "a1.go", False),
        ("a[12].go", "a[12].go", True),
        ("(a|b)+.go", "a.go", False),
        ("a.go", "abgo", False),
        (r"with\ space/", "with space/a.go", True),
        (r"\*.go", "a.go", False),
        (r"\*.go", "*.go", True),
        ("Docs/", "docs/a", False),
        ("größe/", "größe/a.go", True),
    ],
)
def test_patterns(pattern: str, path: str, owned: bool) -> None:
    """Each pattern matches as GitHub's documentation describes."""
    assert (owners(f"{pattern} @team").owner(path) == "@team") is owned


@settings(deadline=None)
@given(PATTERN, PATH)
@example("a/**/**", "a/a")
@example("**/", "a")
def test_patterns_are_those_of_gitignore(pattern: str, path: str) -> None:
    """Patterns match as in a library for .gitignore, except those that end in /*."""
    if pattern.endswith("**/") or (pattern.endswith("/*") and "/" in pattern):
        return  # see above; unlike git, the library handles b/**/ as b/**
    assert OwnerRule(pattern).matches(path) is GitIgnoreSpec.from_lines([pattern]).match_file(path)


def test_the_last_rule_applies() -> None:
    """A later rule replaces the owners of an earlier one, even by none; without a rule they are unknown."""
    rules = owners("*.go @all\n/pipeline/ @acme/ingest  @bob\n/pipeline/generated/\n/x/ dev@example.com\n")
    assert rules.owner("main.go") == "@all"
    assert rules.owner("pipeline/a.go") == "@acme/ingest, @bob"
    assert rules.owner("pipeline/generated/a.go") == ""
    assert rules.owner("x/a.go") == "dev@example.com"
    assert rules.owner("Makefile") is None
    assert rules.owner("") is None


def test_comments_and_white_space() -> None:
    """Empty lines, comments, tabs, Windows line endings and a byte order mark are ignored."""
    rules = owners("\ufeff# *.go @no\r\n\r\n\t*.go\t@a\t@b # @c\r\n  #x @no\n*.md @d #e\n")
    assert rules.owner("a.go") == "@a, @b"
    assert rules.owner("a.md") == "@d"
    assert owners(r"\#a.go @e").owner("#a.go") == "@e"
    assert owners("*.go # comment @x").owner("a.go") == ""
    assert owners("").owner("a.go") is None


def test_sections() -> None:
    """Each section of GitLab has its own last rule and default owners; sections of the same name are one."""
    rules = owners(
        "* @all\n[Go code][2] @gophers @all\n*.go\n/api/*.go @api\n"
        "^[Docs]\n*.md @writers\n[go CODE]\n!/api/gen.go\n"
    )
    assert rules.owner("a.go") == "@all, @gophers"
    assert rules.owner("api/a.go") == "@all, @api"
    assert rules.owner("a.md") == "@all, @writers"
    assert rules.owner("api/gen.go") == "@all"
    assert owners("*.go @a\n!/gen/\n").owner("gen/a.go") == ""
    assert (
        owners("* @@maintainer @group/with-nested/sub.group").owner("a")
        == "@@maintainer, @group/with-nested/sub.group"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("* @a\n*.go team\n", "CODEOWNERS:2: 'team' is not an owner; write @user, @org/team or an e-mail address"),
        ("* @\n", "CODEOWNERS:1: '@' is not an owner"),
        ("* <script>@x</script>\n", "CODEOWNERS:1: '<script>@x</script>' is not an owner"),
        ("# x\n\n!*.go @a\n", "CODEOWNERS:3: '!*.go @a': a pattern cannot be negated with !"),
        ("[Docs @a\n", "CODEOWNERS:1: '[Docs @a' begins like a section, but is not of the form [Name] @owner"),
        ("[Docs] writers\n", "CODEOWNERS:1: 'writers' is not an owner"),
        ("\x00\x01\x02 \x03\x04\n", r"CODEOWNERS:1: '\x03\x04' is not an owner"),
        ("* " + "x" * 10_000, f"CODEOWNERS:1: '{'x' * 120}'... is not an owner"),
    ],
)
def test_invalid_files(text: str, message: str) -> None:
    """Each error is one line with the file, the line number and the text."""
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}[^\n]*$"):
        owners(text)


@settings(deadline=None)
@given(st.text())
def test_arbitrary_text(text: str) -> None:
    """Any text is parsed, or rejected with its line, and any path has a result."""
    rules, message = CodeOwners(), "CODEOWNERS:1: "
    try:
        rules = owners(text)
    except ConfigError as error:
        message = str(error)
    rules.owner(text)
    rules.guess(f"/{text}/main.go")
    assert re.match(r"CODEOWNERS:\d+: ", message)


def test_a_file_of_ten_thousand_lines() -> None:
    """All lines of a large file apply."""
    rules = owners("".join(f"/services/s{i}/**/*.go @acme/t{i}\n**/gen{i}/ @gen{i}\n" for i in range(5_000)))
    for i in (0, 2_500, 4_999):
        assert rules.owner(f"services/s{i}/a/b/c.go") == f"@acme/t{i}"
        assert rules.owner(f"lib/gen{i}/c.go") == f"@gen{i}"
    assert rules.owner("lib/c.go") is None


def test_hostile_patterns_end() -> None:
    """Patterns that take a backtracking matcher unlimited time are fast."""
    for pattern, path in (
        ("*a" * 40 + "b", "a" * 3_000),
        ("**/a/" * 40 + "b", "a/" * 1_500 + "c"),
        ("**/*a*/" * 30 + "b", "aa/" * 1_000 + "c"),
        ("**/" * 1_000 + "b", "a/" * 1_500 + "c"),
    ):
        assert len(path) <= LONGEST_PATH
        assert owners(f"{pattern} @x").owner(path) is None
    assert owners("* @x").owner("a" * (LONGEST_PATH + 1)) is None


def test_an_unknown_root() -> None:
    """The root is the directory below which a rule matches; without such a rule, the file is in the root."""
    rules = owners("* @all\n/cmd/server/ @servers\n/*/main.go @tools\nserver/ @anywhere\n/cmd/*/gen.go\n")
    assert rules.guess("/home/ci/cmd/server/main.go") == "@anywhere"
    assert owners("* @all\n/cmd/server/ @servers").guess("/home/ci/cmd/server/main.go") == "@servers"
    assert owners("* @all\n/cmd/server/ @servers").guess("/home/ci/job/main.go") == "@all"
    assert owners("job/ @x").guess("/home/ci/job/main.go") is None
    assert rules.guess("main.go") == "@all"
