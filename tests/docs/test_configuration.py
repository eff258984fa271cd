"""The configuration reference is what its script makes of the models."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_the_page_is_what_the_models_say(tmp_path: Path) -> None:
    """Who changes a key or its docstring is told how to write the page anew."""
    made = tmp_path / "configuration.md"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, DOCS / "source/configuration.py", made], check=True, env=environment)
    stale = "docs/configuration.md is stale: run `make docs` and commit what it writes"
    assert made.read_text() == (DOCS / "configuration.md").read_text(), stale


def test_every_key_has_a_meaning_and_every_link_a_section() -> None:
    """No row is empty where its reader looks, and no link of the page leads nowhere."""
    text = (DOCS / "configuration.md").read_text()
    rows = [re.split(r"(?<!\\)\|", line) for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert [row for row in rows if len(row) != 6 or len(row[4].strip(" .")) < 3] == []
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert len(set(anchors)) == len(anchors)
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= set(anchors)
