"""Pages of long tables. Pure."""

import re
from dataclasses import dataclass
from typing import Final

PAGE: Final = re.compile(r"[0-9]{1,6}")
LONGEST: Final = 1000
"""Longest search text, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pagination:
    """One page of a table: rows `first` to `last` of `total`, counted from 1; `name`: its query parameter."""

    name: str
    page: int
    size: int
    total: int

    @property
    def offset(self) -> int:
        """The number of rows before the page."""
        return (self.page - 1) * self.size

    @property
    def first(self) -> int:
        """The first row."""
        return min(self.offset + 1, self.total)

    @property
    def last(self) -> int:
        """The last row."""
        return min(self.offset + self.size, self.total)

    @property
    def pages(self) -> int:
        """The number of pages."""
        return max(-(-self.total // self.size), 1)


def page_number(text: str) -> int:
    """Return the page number in a query, 1 if `text` is not a page number."""
    return max(int(text), 1) if PAGE.fullmatch(text) else 1
