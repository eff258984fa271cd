"""Changes of the configuration file: in place, by renaming, and by the symbolic links of a ConfigMap."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from leakwatch.settings.file_changes import FileChanges


def in_place(path: Path, text: str) -> None:
    """Write the file itself."""
    path.write_text(text)


def renamed(path: Path, text: str) -> None:
    """Write another file, and rename it."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def config_map(path: Path, text: str) -> None:
    """Write the file as the kubelet does: it replaces the link `..data` to a folder with all files."""
    folder = path.parent / f"..{text}"
    folder.mkdir()
    (folder / path.name).write_text(text)
    (path.parent / "..data_tmp").symlink_to(folder.name)
    (path.parent / "..data_tmp").rename(path.parent / "..data")
    if not path.exists():
        path.symlink_to(f"..data/{path.name}")


@pytest.mark.parametrize("write", [in_place, renamed, config_map])
def test_a_change_counts_once_it_is_complete(write: Callable[[Path, str], None], tmp_path: Path) -> None:
    """The first check after a change waits for a second one. After the file was read, there is no change."""
    path = tmp_path / "leakwatch.yml"
    write(path, "one")
    changes = FileChanges(path)
    assert [changes.check(), changes.check()] == [False, False]
    write(path, "two, longer")
    assert [changes.check(), changes.check(), changes.check()] == [False, True, True]
    changes.reading()
    assert [changes.check(), changes.check()] == [False, False]


def test_a_file_that_is_being_written(tmp_path: Path) -> None:
    """As long as each check finds another version, the change does not count. A missing file is not a change."""
    path = tmp_path / "leakwatch.yml"
    path.write_text("")
    changes = FileChanges(path)
    for size in (1, 2, 3):
        path.write_text("x" * size)
        assert not changes.check()
    path.unlink()
    assert [changes.check(), changes.check()] == [False, False]
    path.write_text("x" * 4)
    assert [changes.check(), changes.check()] == [False, True]


def test_the_same_size(tmp_path: Path) -> None:
    """A change to other text of the same size has another modification time."""
    path = tmp_path / "leakwatch.yml"
    path.write_text("one")
    os.utime(path, ns=(1, 1))
    changes = FileChanges(path)
    os.utime(path, ns=(2, 2))
    assert [changes.check(), changes.check()] == [False, True]


def test_no_file() -> None:
    """Without a file there is no change."""
    changes = FileChanges(None)
    assert not changes.check()
