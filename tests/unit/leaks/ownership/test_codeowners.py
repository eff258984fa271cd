"""CODEOWNERS as GitHub and GitLab read it, whatever stands in it."""

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
    """Return what a file with this text says."""
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
        # Of .gitignore's rules this is the one that is different: directories below are not reached.
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
        # Brackets are no range, and nothing that regular expressions know is anything.
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
    """Each pattern matches what GitHub's documentation says of it."""
    assert (owners(f"{pattern} @team").owner(path) == "@team") is owned


@settings(deadline=None)
@given(PATTERN, PATH)
@example("a/**/**", "a/a")
@example("**/", "a")
def test_patterns_are_those_of_gitignore(pattern: str, path: str) -> None:
    """But for what ends in /*, a pattern matches what a library for .gitignore says."""
    if pattern.endswith("**/") or (pattern.endswith("/*") and "/" in pattern):
        return  # said above; the library takes b/**/ for b/**, which git does not
    assert OwnerRule(pattern).matches(path) is GitIgnoreSpec.from_lines([pattern]).match_file(path)


def test_the_last_rule_counts() -> None:
    """A later rule takes away what an earlier one gave, to others or to nobody; what none names is not known."""
    said = owners("*.go @all\n/pipeline/ @acme/ingest  @bob\n/pipeline/generated/\n/x/ dev@example.com\n")
    assert said.owner("main.go") == "@all"
    assert said.owner("pipeline/a.go") == "@acme/ingest, @bob"
    assert said.owner("pipeline/generated/a.go") == ""
    assert said.owner("x/a.go") == "dev@example.com"
    assert said.owner("Makefile") is None
    assert said.owner("") is None


def test_comments_and_white_space() -> None:
    """Empty lines, comments, tabs, line ends of Windows and a byte order mark are nothing."""
    said = owners("\ufeff# *.go @no\r\n\r\n\t*.go\t@a\t@b # @c\r\n  #x @no\n*.md @d #e\n")
    assert said.owner("a.go") == "@a, @b"
    assert said.owner("a.md") == "@d"
    assert owners(r"\#a.go @e").owner("#a.go") == "@e"
    assert owners("*.go # nobody @x").owner("a.go") == ""
    assert owners("").owner("a.go") is None


def test_sections() -> None:
    """GitLab's sections each have a last rule and default owners; a name that comes again is the same section."""
    said = owners(
        "* @all\n[Go code][2] @gophers @all\n*.go\n/api/*.go @api\n"
        "^[Docs]\n*.md @writers\n[go CODE]\n!/api/gen.go\n"
    )
    assert said.owner("a.go") == "@all, @gophers"
    assert said.owner("api/a.go") == "@all, @api"
    assert said.owner("a.md") == "@all, @writers"
    assert said.owner("api/gen.go") == "@all"
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
def test_mistakes(text: str, message: str) -> None:
    """Each is one line with file, line and the text."""
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}[^\n]*$"):
        owners(text)


@settings(deadline=None)
@given(st.text())
def test_whatever_is_in_it(text: str) -> None:
    """Any text is read or refused with its line, and any path is then looked up."""
    said, mistake = CodeOwners(), "CODEOWNERS:1: "
    try:
        said = owners(text)
    except ConfigError as error:
        mistake = str(error)
    said.owner(text)
    said.guess(f"/{text}/main.go")
    assert re.match(r"CODEOWNERS:\d+: ", mistake)


def test_a_file_of_ten_thousand_lines() -> None:
    """Each line of a large file counts."""
    said = owners("".join(f"/services/s{i}/**/*.go @acme/t{i}\n**/gen{i}/ @gen{i}\n" for i in range(5_000)))
    for i in (0, 2_500, 4_999):
        assert said.owner(f"services/s{i}/a/b/c.go") == f"@acme/t{i}"
        assert said.owner(f"lib/gen{i}/c.go") == f"@gen{i}"
    assert said.owner("lib/c.go") is None


def test_hostile_patterns_end() -> None:
    """Patterns and paths over which a matcher that goes back would need longer than anybody lives."""
    for pattern, path in (
        ("*a" * 40 + "b", "a" * 3_000),
        ("**/a/" * 40 + "b", "a/" * 1_500 + "c"),
        ("**/*a*/" * 30 + "b", "aa/" * 1_000 + "c"),
        ("**/" * 1_000 + "b", "a/" * 1_500 + "c"),
    ):
        assert len(path) <= LONGEST_PATH
        assert owners(f"{pattern} @x").owner(path) is None
    assert owners("* @x").owner("a" * (LONGEST_PATH + 1)) is None


def test_a_file_that_may_begin_anywhere() -> None:
    """The repository begins where a rule names the rest from the root; else the file is in the root."""
    said = owners("* @all\n/cmd/server/ @servers\n/*/main.go @tools\nserver/ @anywhere\n/cmd/*/gen.go\n")
    assert said.guess("/home/ci/cmd/server/main.go") == "@anywhere"
    assert owners("* @all\n/cmd/server/ @servers").guess("/home/ci/cmd/server/main.go") == "@servers"
    assert owners("* @all\n/cmd/server/ @servers").guess("/home/ci/work/main.go") == "@all"
    assert owners("work/ @x").guess("/home/ci/work/main.go") is None
    assert said.guess("main.go") == "@all"
