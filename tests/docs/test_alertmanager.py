"""The snippets in docs/alertmanager.md are valid, and its table of alerts is complete."""

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
    """Run a command in `folder`; fail the test with the output if the exit status is not 0."""
    completed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr


@pytest.mark.parametrize(
    ("name", "snippet"), SNIPPETS, ids=[f"{i}-{name}" for i, (name, _) in enumerate(SNIPPETS)]
)
def test_snippets_are_valid(name: str, snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """leakwatch, promtool or amtool accepts each snippet, by the file name in its first line."""
    monkeypatch.setenv("ALERTMANAGER_PASSWORD", "x")
    (tmp_path / name).write_text(snippet)
    shutil.copy(ROOT / "deploy" / "prometheus" / "leakwatch.rules.yml", tmp_path)
    if name == "leakwatch.yml":
        assert load(tmp_path / name).alerting.alertmanagers
    else:
        checker = {
            "prometheus.yml": ["promtool", "check", "config"],
            "alertmanager.yml": ["amtool", "check-config"],
        }[name]
        run(*checker, name, folder=tmp_path)


def test_no_snippet_or_alert_is_missing() -> None:
    """Every code block is one of SNIPPETS, and every alert rule has a row."""
    assert len(SNIPPETS) == PAGE.count("```yaml") == 5
    assert PAGE.count("\n```") == 2 * len(SNIPPETS)
    assert all(f"| `{rule.name}` |" in PAGE for rule in RULES)
