"""The snippets in docs/evidence.md are valid, its commands run, and its limits are the defaults."""

import gzip
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leakwatch.cli.main import app
from leakwatch.config import parse
from leakwatch.evidence.config import EvidenceConfig
from leakwatch.evidence.disk import Disk
from tests.support.kept_bodies import record

PAGE = Path(__file__).parents[2] / "docs" / "evidence.md"
PROFILES = Path(__file__).parents[1] / "profiles" / "1.27"
TEXT = PAGE.read_text()
SNIPPETS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [
    line.partition(" #")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("leakwatch ")
]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippets_load(snippet: str) -> None:
    """Each snippet is a valid configuration that changes the settings of evidence."""
    assert parse(snippet, "evidence.md", Path("/")).with_storage(None).evidence != EvidenceConfig()


def test_the_limits_are_the_defaults() -> None:
    """The limits on the page are the defaults of the configuration."""
    default = EvidenceConfig()
    assert f"`body_limit` profiles ({default.body_limit})" in TEXT
    assert f"`size_limit` ({default.size_limit >> 20} MB)" in TEXT
    assert f"up to {default.memory_limit >> 20} MB" in TEXT


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each leakwatch command succeeds in a folder with two stored bodies that are an hour apart."""
    monkeypatch.chdir(tmp_path)
    body = gzip.compress((PROFILES / "goroutine.debug1.txt").read_bytes())
    symbols = (PROFILES / "symbol.txt").read_bytes()
    for time in (1760000000.25, 1760003600.5):
        Disk(Path("evidence")).write(record(at=time, size=len(body)), {".txt.gz": body, ".symbol": symbols})
    (folder,) = re.findall(r"^cd (.*)$", TEXT, re.MULTILINE)
    monkeypatch.chdir(folder)
    words = shlex.split(command.partition(">")[0])[1:]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    if "--by" in words:
        assert "main.chanRecv" in result.stdout
    if words[0] == "diff":
        assert "total 0, 1h later" in result.stdout
