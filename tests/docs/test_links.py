"""Links of the README and of docs/ lead somewhere, and every page is found from the README."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
LINK = re.compile(r'\]\((?!https?:)([^)\s]+)\)|(?:src|srcset)="([^"]+)"')


def anchors(page: Path) -> set[str]:
    """Return what # may name in a page, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [ROOT / "README.md", *DOCS], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each file and each heading that a page links to is there."""
    broken = []
    for one, other in LINK.findall(page.read_text()):
        file, _, anchor = (one or other).partition("#")
        target = page.parent / file if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(one or other)
    assert broken == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_page_is_linked(page: Path) -> None:
    """Whoever reads the README can get to it."""
    assert f"(docs/{page.name})" in (ROOT / "README.md").read_text()


def test_pictures_are_small() -> None:
    """No picture of the docs makes a page slow to open."""
    pictures = [*(ROOT / "docs").rglob("*.png"), *(ROOT / "docs").rglob("*.svg")]
    assert len(pictures) > 10
    assert {picture.name for picture in pictures if picture.stat().st_size > 120_000} == set()
