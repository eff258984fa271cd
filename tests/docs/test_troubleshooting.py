"""What docs/troubleshooting.md tells people to look at and to write is there."""

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
    """Each configuration in it is taken."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    for block in blocks:
        assert len(parse(textwrap.dedent(block), "troubleshooting.md", Path()).ignore) == 2


def test_the_metrics_exist() -> None:
    """Each metric is one that docs/metrics.md explains."""
    known = (ROOT / "docs" / "metrics.md").read_text()
    named = set(re.findall(r"`(leakwatch_\w+)", PAGE))
    assert len(named) > 10
    assert {name for name in named if f"`{name}`" not in known} == set()


def test_the_keys_exist() -> None:
    """Each key of the configuration is one of the reference, and each field of a target one of the API."""
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
    """Each command line names a command and options that it has."""
    commands = get_command(app).commands  # type: ignore[attr-defined]  # of a group, which ours is
    lines = re.findall(r"(?:^ *|`)leakwatch ([a-z-]+)([^`\n]*)", PAGE, re.MULTILINE)
    assert len(lines) > 5
    for name, rest in lines:
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, name


def test_the_reasons_and_words_are_ours() -> None:
    """The table has each reason of failure, and what the log and the pages say is quoted as they say it."""
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(get_args(Reason))
    quoted = re.findall(r"(?<!\*)\*([A-Za-z][^*\n]{20,})\*(?!\*)", PAGE)
    assert len(quoted) >= 3
    assert [words for words in quoted if words.lower() not in SOURCES.lower()] == []
