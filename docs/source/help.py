"""Writes the docs that the pages link to as HTML: python docs/source/help.py [FOLDER]."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

DOCS: Final = Path(__file__).parents[1]
HELP: Final = DOCS.parent / "leakwatch" / "web" / "pages" / "help"
NAMES: Final = ("fixing", "causes", "words", "troubleshooting")
LINK: Final = re.compile(r"(?P<page>[\w-]*)(?:\.md)?(?P<anchor>#.*)?")


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub builds it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def adapt(tokens: Sequence[Token]) -> None:
    """Give headings their anchors, and cells a class instead of a style, which the pages do not allow.

    Cells have the name of their column, which phones show instead of the head of the table.
    """
    names, column = list[str](), 0
    for i, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", slug(tokens[i + 1].content))
        if token.attrGet("style"):
            token.attrs = {"class": "n"} if "right" in str(token.attrs.pop("style")) else {}
        if token.type == "table_open":
            names = []
        if token.type == "th_open":
            names.append(tokens[i + 1].content)
        if token.type == "tr_open":
            column = 0
        if token.type == "td_open":
            token.attrSet("data-name", names[column])
            column += 1
        if token.type == "inline":
            token.children = relinked(token.children or [])


def relinked(tokens: Sequence[Token]) -> list[Token]:
    """Return the tokens of a line with links to other pages of the help; links to other files become text."""
    kept, is_open = list[Token](), True
    for token in tokens:
        if token.type == "link_open":
            is_open = _relink(token)
        if is_open or token.type not in {"link_open", "link_close"}:
            kept.append(token)
    return kept


def _relink(token: Token) -> bool:
    """Adapt the address of a link, and return whether the help has its page."""
    address = str(token.attrGet("href"))
    if address.startswith("https://"):
        token.attrSet("rel", "noreferrer")
        return True
    match = LINK.fullmatch(address)
    if match is None or match["page"] not in {"", *NAMES}:
        return False
    token.attrSet("href", f"{match['page']}{match['anchor'] or ''}")
    return True


def convert(markdown: str) -> str:
    """Return a page of the docs as HTML."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = parser.parse(re.sub(r"<!--.*?-->\n*", "", markdown, flags=re.DOTALL))
    adapt(tokens)
    html = str(parser.renderer.render(tokens, parser.options, {}))
    return html.replace("<pre>", '<pre tabindex="0">')  # so that the keyboard can scroll code


def write(folder: Path) -> None:
    """Write all pages to a folder."""
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        (folder / f"{name}.html").write_text(convert((DOCS / f"{name}.md").read_text()))


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else HELP)
