"""Regular expressions: none takes more than linear time, whatever the text is.

Texts are derived from each pattern: a short text that a part of it matches, repeated after the beginning of a
match. Each is tried with the methods that the module calls.
"""

import ast
import importlib
import inspect
import re
import string
import time
from collections.abc import Iterator
from importlib import import_module
from itertools import islice, pairwise, product
from pathlib import Path
from typing import Any

import pytest

import leakwatch
from leakwatch.leaks.ownership import codeowners
from leakwatch.settings.globs import glob

codes: Any = import_module("re._constants")
"""The opcodes of parsed patterns, without types in typeshed, like the parser."""
parser: Any = import_module("re._parser")

PACKAGE = Path(leakwatch.__file__).parent
MODULES = sorted(
    ".".join(("leakwatch", *path.relative_to(PACKAGE).with_suffix("").parts))
    for path in PACKAGE.rglob("*.py")
    if path.name not in {"__init__.py", "__main__.py"}
)
METHODS = {"search", "match", "fullmatch", "sub", "split", "findall", "finditer"}
SIZES = (30, 250, 2_000, 16_000)
"""Lengths of the texts. Slower patterns are found with shorter texts."""
NOTICEABLE = 0.02
"""CPU seconds. A quadratic search in 16,000 characters takes about 1 s, a linear one 1 ms."""
CERTAIN = 1.0
"""CPU seconds that are too many on any machine, so that they are not measured again."""
REPETITIONS = 5
"""Measurements of a slow text; a single one within the limit shows that the others were disturbed."""
TOLERANCE = 4
REPEATS = {codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT}
MAX_TEXTS = 2_000
"""Per pattern. Only the label selector of Kubernetes would have more."""

DYNAMIC = {
    "leakwatch.cli.demo": "the picture is leakwatch's own",
    "leakwatch.scrape.probes.local_process": "the file is the kernel's",
    "leakwatch.web.lazy": "the pattern is Starlette's",
    "leakwatch.settings.redaction": "the text is escaped",
    "leakwatch.leaks.ignore": "see BUILT",
    "leakwatch.leaks.ownership.codeowners": "see BUILT",
    "leakwatch.evidence.config": "see BUILT",
}
"""Module -> why it may compile a pattern that is not a literal."""
BUILT = [
    *(glob(text).pattern for text in ("*a*a*b", "*a?*b", "**", "a*?*?c", "*", "?*a*?*a")),
    *(codeowners.expression(text) for text in ("*a*a*b", "**/a*/**/b?c/*", "/a/**/b/**/c", "*.js", "a/**", "/*")),
]


def usages(module: str) -> Iterator[tuple[str, re.Pattern[Any], str]]:
    """Yield name, pattern and method of each call in a module that uses a regular expression."""
    imported = importlib.import_module(module)
    for node in ast.walk(ast.parse(inspect.getsource(imported))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS):
            continue
        if not isinstance(node.func.value, ast.Name):
            continue
        name, pattern = node.func.value.id, getattr(imported, node.func.value.id, None)
        if isinstance(pattern, re.Pattern):
            yield name, pattern, node.func.attr
        elif pattern is re and isinstance(node.args[0], ast.Constant):
            yield f"line {node.lineno}", re.compile(node.args[0].value), node.func.attr
        elif pattern is re:
            assert module in DYNAMIC, f"{module}:{node.lineno}: a pattern that is not a literal"


USAGES = {
    f"{module}.{name}.{method}": (pattern, method)
    for module in MODULES
    for name, pattern, method in usages(module)
} | {f"built {text}": (re.compile(text, re.DOTALL), "fullmatch") for text in BUILT}


def shortest(tree: Any) -> str:
    """Return a short text that a parsed pattern matches, ignoring assertions."""
    return "".join(_shortest(code, value) for code, value in tree)


def _shortest(code: Any, value: Any) -> str:
    if code is codes.LITERAL:
        return chr(value)
    if code is codes.IN:
        return _member(value)
    if code in REPEATS:
        return shortest(value[2]) * int(value[0])
    inner = {
        codes.SUBPATTERN: lambda: value[-1],
        codes.ATOMIC_GROUP: lambda: value,
        codes.BRANCH: lambda: value[1][0],
    }
    if code in inner:
        return shortest(inner[code]())
    return "a" if code in {codes.ANY, codes.NOT_LITERAL} else ""


def _member(value: Any) -> str:
    """Return a character that a set matches."""
    pattern = re.compile(_set_source(value))
    return next((char for char in string.printable + "\x00\xff" if pattern.fullmatch(char)), "a")


def _set_source(value: Any) -> str:
    source = ""
    for code, item in value:
        if code is codes.NEGATE:
            source += "^"
        elif code is codes.LITERAL:
            source += re.escape(chr(item))
        elif code is codes.RANGE:
            source += f"{re.escape(chr(item[0]))}-{re.escape(chr(item[1]))}"
        else:
            names = {"DIGIT": r"\d", "NOT_DIGIT": r"\D", "SPACE": r"\s", "NOT_SPACE": r"\S", "WORD": r"\w"}
            source += names.get(str(item).removeprefix("CATEGORY_"), r"\W")
    return f"[{source}]"


def parts(tree: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """Yield beginning and shortest text of each part of a pattern, also of nested ones."""
    for code, value in tree:
        text = _shortest(code, value)
        inner: list[Any] = []
        if code in REPEATS:
            text, inner = text or shortest(value[2]), [value[2]]
        elif code is codes.SUBPATTERN:
            inner = [value[-1]]
        elif code is codes.ATOMIC_GROUP:
            inner = [value]
        elif code is codes.BRANCH:
            inner = value[1]
        if text:
            yield before, text
        for nested in inner:
            yield from parts(nested, before)
        before += text


def texts(pattern: re.Pattern[Any], size: int) -> Iterator[str]:
    """Yield texts of about `size` characters that may take a pattern long."""
    return islice(_texts(pattern, size), MAX_TEXTS)


def _texts(pattern: re.Pattern[Any], size: int) -> Iterator[str]:
    found = list(dict.fromkeys(parts(parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE))))
    befores = list(dict.fromkeys([*(before for before, _ in found), *(before + text for before, text in found)]))
    pumps = dict.fromkeys([*(text for _, text in found), *(before + text for before, text in found), *befores])
    for pump, before in product(pumps, dict.fromkeys([*befores, shortest(parser.parse(pattern.pattern))])):
        if pump:
            yield before + pump * (size // len(pump)) + "\n\x00"
            yield before + pump * (size // len(pump))


def seconds(pattern: re.Pattern[Any], method: str, text: str) -> float:
    """Return the CPU seconds of a call."""
    subject: Any = text.encode() if isinstance(pattern.pattern, bytes) else text
    empty: Any = b"" if isinstance(pattern.pattern, bytes) else ""
    begin = time.thread_time()
    if method == "sub":
        pattern.sub(empty, subject)
    elif method == "finditer":
        list(pattern.finditer(subject))
    else:
        getattr(pattern, method)(subject)
    return time.thread_time() - begin


def slow_text(pattern: re.Pattern[Any], method: str) -> str:
    """Return the beginning of a text for which the time grows faster than its length, or ""."""
    for short, long in pairwise(SIZES):
        for text, longer in zip(texts(pattern, short), texts(pattern, long), strict=True):
            first = seconds(pattern, method, longer)
            if first < NOTICEABLE:
                continue
            if first > CERTAIN:
                return longer[:100]
            limit = TOLERANCE * long / short * min(seconds(pattern, method, text) for _ in range(3))
            if all(seconds(pattern, method, longer) > max(limit, NOTICEABLE) for _ in range(REPETITIONS)):
                return longer[:100]
    return ""


@pytest.mark.parametrize("usage", sorted(USAGES))
def test_no_pattern_takes_more_than_linear_time(usage: str) -> None:
    """Eight times the text takes at most 32 times the CPU time; a quadratic pattern needs 64 times as much."""
    assert slow_text(*USAGES[usage]) == ""


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"[ \t]*(?:\{.*\})?[ \t]*([^ \t]+)(?:[ \t]+-?\d+)?[ \t]*\r?", "fullmatch"),
        (r"\[.*\]", "sub"),
        (r"(?:.*/pkg/mod/)?([^@]+)@(v[^/@]+)/(.+)", "fullmatch"),
        (r".*a.*a.*b", "fullmatch"),
        (r"[^/@\s]*@", "sub"),
        (r"(?:x|y)+z", "search"),
    ],
)
def test_quadratic_patterns_are_found(pattern: str, method: str) -> None:
    """Patterns with overlapping repetitions are found, among them those that leakwatch had."""
    assert slow_text(re.compile(pattern), method) != ""
