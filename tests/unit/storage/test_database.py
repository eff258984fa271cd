"""The SQLite file: what is saved is read again; files that cannot be used are set aside, never deleted."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from leakwatch.errors import StorageError
from leakwatch.storage.codec import encode
from leakwatch.storage.database import FILE, MIGRATIONS, STEP, Database, read_all, read_only
from leakwatch.storage.rows import Batch, ServiceRow, StoredService, TargetRow

NOW = 1_700_000_000.0
RECORDED = Path(__file__).parent / "versions"


def target(name: str, value: int = 1) -> TargetRow:
    """Return a row of a target."""
    return TargetRow(name=name, document={"value": value}, series=3, leaks=1)


def service(name: str, *targets: TargetRow, names: str = "", shared: bool = True) -> ServiceRow:
    """Return a row of a service that has `targets`, and those in `names`."""
    return ServiceRow(
        name=name,
        shared={"Frame": [["main.leak", "a.go", 7]]} if shared else None,
        document={"of": name},
        leaks=1,
        targets=targets,
        names={*names.split(), *(row.name for row in targets)},
    )


def batch(*services: ServiceRow, time: float = NOW, removed: tuple[str, ...] = ()) -> Batch:
    """Return a batch of services."""
    return Batch(time=time, services=services, removed=removed, values={"clock": {"time": time}})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Open a database in a new folder."""
    database = Database.open(tmp_path / "state", NOW)
    yield database
    database.close()


def reopened(database: Database) -> Database:
    """Close a database, and open it again."""
    database.close()
    return Database.open(database.path.parent, NOW)


def stored(database: Database) -> dict[str, StoredService]:
    """Return the stored services by name."""
    state = database.read()
    assert state.errors == []
    return {each.name: each for each in state.services}


def test_saved_rows_come_back(database: Database) -> None:
    """A later process reads the services, their targets in order, their shared values, and the other values."""
    database.write(batch(service("shop", target("b"), target("a", 2)), service("mail")))
    state = reopened(database).read()
    shop, mail = state.services
    assert (shop.name, shop.saved, shop.document) == ("shop", NOW, {"of": "shop"})
    assert shop.shared == {"Frame": [["main.leak", "a.go", 7]]}
    assert shop.targets == [{"value": 1}, {"value": 2}]
    assert (mail.name, mail.targets) == ("mail", [])
    assert state.values == {"clock": {"time": NOW}}


def test_only_changed_targets_are_written(database: Database) -> None:
    """A target that is not in a batch stays if the service still has it, and so do the shared values."""
    database.write(batch(service("shop", target("a"), target("b"), target("c"))))
    database.write(batch(service("shop", target("b", 9), names="a", shared=False), time=NOW + 60))
    shop = stored(database)["shop"]
    assert (shop.saved, shop.shared) == (NOW + 60, {"Frame": [["main.leak", "a.go", 7]]})
    assert sorted(value["value"] for value in shop.targets) == [1, 9]


def test_services_that_ended_are_removed(database: Database) -> None:
    """A removed service goes with its targets."""
    database.write(batch(service("shop", target("a")), service("mail", target("a"))))
    database.write(batch(removed=("shop",)))
    assert stored(database).keys() == {"mail"}
    with sqlite3.connect(database.path) as connection:
        assert connection.execute("SELECT service, name FROM target").fetchall() == [("mail", "a")]


def test_a_batch_is_saved_as_a_whole(database: Database) -> None:
    """If one row cannot be written, none is, and the next batch can be."""
    bad = replace(target("b"), document={"value": object()})
    with pytest.raises(TypeError, match="can not serialize"):
        database.write(batch(service("shop", target("a"), bad)))
    assert stored(database) == {}
    database.write(batch(service("shop", target("a"))))
    assert stored(database).keys() == {"shop"}


def test_the_files_are_private(database: Database) -> None:
    """Only the user of the process reads the state: it has the names of functions and targets."""
    folder = database.path.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    database.write(batch(service("shop", target("a"))))
    assert {path.name for path in folder.iterdir()} >= {FILE, f"{FILE}-wal", "leakwatch.lock"}


def test_old_services_are_trimmed_in_small_steps(database: Database) -> None:
    """Services that were not saved for the retention go, a few at a time, but none that is watched."""
    services = [service(f"s{number}") for number in range(2 * STEP + 5)]
    database.write(batch(*services, time=NOW - 1000))
    database.write(batch(service("new")))
    left = []
    for _ in range(4):
        database.trim(before=NOW - 500, size_limit=1 << 40, kept=["s7"])
        left.append(len(stored(database)))
    assert left == [STEP + 6, 6, 2, 2]
    assert stored(database).keys() == {"s7", "new"}


def test_the_oldest_services_are_trimmed_above_the_size_limit(database: Database) -> None:
    """Above the limit, services that are not watched go, the oldest first; those that are watched stay."""
    for number in range(8):
        row = replace(target("a"), document={"bytes": os.urandom(100_000)})
        database.write(batch(service(f"s{number}", row), time=NOW + number))
    assert database.size > 800_000
    size = database.trim(before=0.0, size_limit=500_000, kept=["s0"])
    assert 300_000 < size <= 500_000
    assert stored(database).keys() == {"s0", "s5", "s6", "s7"}
    for _ in range(10):
        database.trim(before=0.0, size_limit=500_000, kept=["s0"])
    database.close()
    assert database.path.stat().st_size < 700_000  # freed pages are returned to the file system


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"no database" * 1000),
        lambda path: path.write_bytes(path.read_bytes()[:30_000]),
        lambda path: path.write_bytes(path.read_bytes()[:4096] + os.urandom(100_000)),
    ],
    ids=["garbage", "truncated", "overwritten"],
)
def test_a_damaged_file_is_set_aside(database: Database, damage: Callable[[Path], object]) -> None:
    """A damaged file gets another name and keeps its bytes; a new one takes its place."""
    row = replace(target("a"), document={"bytes": os.urandom(50_000)})
    database.write(batch(service("shop", row)))
    database.close()
    damage(database.path)
    content = database.path.read_bytes()
    new = Database.open(database.path.parent, NOW)
    assert stored(new) == {}
    assert f"{database.path} is damaged: " in new.set_aside
    assert new.set_aside.endswith(f": renamed to {database.path}.damaged-1700000000")
    assert Path(f"{database.path}.damaged-1700000000").read_bytes() == content
    new.close()


def test_a_missing_log_costs_only_what_was_in_it(database: Database, tmp_path: Path) -> None:
    """Without its write-ahead log, a database has the state of the last checkpoint and is used."""
    database.write(batch(service("shop")))
    database.close()  # writes the log into the file
    database = Database.open(database.path.parent, NOW)
    database.write(batch(service("mail")))
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / FILE).write_bytes(database.path.read_bytes())
    database.close()
    restored = Database.open(copy, NOW)
    assert stored(restored).keys() == {"shop"}
    restored.close()


def test_a_newer_version_is_set_aside(database: Database) -> None:
    """The file of a newer leakwatch is not changed; a downgrade starts without it."""
    database.write(batch(service("shop")))
    database.close()
    newer = len(MIGRATIONS) + 1
    with sqlite3.connect(database.path) as connection:
        connection.execute(f"PRAGMA user_version = {newer}")
    new = Database.open(database.path.parent, NOW)
    assert new.set_aside == (
        f"{database.path} has version {newer}, but this leakwatch knows versions up to {newer - 1}:"
        f" renamed to {database.path}.version-{newer}-1700000000"
    )
    new.close()


def test_a_database_of_another_program_is_not_touched(tmp_path: Path) -> None:
    """A database with tables of another program raises an error and stays as it is."""
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    content = (tmp_path / FILE).read_bytes()
    with pytest.raises(StorageError, match=r"leakwatch\.db is a database of another program$"):
        Database.open(tmp_path, NOW)
    assert (tmp_path / FILE).read_bytes() == content
    assert not list(tmp_path.glob("leakwatch.db.*"))


def test_a_path_that_is_a_file(tmp_path: Path) -> None:
    """A file in place of the folder, or of one of its parents, raises an error that names it."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "state"):
        with pytest.raises(StorageError, match=rf"^{path} is not a folder$"):
            Database.open(path, NOW)


def test_a_folder_without_permission() -> None:
    """A folder in which no file can be created raises an error with the reason."""
    with pytest.raises(StorageError, match=r"^/proc/1/state cannot be used: "):
        Database.open(Path("/proc/1/state"), NOW)


def test_a_folder_in_use(database: Database) -> None:
    """The folder of a running process raises an error that names the process."""
    code = f"""
from pathlib import Path
from leakwatch.storage.database import Database
Database.open(Path({str(database.path.parent)!r}), 0.0)
"""
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"StorageInUseError: {database.path.parent} is in use by process {os.getpid()} on " in other.stderr


def test_a_removed_file_is_noticed(database: Database) -> None:
    """A file that was removed or replaced while it is open raises an error: SQLite would write into the void."""
    database.path.rename(database.path.with_name("moved"))
    with pytest.raises(StorageError, match=r"was removed or replaced$"):
        database.write(batch(service("shop")))


def test_a_full_disk(database: Database) -> None:
    """Without room for a batch the old state stays, and the file can be used again."""
    database.write(batch(service("shop")))
    pages = database._connection.execute("PRAGMA page_count").fetchone()[0]
    database._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match=r"leakwatch\.db: database or disk is full$"):
        database.write(batch(service("mail", replace(target("a"), document={"bytes": os.urandom(100_000)}))))
    assert stored(database).keys() == {"shop"}
    assert stored(reopened(database)).keys() == {"shop"}


def test_a_damaged_value_costs_one_service(database: Database) -> None:
    """A service with a damaged value is left out, with an error that names it; the others are read."""
    database.write(batch(service("shop", target("a")), service("mail", target("a"))))
    database._connection.execute("UPDATE target SET state = ? WHERE service = 'shop'", (encode({})[:-3],))
    database._connection.execute("UPDATE value SET value = x'0102030405'")
    state = database.read()
    assert [each.name for each in state.services] == ["mail"]
    assert state.errors == [
        "service 'shop': the value is incomplete",
        "clock: the value is damaged: Error -3 while decompressing data: incorrect header check",
    ]


def test_reading_beside_a_running_process(database: Database) -> None:
    """A database is read while it is open for writing, and after it was closed; a missing one is an error."""
    database.write(batch(service("shop")))
    for _ in range(2):
        connection = read_only(database.path)
        assert [each.name for each in read_all(connection).services] == ["shop"]
        connection.close()
        database.close()
    with pytest.raises(StorageError, match=r"nowhere does not exist$"):
        read_only(Path("nowhere"))


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_files_of_earlier_versions(version: int, tmp_path: Path) -> None:
    """A recorded file of each version is migrated, and its services are read; see also test_storage.py."""
    (tmp_path / FILE).write_bytes((RECORDED / f"{version}.db").read_bytes())
    database = Database.open(tmp_path, NOW)
    assert database.set_aside == ""
    assert stored(database).keys() == {"shop"}
    assert database._connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    database.close()
