"""Docs as pages: what wait reasons and causes mean, words, and troubleshooting."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from markupsafe import Markup

from leakwatch.errors import NotFoundError

FOLDER: Final = Path(__file__).parent / "help"
TITLES: Final = {
    "fixing": "From alert to fix",
    "causes": "Likely causes",
    "words": "Words",
    "troubleshooting": "Troubleshooting",
}


def help_page(name: str) -> Mapping[str, object]:
    """Return the values of the template; raise NotFoundError for an unknown name."""
    if name not in TITLES:
        raise NotFoundError(f"there is no help with the name {name[:80]!r}")
    text = (FOLDER / f"{name}.html").read_text("utf-8")
    return {"active": "docs", "name": name, "titles": TITLES, "text": Markup(text)}  # noqa: S704  written by `make docs`
