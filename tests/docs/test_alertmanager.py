"""docs/alertmanager.md: the snippets are valid, and the alerts are complete."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from leakwatch.config import load
from leakwatch.notify.rules import RULES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "alertmanager.md").read_text(encoding="utf-8")
SNIPPETS = [
    (match[1], match[0]) for match in re.finditer(r"(?<=```yaml\n)# (\S+)\n.*?(?=\n```\n)", PAGE, re.DOTALL)
]


def run(*command: str, folder: Path) -> None:
    """Run a program; fail with its output."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "snippet"), SNIPPETS, ids=[f"{i}-{name}" for i, (name, _) in enumerate(SNIPPETS)]
)
def test_snippets_are_good(name: str, snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """leakwatch, promtool and amtool accept the files that the page shows."""
    monkeypatch.setenv("ALERTMANAGER_PASSWORD", "x")
    (tmp_path / name).write_text(snippet)
    shutil.copy(ROOT / "deploy" / "prometheus" / "leakwatch.rules.yml", tmp_path)
    if name == "leakwatch.yml":
        assert load(tmp_path / name).alerting.alertmanagers
    else:
        check = {
            "prometheus.yml": ["promtool", "check", "config"],
            "alertmanager.yml": ["amtool", "check-config"],
        }[name]
        run(*check, name, folder=tmp_path)


def test_the_page_has_all_snippets_and_alerts() -> None:
    """The test above checks each block of code, and the page describes each alert of leakwatch."""
    assert len(SNIPPETS) == PAGE.count("```yaml") == 4
    assert PAGE.count("\n```") == 2 * len(SNIPPETS)
    assert all(f"| `{rule.name}` |" in PAGE for rule in RULES)
