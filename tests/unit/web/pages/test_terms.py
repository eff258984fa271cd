"""Tooltips of the pages."""

from pathlib import Path

from leakwatch.model import Verdict
from leakwatch.web.pages.terms import TERMS
from tests.support.api_world import get, view
from tests.support.seen_pages import ParsedPage

WORDS = (Path(__file__).parents[4] / "docs" / "words.md").read_text()


def test_terms_are_words_of_the_docs() -> None:
    """Each term is in docs/words.md, and each verdict has a tooltip."""
    for term in TERMS:
        assert term.removesuffix("s") in WORDS or term == "blocked in"
    assert {verdict.word for verdict in Verdict} <= TERMS.keys()


def test_a_verdict_has_a_tooltip() -> None:
    """The overview explains its verdicts."""
    titles = set(ParsedPage(get("/").text).attributes("title"))
    assert {TERMS[leak.verdict.word] for leak in view().leaks} <= titles
