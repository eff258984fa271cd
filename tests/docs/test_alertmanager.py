"""The snippets in docs/alertmanager.md are valid, and its table of alerts is complete."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from leakwatch.config import load
from leakwatch.notify.rules import RULES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "alertmanager.md").read_text(encoding="utf-8")
SNIPPETS = [
    (match[1], match[0]) for match in re.finditer(r"(?<=```yaml\n)# (\S+)\n.*?(?=\n```\n)", PAGE, re.DOTALL)
]


def run(*command: str, folder: Path) -> str:
    """Run a command in `folder` and return its output; fail the test with it if the exit status is not 0."""
    completed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout.strip()


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


HOSTILE = "a <!channel> & b ```"


def rendered(template: str, *alerts: dict[str, str], folder: Path, status: str = "firing") -> str:
    """Return what amtool renders for a group of alerts with these annotations."""
    data = {
        "status": status,
        "alerts": [{"status": status, "labels": {}, "annotations": annotations} for annotations in alerts],
        "commonLabels": {},
        "commonAnnotations": {},
    }
    (folder / "data.json").write_text(json.dumps(data))
    (folder / "none.tmpl").write_text("")
    options = ["--template.glob=none.tmpl", "--template.data=data.json", f"--template.text={template}"]
    return run("amtool", "template", "render", *options, folder=folder)


def test_the_messages_of_the_receivers(tmp_path: Path) -> None:
    """The title is a summary, also for several leaks; names are no markup in Slack; the length is limited."""
    snippet = next(text for name, text in SNIPPETS if name == "alertmanager.yml")
    receiver = yaml.safe_load(snippet)["receivers"][1]
    slack = receiver["slack_configs"][0]
    titles = {slack["title"], slack["fallback"], receiver["pagerduty_configs"][0]["description"]}
    (title,) = titles | {receiver["email_configs"][0]["headers"]["Subject"]}
    assert rendered(title, {"summary": "s: leak"}, folder=tmp_path) == "s: leak"
    assert rendered(title, {"summary": "s: leak"}, folder=tmp_path, status="resolved") == "resolved: s: leak"
    assert rendered(title, *[{"summary": f"{i}: leak"} for i in "abc"], folder=tmp_path) == "a: leak and 2 more"
    assert "<" not in rendered(title, {"summary": HOSTILE}, folder=tmp_path)
    links = {"page_url": "http://x/leaks/a%20b/1", "runbook_url": "http://x/docs/fixing#select"}
    hostile = {"summary": HOSTILE, "description": HOSTILE, "stack": HOSTILE, **links}
    text = rendered(slack["text"], hostile, folder=tmp_path)
    escaped = "a &lt;!channel&gt; &amp; b '''"
    assert text.startswith(f"*firing: {escaped}*\n{escaped}\n```{escaped}```\n<http://x/leaks/a%20b/1|Page> ")
    assert "<!" not in text
    assert text.count("```") == 2
    text = rendered(slack["text"], *[hostile] * 1000, folder=tmp_path)
    assert (text.count("|Page>"), text.count("```")) == (10, 0)
    without_stack = {name: part for name, part in hostile.items() if name != "stack"}  # as the rules send it
    assert "```" not in rendered(slack["text"], without_stack, folder=tmp_path)
    no_links = rendered(
        slack["text"], {"summary": "leakwatch a:9979 is down", "description": "x"}, folder=tmp_path
    )
    assert no_links == "*firing: leakwatch a:9979 is down*\nx"


def test_no_snippet_or_alert_is_missing() -> None:
    """Every code block is one of SNIPPETS, and every alert rule has a row."""
    assert len(SNIPPETS) == PAGE.count("```yaml") == 5
    assert PAGE.count("\n```") == 2 * len(SNIPPETS)
    assert all(f"| `{rule.name}` |" in PAGE for rule in RULES)
