"""Metrics, keys, fields, commands, messages and configurations in docs/troubleshooting.md exist and are valid."""

import re
import textwrap
from pathlib import Path
from typing import get_args

from typer.main import get_command

from leakwatch.cli.main import app
from leakwatch.config import parse
from leakwatch.errors import Reason
from leakwatch.web.api.models.targets import TargetSummary

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SOURCES = "".join(file.read_text() for file in (ROOT / "leakwatch").rglob("*.py"))


def test_the_rules_load() -> None:
    """Each configuration is valid, and has two ignore rules."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    for block in blocks:
        assert len(parse(textwrap.dedent(block), "troubleshooting.md", Path()).ignore) == 2


def test_the_metrics_exist() -> None:
    """docs/metrics.md has each metric of the page."""
    metrics = (ROOT / "docs" / "metrics.md").read_text()
    names = set(re.findall(r"`(leakwatch_\w+)", PAGE))
    assert len(names) > 10
    assert {name for name in names if f"`{name}`" not in metrics} == set()


def test_the_keys_exist() -> None:
    """docs/configuration.md has each key of the page, and the API has each field of a target."""
    reference = (ROOT / "docs" / "configuration.md").read_text()
    keys = {
        name.rpartition(".")[2] for name in re.findall(r"`((?:metrics|detection|evidence|tls_config)\.\w+)`", PAGE)
    }
    keys |= set(re.findall(r"`((?:scrape|leak_proof|profile|body)_\w+|leak_proof)", PAGE))
    assert len(keys) > 10
    assert {key for key in keys if f"| `{key}` |" not in reference} == set()
    (fields,) = re.findall(r"\.targets\[\] \| \[(.*?)\]", PAGE)
    assert {field.strip(" .") for field in fields.split(",")} <= TargetSummary.model_fields.keys()


def test_the_commands_exist() -> None:
    """Each command line has an existing command with existing options."""
    commands = get_command(app).commands  # type: ignore[attr-defined]  # the command is a group
    lines = re.findall(r"(?:^ *|`)leakwatch ([a-z-]+)([^`\n]*)", PAGE, re.MULTILINE)
    assert len(lines) > 5
    for name, rest in lines:
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, name


def test_the_reasons_and_messages_exist() -> None:
    """The table has each reason of failure, and the sources contain each quoted message of log and pages."""
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(get_args(Reason))
    quotes = re.findall(r"(?<!\*)\*([A-Za-z][^*\n]{20,})\*(?!\*)", PAGE)
    assert len(quotes) >= 3
    assert [quote for quote in quotes if quote.lower() not in SOURCES.lower()] == []
