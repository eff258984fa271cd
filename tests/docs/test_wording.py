"""Plain English: docstrings, comments, messages, pages and docs do not contain excluded words.

`wording.json` has the number of hits that each file may still have; it may only shrink.
`python -m tests.docs.test_wording` writes it again.
"""

import ast
import io
import json
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWANCES = Path(__file__).with_name("wording.json")


@dataclass(frozen=True, slots=True)
class Rule:
    """Words that are excluded; `example` contains one of them."""

    words: str
    reason: str
    example: str


RULES = (
    Rule(
        "tell|tells|told|telling|say|says|said|saying",
        "a program returns, reports, logs or states",
        "The last that told its name",
    ),
    Rule(
        "thoughts?|think of|thought of|know of|known of",
        "a program judges, and has states and results",
        "all that is known of a target",
    ),
    Rule(
        "take in|takes in|took in|let go|lets go|come to|comes to|go on|goes on|went on|put down",
        "one verb says it: add, parse, drop, reach, continue, record",
        "scraping goes on",
    ),
    Rule(
        r"convict\w*|acquit\w*|guilty|excused|mend|mends|mended|mending|bill",
        "metaphors hide the act: confirm, clear, fix, cost",
        "the window that convicts",
    ),
    Rule(
        "heirs?|inherits?|nobody|whoever|whose|ours|theirs",
        "name the subject: the owner, the replacement, leakwatch's, the service's",
        "the heir of a pod",
    ),
    Rule("mistakes?", "it is an internal error or an invalid value", "a mistake in the file"),
    Rule("no more", 'negate the verb: "no longer", "at most"', "it fires no more"),
    Rule(r"(?<!there\s)is no(?! longer)", 'negate the verb: "is not a duration"', "'x' is no duration"),
)
BEGINNING = re.compile(r"\s*(What|Who)\b")
"""The beginning of a docstring or comment without a subject."""
PATTERNS = [(re.compile(rf"\b(?:{rule.words})\b".replace(" ", r"\s+"), re.IGNORECASE), rule) for rule in RULES]


@dataclass(frozen=True, slots=True)
class Text:
    """Some lines, the first of which is line `number`; `is_prose`: a docstring or a comment."""

    number: int
    lines: str
    is_prose: bool = False


def docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the strings that are statements: docstrings, including those below attributes."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.value


def comments(source: str) -> Iterator[Text]:
    """Yield the comments of Python, consecutive lines as one."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    block: list[str] = []
    last = 0
    for token in tokens:
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last + 1 and block:
            yield Text(last - len(block) + 1, "\n".join(block), is_prose=True)
            block = []
        block.append(token.string.lstrip("#"))
        last = token.start[0]
    if block:
        yield Text(last - len(block) + 1, "\n".join(block), is_prose=True)


def python(source: str) -> Iterator[Text]:
    """Yield the docstrings and comments of Python."""
    for node in docstrings(ast.parse(source)):
        yield Text(node.lineno, str(node.value), is_prose=True)
    yield from comments(source)


def package(source: str) -> Iterator[Text]:
    """Yield the docstrings, comments and messages of Python; a message is any other string with a space."""
    yield from python(source)
    tree = ast.parse(source)
    excluded = set(map(id, docstrings(tree)))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in excluded:
            continue
        if isinstance(node.value, str) and " " in node.value:
            yield Text(node.lineno, node.value)


def blank(pattern: str, text: str) -> str:
    """Return `text` with an ellipsis, and the line breaks, in place of each match."""
    return re.sub(pattern, lambda match: "…" + "\n" * match[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)


def markdown(source: str) -> Iterator[Text]:
    """Yield the text of a page, without the words that tables and italics quote to exclude them."""
    tables = re.compile(r"^\| (?:not|do not write) \|(?:.*\n)(?:\|.*\n)*", re.MULTILINE)
    source = tables.sub(lambda table: re.sub(r"^\|[^|]*", "|", table[0], flags=re.MULTILINE), source)
    yield Text(1, blank(r"(?<![*\w])\*[^*\n]+\*(?![*\w])", source))


def template(source: str) -> Iterator[Text]:
    """Yield the text of a Jinja template with its comments, without expressions, statements and tags."""
    yield Text(1, blank(r"<[^>]*>", blank(r"\{\{.*?\}\}|\{%.*?%\}", source)))


def yaml(source: str) -> Iterator[Text]:
    """Yield the comments of YAML."""
    for number, line in enumerate(source.splitlines(), 1):
        if comment := re.search(r"(?:^|\s)#(.*)", line):
            yield Text(number, comment[1], is_prose=True)


READERS: dict[Callable[[str], Iterator[Text]], tuple[str, ...]] = {
    package: ("leakwatch/**/*.py",),
    python: ("tests/**/*.py", "benchmarks/**/*.py", "deploy/**/*.py", "docs/source/**/*.py"),
    markdown: ("*.md", "docs/**/*.md", "deploy/**/*.md"),
    template: ("leakwatch/web/pages/templates/*.html",),
    yaml: ("config/**/*.yml", "deploy/**/*.yml", "deploy/**/*.yaml"),
}
PAGES = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md"}
"""The pages of the root; any other file there is somebody's note."""


def hits(text: Text) -> Iterator[tuple[int, str]]:
    """Yield the line and the description of each excluded word."""
    lines = blank(r"`[^`\n]*`", text.lines)
    matches = [(match, rule.reason) for pattern, rule in PATTERNS for match in pattern.finditer(lines)]
    if text.is_prose and (match := BEGINNING.match(lines)):
        matches.append((match, "begin with a verb or a noun"))
    for match, reason in matches:
        words = " ".join(match[0].split())
        yield text.number + lines.count("\n", 0, match.end()), f'"{words}": {reason}'


def hits_by_file() -> dict[str, list[str]]:
    """Return file -> its hits, in the order of lines, of each file that has some."""
    by_file = {}
    for read, globs in READERS.items():
        for path in sorted({path for glob in globs for path in ROOT.glob(glob)}):
            if path.parent == ROOT and path.name not in PAGES:
                continue
            in_file = sorted(hit for text in read(path.read_text("utf-8")) for hit in hits(text))
            if in_file:
                by_file[str(path.relative_to(ROOT))] = [f"line {line}: {what}" for line, what in in_file]
    return by_file


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.example)
def test_a_rule_finds_its_example(rule: Rule) -> None:
    """Each rule has exactly one hit in its example."""
    assert [what.partition(": ")[2] for _, what in hits(Text(1, rule.example))] == [rule.reason]


@pytest.mark.parametrize(
    ("read", "source", "lines"),
    [
        (python, '"""Told."""\nx = 1\n"""Return it.\n\nIt says so."""\n# let\n# go\ny = "told"\n', [1, 5, 7]),
        (python, 'x = 1  # Who is it\n"""What it is."""\n', [1, 2]),
        (package, 'x = f"{1} is no number"\ny = "told"\n', [1]),
        (markdown, "| not | but |\n|---|---|\n| told | said |\n\nNot *told* or `told`, but told.\n", [3, 5]),
        (template, "{# told #}\n{{ told }}{% if said %}<p class=told>told</p>\n", [1, 2]),
        (yaml, "said: told  # told\n# There is no more\n", [1, 2]),
        (markdown, "There is no file. It is no longer there. The rule is nobody's.\n", [1]),
    ],
)
def test_a_reader_finds_the_lines(read: Callable[[str], Iterator[Text]], source: str, lines: list[int]) -> None:
    """Each format is checked where people write sentences, and not elsewhere."""
    assert sorted(line for text in read(source) for line, _ in hits(text)) == lines


def test_no_file_has_more_hits_than_before() -> None:
    """The number of hits of each file is the allowed number: more are an error, and fewer lower the number."""
    allowed: dict[str, int] = json.loads(ALLOWANCES.read_text())
    by_file = hits_by_file()
    wrong = {
        file for file in by_file.keys() | allowed.keys() if len(by_file.get(file, ())) != allowed.get(file, 0)
    }
    fewer = sorted(file for file in wrong if len(by_file.get(file, ())) < allowed.get(file, 0))
    assert {file: by_file[file] for file in sorted(wrong.difference(fewer))} == {}
    assert fewer == [], "run: python -m tests.docs.test_wording"


if __name__ == "__main__":
    numbers = {file: len(in_file) for file, in_file in hits_by_file().items()}
    ALLOWANCES.write_text(json.dumps(numbers, indent=2, sort_keys=True) + "\n")
