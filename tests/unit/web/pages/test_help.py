"""Docs that the pages contain."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from leakwatch.causes.catalogue import shipped
from leakwatch.notify.links import ALL_WAITS, ANCHORS, TARGET_DOWN, wait_help
from leakwatch.web.pages.help import FOLDER, TITLES
from tests.support.api_world import get
from tests.support.seen_pages import ParsedPage

ROOT = Path(__file__).parents[4]


def anchors(name: str) -> set[str | None]:
    """Return the anchors of a page."""
    return set(ParsedPage(get(f"/docs/{name}").text).attributes("id"))


def test_tables_and_code_on_a_phone() -> None:
    """Each cell has the name of its column, and code can be scrolled with the keyboard."""
    for path in FOLDER.iterdir():
        page = ParsedPage(path.read_text())
        cells = [attributes for tag, attributes in page.elements if tag == "td"]
        assert all(cell.get("data-name") for cell in cells)
        assert all("tabindex" in attributes for tag, attributes in page.elements if tag == "pre")


def test_the_docs_are_up_to_date(tmp_path: Path) -> None:
    """The script writes the committed pages; if the docs have changed since, the failure names the command."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, ROOT / "docs/source/help.py", tmp_path], check=True, env=environment)
    stale = "leakwatch/web/pages/help is stale: run `make docs` and commit the result"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in FOLDER.iterdir()
    }, stale
    assert {path.stem for path in FOLDER.iterdir()} == set(TITLES)


@pytest.mark.parametrize("name", TITLES)
def test_a_page_of_the_docs(name: str) -> None:
    """A page has its title, nothing inline, and links only to pages and anchors that exist."""
    page = ParsedPage(get(f"/docs/{name}").text)
    assert TITLES[name] in page.text
    assert not [attributes for _, attributes in page.elements if "style" in attributes]
    for link in page.attributes("href"):
        match = re.fullmatch(r"(\w*)#(.*)", link or "")
        if match and match[2] != "main":
            assert match[2] in anchors(match[1] or name), link


def test_the_help_of_causes_and_wait_reasons() -> None:
    """Each cause and each wait reason has a section."""
    assert {cause.id for cause in shipped()} <= anchors("causes")
    fixing = anchors("fixing")
    for wait in (*ANCHORS, "syscall"):
        assert wait_help(wait).partition("#")[2] in fixing
    assert ALL_WAITS in fixing
    assert TARGET_DOWN.partition("#")[2] in anchors("troubleshooting")


def test_an_unknown_name() -> None:
    """An unknown name gives an error page."""
    assert get("/docs/nothing").status_code == 404
    assert get("/docs/..%2Fapp").status_code == 404
