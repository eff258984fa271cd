"""Links in the README and in docs/ are valid, and the README links to every page."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
LINK = re.compile(r'\]\((?!https?:)([^)\s]+)\)|(?:src|srcset)="([^"]+)"')


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub derives from the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [ROOT / "README.md", *DOCS], ids=lambda page: page.name)
def test_links_are_valid(page: Path) -> None:
    """Each link leads to an existing file and, if it has an anchor, to a heading of that file."""
    broken = []
    for link, image in LINK.findall(page.read_text()):
        file, _, anchor = (link or image).partition("#")
        target = page.parent / file if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link or image)
    assert broken == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_page_is_linked(page: Path) -> None:
    """The README links to each page."""
    assert f"(docs/{page.name})" in (ROOT / "README.md").read_text()


def test_pictures_are_small() -> None:
    """No picture is larger than 120 kB."""
    pictures = [*(ROOT / "docs").rglob("*.png"), *(ROOT / "docs").rglob("*.svg")]
    assert len(pictures) > 10
    assert {picture.name for picture in pictures if picture.stat().st_size > 120_000} == set()
