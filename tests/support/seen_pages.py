"""A parsed HTML page."""

from collections.abc import Iterator
from html.parser import HTMLParser


class ParsedPage(HTMLParser):
    """The elements of a page with their attributes, and the text of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Record text."""
        self.text += data

    def attributes(self, name: str) -> Iterator[str]:
        """Return all values of an attribute."""
        return (value for _, attributes in self.elements if (value := attributes.get(name)))

    def links(self) -> list[str]:
        """Return the targets of all links."""
        return [attributes["href"] or "" for tag, attributes in self.elements if tag == "a"]

    def rows(self, table: str) -> int:
        """Return the number of rows in the body of a table with this class."""
        inside, rows = False, 0
        for tag, attributes in self.elements:
            inside = attributes.get("class") == table if tag == "table" else inside
            rows += inside and tag == "tr"
        return max(rows - 1, 0)
