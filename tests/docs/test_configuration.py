"""docs/configuration.md is the output of its script, and is complete."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_the_page_is_up_to_date(tmp_path: Path) -> None:
    """The script writes the committed page; if a model has changed since, the failure names the command."""
    written = tmp_path / "configuration.md"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, DOCS / "source/configuration.py", written], check=True, env=environment)
    stale = "docs/configuration.md is stale: run `make docs` and commit the result"
    assert written.read_text() == (DOCS / "configuration.md").read_text(), stale


def test_every_key_is_described_and_every_link_has_a_section() -> None:
    """Each row has a description of its key, and each link within the page leads to a heading."""
    text = (DOCS / "configuration.md").read_text()
    rows = [re.split(r"(?<!\\)\|", line) for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert [row for row in rows if len(row) != 6 or len(row[4].strip(" .")) < 3] == []
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert len(set(anchors)) == len(anchors)
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= set(anchors)
