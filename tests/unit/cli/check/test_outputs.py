"""Outputs of a check: which are valid, and how files are written."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from leakwatch.cli.check.outputs import SUMMARY, Output, check_writable, choose_outputs, repository_path, write
from leakwatch.errors import UsageError
from tests.unit.cli.check.test_result import CLEAN, LEAKING


@pytest.mark.parametrize(
    ("single", "texts", "expected"),
    [
        (None, [], ["table"]),
        ("json", [], ["json"]),
        (None, ["junit=a.xml"], ["junit=a.xml", "table"]),
        (None, ["github", "junit=a.xml", "json=b.json"], ["junit=a.xml", "json=b.json", "github"]),
        (None, ["github", "table"], ["table", "github"]),
        (None, ["json", "github=notes.txt"], ["json", "github=notes.txt"]),
        (None, ["json=a=b.json"], ["json=a=b.json", "table"]),
    ],
)
def test_outputs(single: str | None, texts: list[str], expected: list[str]) -> None:
    """Without a format for standard output, there is a table; annotations follow the table."""
    outputs = choose_outputs(single, texts, {})
    assert [f"{output.format}{f'={output.file}' if output.file else ''}" for output in outputs] == expected


@pytest.mark.parametrize(
    ("single", "texts", "message"),
    [
        ("json", ["junit=a"], "--format cannot be combined with --output: write --output json"),
        (None, ["xml=a"], "--output 'xml=a': 'xml' is not one of table, json, junit, github, markdown"),
        (None, ["json="], "--output 'json=': there is no file after the ="),
        (None, ["json", "junit"], "--output: json and junit would be mixed on standard output: write junit=FILE"),
        (None, ["table", "table"], "--output: table and table would be mixed"),
        (None, ["json=a", "junit=./a"], "--output json=a: another --output has the same file"),
    ],
)
def test_invalid_outputs(single: str | None, texts: list[str], message: str) -> None:
    """An invalid or ambiguous combination is an error that names the outputs."""
    with pytest.raises(UsageError, match=re.escape(message)):
        choose_outputs(single, texts, {})


def test_the_summary_of_a_step(tmp_path: Path) -> None:
    """The summary is written only with --output github, to the file of the environment variable, at its end."""
    environment = {SUMMARY: str(tmp_path / "summary")}
    assert [output.appends for output in choose_outputs(None, ["github"], environment)] == [True, False]
    assert len(choose_outputs("github", [], environment)) == 1
    assert len(choose_outputs(None, ["json"], environment)) == 1
    assert len(choose_outputs(None, ["github"], {SUMMARY: ""})) == 1
    summary = [Output("markdown", tmp_path / "summary", appends=True)]
    for _ in range(2):
        check_writable(summary)
        assert write(CLEAN, summary)
    assert (tmp_path / "summary").read_text().count("### leakwatch check: clean") == 2


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Return a folder without the permission to write."""
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o500)
    yield folder
    folder.chmod(0o700)


def test_files_that_cannot_be_written(tmp_path: Path, read_only: Path) -> None:
    """The error comes before the check, names the output, and leaves no file."""
    paths = [(tmp_path, "it is a folder"), (tmp_path / "no" / "x", "No such file or directory")]
    if os.geteuid() != 0:  # root may write anywhere
        paths.append((read_only / "x", "Permission denied"))
    for path, reason in paths:
        with pytest.raises(UsageError, match=re.escape(f"--output json={path}: cannot be written: {reason}")):
            check_writable([Output("json", path)])
    with pytest.raises(UsageError, match=f"^{SUMMARY}: cannot be written: "):
        check_writable([Output("markdown", tmp_path / "no" / "x", appends=True)])
    check_writable([Output("json", tmp_path / "x")])
    assert [path.name for path in tmp_path.iterdir()] == ["read-only"]


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If writing fails, the file keeps its content, a message names it, and the other outputs are written."""
    file, other, link = tmp_path / "leaks.json", tmp_path / "leaks.xml", tmp_path / "link"
    file.write_text("old")
    link.symlink_to(other)
    real = Path.replace

    def fail(self: Path, target: str) -> Path:
        if Path(target) == file:
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    assert not write(LEAKING, [Output("json", file), Output("junit", link)])
    assert file.read_text() == "old"
    assert link.is_symlink()
    assert other.read_text().startswith("<?xml")
    assert {path.name for path in tmp_path.iterdir()} == {"leaks.json", "leaks.xml", "link"}


def test_devices_and_pipes_are_written_in_place(tmp_path: Path) -> None:
    """A device is not replaced by a file, as a container that runs as root could do."""
    device = tmp_path / "null"
    device.symlink_to("/dev/null")
    check_writable([Output("json", device)])
    assert write(CLEAN, [Output("json", device)])
    assert Path("/dev/null").is_char_device()
    assert device.is_symlink()


def test_a_table_in_a_file_is_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table in a file has no colours, whatever standard output has."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    write(LEAKING, [Output("table", tmp_path / "table.txt")])
    assert "\x1b" not in (tmp_path / "table.txt").read_text()


def test_a_path_in_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a build folder is shortened to a file below the current folder."""
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "main.go").touch()
    monkeypatch.chdir(tmp_path)
    assert repository_path("/build/pkg/main.go") == "pkg/main.go"
    assert repository_path("/build/pkg/other.go") == ""
    assert repository_path("/build/../pkg/main.go") == "pkg/main.go"
