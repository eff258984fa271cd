"""A page as a browser takes it."""

from collections.abc import Iterator
from html.parser import HTMLParser


class Seen(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data

    def attributes(self, name: str) -> Iterator[str]:
        """Return all values of an attribute."""
        return (value for _, attributes in self.elements if (value := attributes.get(name)))

    def links(self) -> list[str]:
        """Return where the links lead."""
        return [attributes["href"] or "" for tag, attributes in self.elements if tag == "a"]

    def rows(self, table: str) -> int:
        """Return how many rows a table of this class has, without its head."""
        inside, found = False, 0
        for tag, attributes in self.elements:
            inside = attributes.get("class") == table if tag == "table" else inside
            found += inside and tag == "tr"
        return max(found - 1, 0)
