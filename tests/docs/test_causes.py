"""docs/causes.md is the output of its script, and its examples are right."""

import os
import re
import subprocess
import sys
from pathlib import Path

from leakwatch.causes.catalogue import shipped
from leakwatch.causes.file import CauseConfig, StackPatternConfig, read_causes

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "causes.md"


def test_the_page_is_up_to_date(tmp_path: Path) -> None:
    """The script writes the committed page; if a cause has changed since, the failure names the command."""
    written = tmp_path / "causes.md"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, ROOT / "docs/source/causes.py", written], check=True, env=environment)
    stale = "docs/causes.md is stale: run `make docs` and commit the result"
    assert written.read_text() == PAGE.read_text(), stale


def test_every_cause_has_a_section() -> None:
    """Each cause of the catalogue has one heading, and each heading below a section is a cause."""
    headings = re.findall(r"^### (.*)$", PAGE.read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(cause.id for cause in shipped())


def test_the_example_is_valid(tmp_path: Path) -> None:
    """The file of own causes on the page is valid."""
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path / "own.yml"
    path.write_text(example)
    assert list(read_causes(path, {})) == ["pool-not-closed"]


def test_all_keys_are_explained() -> None:
    """The page names each key of a cause and of a pattern that its example does not have."""
    text = PAGE.read_text().partition("## Contents")[0]
    keys = {*CauseConfig.model_fields, *StackPatternConfig.model_fields}
    assert {key for key in keys if f"`{key}" not in text and f" {key}:" not in text} == set()
