"""Tooltips of the pages."""

from pathlib import Path

from leakwatch.model import Verdict
from leakwatch.web.pages.terms import REMEDIES, TERMS
from tests.support.api_world import get, view
from tests.support.seen_pages import ParsedPage

DOCS = Path(__file__).parents[4] / "docs"
WORDS = (DOCS / "words.md").read_text()


def test_terms_are_words_of_the_docs() -> None:
    """Each term is in docs/words.md, and each verdict has a tooltip."""
    for term in TERMS:
        assert term.removesuffix("s") in WORDS or term == "blocked in"
    assert {verdict.word for verdict in Verdict} <= TERMS.keys()


def test_a_verdict_has_a_tooltip() -> None:
    """The overview explains its verdicts."""
    titles = set(ParsedPage(get("/").text).attributes("title"))
    assert {TERMS[leak.verdict.word] for leak in view().leaks} <= titles


def test_remedies_are_those_of_the_docs() -> None:
    """Pages and docs have the same text for each reason of a failed scrape."""
    section = (DOCS / "troubleshooting.md").read_text().partition("## A target is down")[2].partition("\n## ")[0]
    rows = [row.strip("|").split(" | ") for row in section.splitlines() if row.startswith("| `")]
    assert {reason.strip(" `"): remedy.strip() for reason, _, remedy in rows} == REMEDIES
