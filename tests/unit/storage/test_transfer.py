"""Information about databases, and copies of services between them."""

import os
import sqlite3
import stat
from contextlib import closing
from copy import deepcopy
from pathlib import Path

import pytest

from leakwatch.errors import StorageError
from leakwatch.model import Verdict
from leakwatch.storage.database import FILE, Database
from leakwatch.storage.rows import ALERTS, CLOCK, PAUSES
from leakwatch.storage.transfer import Imported, database_path, export, import_services, summarize
from tests.support.simulated import HOUR, START
from tests.support.stored import END, INTERVAL, leaking_service, store


def saved(path: Path) -> dict[str, float]:
    """Return service -> time at which it was saved."""
    return {service.name: service.saved for service in summarize(path).services}


def execute(path: Path, *statements: str) -> None:
    """Change a database."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_a_folder_has_its_database(tmp_path: Path) -> None:
    """A database is given by its folder or by its own path."""
    assert database_path(tmp_path) == tmp_path / FILE
    assert database_path(tmp_path / "copy.db") == tmp_path / "copy.db"


def test_a_summary_has_what_was_saved(tmp_path: Path) -> None:
    """Times, targets, stacks and open leaks of each service, and the values."""
    summary = summarize(store(tmp_path, ["shop", "cart"]))
    assert (summary.version, [service.name for service in summary.services]) == (1, ["cart", "shop"])
    assert summary.size >= (tmp_path / FILE).stat().st_size
    assert summary.values[CLOCK]["time"] == END
    (_, shop) = summary.services
    assert (shop.saved, shop.targets, shop.stacks, shop.error) == (END, 2, 2, "")
    assert (shop.first, shop.last) == (START, END - INTERVAL)
    (leak,) = shop.leaks
    assert (leak.stack.blamed.function, leak.verdict) == ("main.leak", Verdict.LEAKING)


def test_a_summary_reads_beside_a_daemon(tmp_path: Path) -> None:
    """An open database is read with its write-ahead log, and an export of it has the latest save."""
    store(tmp_path, ["shop"])
    with closing(Database.open(tmp_path, START)):
        assert [*saved(tmp_path / FILE)] == ["shop"]
        assert export(tmp_path / FILE, tmp_path / "copy.db") == ["shop"]
    assert saved(tmp_path / "copy.db") == saved(tmp_path / FILE)


def test_a_summary_has_no_ignored_leaks(tmp_path: Path) -> None:
    """A leak that a rule ignored when it was saved is not open."""
    leaking = deepcopy(leaking_service("shop"))
    (fingerprint,) = leaking.service["state"]["leaks"]["groups"]
    leaking.service["state"]["leaks"]["rules"][fingerprint] = "function main.leak"
    (shop,) = summarize(store(tmp_path, {"shop": leaking})).services
    assert (shop.leaks, shop.error) == ([], "")


def test_an_invalid_service_has_its_error(tmp_path: Path) -> None:
    """A service that cannot be restored is listed with the reason; the others are complete."""
    path = store(tmp_path, ["cart", "shop"])
    execute(path, "UPDATE target SET state = x'00' WHERE service = 'cart'")
    cart, shop = summarize(path).services
    assert (cart.name, cart.targets, cart.leaks) == ("cart", 2, ())
    assert "the value is incomplete" in cart.error
    assert len(shop.leaks) == 1


def test_an_export_is_private_and_complete(tmp_path: Path) -> None:
    """A copy has all services and values, and only its owner can read it."""
    values = {CLOCK: {"time": 1.0}, ALERTS: {"alerts": []}, PAUSES: []}
    path = store(tmp_path, ["shop", "cart"], values=values)
    assert export(path, tmp_path / "copy.db") == ["cart", "shop"]
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    assert summarize(tmp_path / "copy.db").values == values
    assert saved(tmp_path / "copy.db") == saved(path)


def test_an_export_of_some_services(tmp_path: Path) -> None:
    """Globs select services. The copy has nothing of the others, and no alerts."""
    path = store(tmp_path, ["shop", "shop-eu", "cart"], values={CLOCK: {"time": 1.0}, ALERTS: {"alerts": []}})
    assert export(path, tmp_path / "copy.db", ["shop*"]) == ["shop", "shop-eu"]
    summary = summarize(tmp_path / "copy.db")
    assert [service.name for service in summary.services] == ["shop", "shop-eu"]
    assert summary.services[0].leaks
    assert [*summary.values] == [CLOCK]
    assert b"cart" not in (tmp_path / "copy.db").read_bytes()
    assert saved(path).keys() == {"shop", "shop-eu", "cart"}


def test_an_export_of_nothing_leaves_no_file(tmp_path: Path) -> None:
    """A glob without a service is an error, and no file appears."""
    path = store(tmp_path, ["shop"])
    with pytest.raises(StorageError, match="has no service 'card'"):
        export(path, tmp_path / "copy.db", ["shop", "card"])
    assert not (tmp_path / "copy.db").exists()


def test_an_export_never_overwrites(tmp_path: Path) -> None:
    """An existing file stays."""
    (tmp_path / "copy.db").write_text("precious")
    with pytest.raises(StorageError, match=r"copy\.db exists already"):
        export(store(tmp_path, ["shop"]), tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_an_export_into_a_missing_folder(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(StorageError, match=r"missing/copy\.db cannot be written: No such file or directory"):
        export(store(tmp_path, ["shop"]), tmp_path / "missing" / "copy.db")


def test_an_import_into_a_new_folder_restores_everything(tmp_path: Path) -> None:
    """A missing folder gets the services with their times, and the values."""
    source = store(tmp_path / "a", ["shop", "cart"])
    imported = import_services(tmp_path / "b" / FILE, source, START)
    assert imported == Imported(added=["cart", "shop"], replaced=[], kept=[])
    before, after = summarize(source), summarize(tmp_path / "b" / FILE)
    assert (after.services, after.values) == (before.services, before.values)


def test_an_import_keeps_the_newer_state(tmp_path: Path) -> None:
    """Of two states of a service the newer one stays, unless the file replaces it; values stay."""
    path = store(tmp_path / "own", ["new", "old"], END + HOUR)
    execute(path, "UPDATE service SET saved = 0 WHERE name = 'old'")
    source = store(tmp_path / "other", ["new", "old", "other"])
    assert import_services(path, source, START) == Imported(added=["other"], replaced=["old"], kept=["new"])
    assert saved(path) == {"new": END + HOUR, "old": END, "other": END}
    assert import_services(path, source, START, replace=True).replaced == ["new", "old", "other"]
    assert saved(path) == saved(source)
    assert [service.targets for service in summarize(path).services] == [2, 2, 2]
    assert summarize(path).values[CLOCK]["time"] == END + HOUR


def test_an_import_reads_beside_a_daemon(tmp_path: Path) -> None:
    """The source may be the database of a running daemon, with a write-ahead log."""
    source = store(tmp_path / "a", ["shop"])
    with closing(Database.open(source.parent, START)):
        import_services(tmp_path / "b" / FILE, source, START)
    assert [*saved(tmp_path / "b" / FILE)] == ["shop"]


def test_an_import_into_a_folder_in_use(tmp_path: Path) -> None:
    """A folder that a daemon uses is not changed; the error names the process."""
    source, path = store(tmp_path / "a", ["shop"]), store(tmp_path / "b", ["cart"])
    with (
        closing(Database.open(path.parent, START)),
        pytest.raises(StorageError, match=f"is in use by process {os.getpid()} on "),
    ):
        import_services(path, source, START)
    assert [*saved(path)] == ["cart"]


def test_an_import_into_a_file_with_another_name(tmp_path: Path) -> None:
    """Only the database of a folder is locked, so no other file is written."""
    with pytest.raises(StorageError, match=r"copy\.db is not the leakwatch\.db of a folder"):
        import_services(tmp_path / "copy.db", store(tmp_path, ["shop"]), START)


@pytest.mark.parametrize(
    ("statements", "error"),
    [
        (["PRAGMA user_version = 99"], "has version 99, but this leakwatch knows versions up to 1"),
        (["PRAGMA application_id = 7"], "is a database of another program"),
    ],
)
def test_databases_that_cannot_be_used(tmp_path: Path, statements: list[str], error: str) -> None:
    """A newer or a foreign database is neither read nor written, nor set aside."""
    path, good = store(tmp_path / "a", ["shop"]), store(tmp_path / "b", ["shop"])
    execute(path, *statements)
    before = path.read_bytes()
    with pytest.raises(StorageError, match=error):
        summarize(path)
    with pytest.raises(StorageError, match=error):
        export(path, tmp_path / "copy.db")
    for target, source in ((path, good), (good, path)):
        with pytest.raises(StorageError, match=error):
            import_services(target, source, START)
    assert path.read_bytes() == before
    assert not [*path.parent.glob("*.version-*")]


@pytest.mark.parametrize(
    ("content", "error"),
    [(None, "does not exist"), (b"garbage" * 1000, "file is not a database"), (b"", "has no state yet")],
)
def test_files_without_a_state(tmp_path: Path, content: bytes | None, error: str) -> None:
    """A missing, damaged or empty file is an error that names it."""
    path = tmp_path / "state.db"
    if content is not None:
        path.write_bytes(content)
    for use in (summarize, lambda path: import_services(tmp_path / "new" / FILE, path, START)):
        with pytest.raises(StorageError, match=rf"state\.db.* {error}"):
            use(path)
    assert not (tmp_path / "new").exists()
