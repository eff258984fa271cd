"""Discovery by file: formats, changes, and invalid files."""

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from structlog.testing import capture_logs

from leakwatch.config import parse
from leakwatch.discovery import file
from leakwatch.discovery.file import CompleteFileConfig, FileDiscoverer
from leakwatch.discovery.status import DiscoveryStatus
from leakwatch.discovery.target_group import TargetGroup
from tests.support.clock import ManualClock, until


def addresses(groups: Sequence[TargetGroup] | None) -> list[str] | None:
    """Return all addresses of the groups."""
    return None if groups is None else [address for group in groups for address in group.targets]


def discoverer(*files: Path) -> FileDiscoverer:
    """Return the discoverer of files without relabel rules."""
    return FileDiscoverer(CompleteFileConfig(files=files), DiscoveryStatus(), ManualClock())


def read(files: FileDiscoverer) -> Sequence[TargetGroup] | None:
    """Return the groups of all files, or None if they did not change."""
    return asyncio.run(files.read())


def write(path: Path, text: str) -> None:
    """Replace a file atomically."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)


def test_yaml_and_json_files(tmp_path: Path) -> None:
    """Both formats are read. New files and changes give all groups, other reads give None."""
    files = discoverer(tmp_path / "*.yml", tmp_path / "*.json")
    write(tmp_path / "a.yml", "- targets: ['a:1', 'a:2']\n  labels: {service: shop}\n")
    assert addresses(read(files)) == ["a:1", "a:2"]
    assert read(files) is None
    write(tmp_path / "b.json", json.dumps([{"targets": ["b:1"]}]))
    assert addresses(read(files)) == ["a:1", "a:2", "b:1"]
    write(tmp_path / "a.yml", "- targets: ['a:3']\n")
    assert addresses(read(files)) == ["a:3", "b:1"]
    write(tmp_path / "a.yml", "- targets: ['a:3'] # the same\n")
    assert read(files) is None
    (tmp_path / "b.json").unlink()
    with capture_logs() as log:
        assert addresses(read(files)) == ["a:3"]
    assert [line["event"] for line in log] == ["targets file was deleted, its targets are removed"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"targets": ["a:1", "a:', "Unterminated string"),
        ('[{"targets": ["http://a:1"]}]', "must be host:port"),
        ('{"targets": []}', "targets.json: must be a list"),
        ('[{"targets": ["a:1"], "lables": {}}]', "[0].lables: is not a valid key"),
        ("", "Expecting value"),
        ("[" * 100_000, "recursion"),
        ('[{"targets": ["b:99999"]}]', "must be host:port"),
        ('[{"targets": ["b:1"], "labels": {"a": "\\ud83d"}}]', "must be a valid string"),
        ('[{"targets": ["b"]}]', "must be host:port"),
    ],
    ids=["half written", "bad target", "wrong type", "typo", "empty", "deep", "port", "lone surrogate", "no port"],
)
def test_the_last_targets_of_an_invalid_file_stay(tmp_path: Path, text: str, message: str) -> None:
    """The error is logged once and names the file. A valid file replaces the targets."""
    path = tmp_path / "targets.json"
    files = discoverer(path)
    write(path, '[{"targets": ["a:1"]}]')
    read(files)
    write(path, text)
    with capture_logs() as log:
        assert read(files) is None
        assert read(files) is None
    assert [(line["source"], line["kept"]) for line in log] == [(str(path), 1)]
    assert message in log[0]["error"]
    write(path, '[{"targets": ["a:2"]}]')
    assert addresses(read(files)) == ["a:2"]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """The error has the system's message, and the path once."""
    path = tmp_path / "targets.yml"
    path.mkdir()
    with capture_logs() as log:
        read(discoverer(path))
    assert [line["error"] for line in log] == [f"{path}: Is a directory"]


def test_a_file_cut_within_a_letter(tmp_path: Path) -> None:
    """The targets of a file that ends in the middle of an ü stay until the file is complete."""
    path = tmp_path / "targets.yml"
    files = discoverer(path)
    text = "- targets: ['a:1']\n  labels: {team: süd}\n"
    write(path, text)
    read(files)
    path.write_bytes(text.encode()[:-7])
    with capture_logs() as log:
        assert read(files) is None
    assert len(log) == 1
    write(path, text.replace("a:1", "a:2"))
    assert addresses(read(files)) == ["a:2"]


def test_a_missing_file(tmp_path: Path) -> None:
    """A missing file has no targets, which is logged once. The file is read when it exists."""
    files = discoverer(tmp_path / "later.yml")
    with capture_logs() as log:
        assert read(files) == []
        assert read(files) is None
    assert [line["event"] for line in log] == ["no targets file exists yet"]
    write(tmp_path / "later.yml", "- targets: ['a:1']")
    assert addresses(read(files)) == ["a:1"]


def test_files_are_read_at_each_refresh_interval(tmp_path: Path) -> None:
    """The first update has the groups of the files, and the next one follows a change."""
    path = tmp_path / "t.yml"
    write(path, "- targets: ['a:1']")
    text = "scrape_configs: [{job_name: j, file_sd_configs: [{files: [t.yml], refresh_interval: 20s}]}]"
    (config,) = parse(text, "c.yml", tmp_path).scrape_configs[0].file_sd_configs
    clock = ManualClock()
    updates: list[list[str] | None] = []

    async def run() -> None:
        files = config.discoverer(DiscoveryStatus(), clock)
        task = asyncio.create_task(files.run(lambda groups: updates.append(addresses(groups))))
        await until(lambda: clock.sleeps == [20.0])
        clock.advance(20.0)
        await until(lambda: clock.sleeps == [20.0, 20.0])
        write(path, "- targets: ['a:2']")
        clock.advance(20.0)
        await until(lambda: len(clock.sleeps) == 3)
        task.cancel()

    asyncio.run(run())
    assert updates == [["a:1"], ["a:2"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- targets: ['a:1']\n- targets: ['a']\n", ":2: [1].targets[0]: 'a' must be host:port"),
        ("- targets: [\n", ":2: expected the node content"),
        ("- targets: !!int x\n", ":1: the value is not valid for its type"),
        (
            f"- &g {{targets: &t [{', '.join(['a:1'] * 5000)}]}}\n" + "- *g\n" * 5000,
            ":1: aliases (*name) repeat more than 100000 values",
        ),
    ],
    ids=["target", "syntax", "tag", "aliases"],
)
def test_an_invalid_yaml_file(tmp_path: Path, text: str, message: str) -> None:
    """The error has the line. 100 kB of aliases do not become 25 million targets."""
    path = tmp_path / "targets.yml"
    write(path, text)
    with capture_logs() as log:
        assert read(discoverer(path)) == []
    assert log[0]["error"].startswith(f"{path}{message}")


def test_aliases_for_labels(tmp_path: Path) -> None:
    """Groups may share labels by aliases."""
    path = tmp_path / "targets.yml"
    write(path, "- {targets: ['a:1'], labels: &l {team: x}}\n- {targets: ['b:1'], labels: *l}\n")
    assert [group.labels["team"] for group in read(discoverer(path)) or ()] == ["x", "x"]


def test_files_are_parsed_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing a large file does not block the event loop."""
    threads, original = [], file.read_groups

    def read_groups(path: Path, groups_type: TypeAdapter[tuple[TargetGroup, ...]]) -> tuple[TargetGroup, ...]:
        threads.append(threading.current_thread())
        return original(path, groups_type)

    write(tmp_path / "targets.yml", "- targets: ['a:1']\n")
    discovered = discoverer(tmp_path / "targets.yml")
    monkeypatch.setattr(file, "read_groups", read_groups)
    assert addresses(read(discovered)) == ["a:1"]
    assert threads != [threading.main_thread()]
