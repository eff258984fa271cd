"""The SQLite file of the state. All methods may take long and belong into a thread.

A file that cannot be used is set aside under another name, never deleted: `leakwatch.db.damaged-<unix seconds>`.
"""

import contextlib
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from leakwatch.errors import StorageError
from leakwatch.storage.codec import decode, encode
from leakwatch.storage.lock import FolderLock
from leakwatch.storage.rows import Batch, ServiceRow, StoredService, StoredState

FILE: Final = "leakwatch.db"
APPLICATION_ID: Final = 0x6C656B77  # "lekw", in the header of the file
PRIVATE: Final = 0o700
TIMEOUT: Final = 5.0  # seconds to wait for a reader that holds a lock
CACHE: Final = 512  # KB; SQLite takes 2 MB by default
STEP: Final = 50  # rows or pages per transaction while old states are removed
DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

MIGRATIONS: Final[Sequence[str]] = (
    """
    CREATE TABLE value (name TEXT PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE service (
        name TEXT PRIMARY KEY, saved REAL NOT NULL, leaks INTEGER NOT NULL,
        shared BLOB NOT NULL, state BLOB NOT NULL
    );
    CREATE TABLE target (
        service TEXT NOT NULL REFERENCES service (name) ON DELETE CASCADE,
        name TEXT NOT NULL, saved REAL NOT NULL, series INTEGER NOT NULL, leaks INTEGER NOT NULL,
        state BLOB NOT NULL,
        PRIMARY KEY (service, name)
    );
    CREATE INDEX service_saved ON service (saved);
    """,
)
"""The script at i migrates a file from version i to i + 1; version 0 is an empty file."""


class UnusableError(StorageError):
    """A database has to be set aside; `name`: the suffix that the file gets."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class Database:
    """The database in a folder, open for writing and locked.

    `set_aside`: why the previous file was set aside, and its new name; "" if it was not.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, lock: FolderLock, set_aside: str = "") -> None:
        self.path = path
        self.set_aside = set_aside
        self._connection = connection
        self._inode = path.stat().st_ino
        self._lock = lock

    @classmethod
    def open(cls, folder: Path, now: float) -> "Database":
        """Open the database of `folder`, which is created if it is missing; `now`: of the wall clock.

        A damaged database, or one of a newer version, is set aside. Raise StorageError if the folder is unusable.
        """
        try:
            folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            lock = FolderLock(folder)
        except (FileExistsError, NotADirectoryError) as error:
            raise StorageError(f"{folder} is not a folder") from error
        except OSError as error:
            raise StorageError(f"{folder} cannot be used: {error.strerror or error}") from error
        path, set_aside = folder / FILE, ""
        try:
            try:
                connection = _connect(path)
            except UnusableError as error:
                renamed = _rename(path, f"{error.name}-{now:.0f}")
                set_aside = f"{error}: renamed to {renamed}"
                connection = _connect(path)
        except (OSError, sqlite3.Error, StorageError) as error:
            lock.release()
            raise as_storage_error(path, error) from error
        return cls(connection, path, lock, set_aside)

    def close(self) -> None:
        """Close the database, and release the folder."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        self._lock.release()

    def read(self) -> StoredState:
        """Return all that is stored; raise StorageError."""
        with self._errors():
            return read_all(self._connection)

    def write(self, batch: Batch) -> None:
        """Save a batch in one transaction; raise StorageError."""
        # SQLite would write to the removed file, and lose what is only in a removed log if the process is killed.
        wal = self.path.with_name(f"{self.path.name}-wal")
        if not wal.exists() or not self.path.exists() or self.path.stat().st_ino != self._inode:
            raise StorageError(f"{self.path} was removed or replaced")
        if not self._lock.is_held:  # another process may have locked a new file, and writes here too
            raise StorageError(f"the lock of {self.path} was removed or replaced")
        with self._errors(), self._transaction() as cursor:
            for service in batch.services:
                _write_service(cursor, service, batch.time)
            cursor.executemany("DELETE FROM service WHERE name = ?", [(name,) for name in batch.removed])
            values = [(name, encode(value)) for name, value in batch.values.items()]
            cursor.executemany("INSERT OR REPLACE INTO value VALUES (?, ?)", values)

    def trim(self, *, before: float, size_limit: int, kept: Collection[str]) -> int:
        """Remove services saved `before` that time, and the oldest ones above `size_limit`, but none of `kept`.

        One call removes a few. Return the size of the database; raise StorageError.
        """
        with self._errors():
            oldest = self._connection.execute("SELECT name, saved FROM service ORDER BY saved").fetchall()
            for name, saved in [row for row in oldest if row[0] not in kept][:STEP]:
                if saved >= before and self.size <= size_limit:
                    break
                self._connection.execute("DELETE FROM service WHERE name = ?", (name,))
            self._connection.executescript(f"PRAGMA incremental_vacuum({STEP})")  # `execute` would free one page
            return self.size

    @property
    def size(self) -> int:
        """Bytes of the pages in use."""
        pragmas = ("page_count", "freelist_count", "page_size")
        pages, free, size = (int(self._connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in pragmas)
        return (pages - free) * size

    def copy_to(self, path: Path) -> None:
        """Write a copy of the database to a new file; raise StorageError."""
        with self._errors():
            self._connection.execute("VACUUM INTO ?", (str(path),))

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise as_storage_error(self.path, error) from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Cursor]:
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            yield cursor
            cursor.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back already
                cursor.execute("ROLLBACK")
            raise


def read_folder(folder: Path) -> StoredState:
    """Return all that is stored in a folder in which nothing can be written; raise StorageError.

    On a full disk SQLite cannot read the write-ahead log, which needs another file. The latest saves are missing
    then.
    """
    path = folder / FILE
    for immutable in (False, True):
        try:
            with contextlib.closing(read_only(path, immutable=immutable)) as connection:
                return read_all(connection)
        except (StorageError, sqlite3.Error) as error:
            failure = as_storage_error(path, error)
    raise failure


def read_only(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """Return a connection to an existing database that is only read; raise StorageError.

    `immutable`: whether the write-ahead log is ignored.
    """
    if not path.is_file():
        raise StorageError(f"{path} does not exist")
    # Without a write-ahead log no process has the file open. SQLite must not create a log then.
    immutable = immutable or not path.with_name(f"{path.name}-wal").exists()
    options = "mode=ro&immutable=1" if immutable else "mode=ro"
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{options}", uri=True, timeout=TIMEOUT)
        _check(connection, path)
    except sqlite3.Error as error:
        raise as_storage_error(path, error) from error
    return connection


def read_all(connection: sqlite3.Connection) -> StoredState:
    """Return all that is stored; a service with a damaged value is left out. Raise sqlite3.Error."""
    services, errors, damaged = [], [], []
    rows = connection.execute("SELECT name, saved, shared, state FROM service ORDER BY rowid").fetchall()
    for name, saved, shared, state in rows:
        targets = connection.execute(
            "SELECT state FROM target WHERE service = ? ORDER BY rowid", (name,)
        ).fetchall()
        try:
            plain = [decode(target) for (target,) in targets]
            services.append(StoredService(name, float(saved), decode(shared), decode(state), plain))
        except (StorageError, ValueError) as error:
            errors.append(f"service {name!r}: {error}")
            damaged.append(name)
    values = {}
    for name, value in connection.execute("SELECT name, value FROM value").fetchall():
        try:
            values[name] = decode(value)
        except StorageError as error:
            errors.append(f"{name}: {error}")
    return StoredState(services, values, errors, damaged)


def as_storage_error(path: Path, error: Exception) -> StorageError:
    """Return an error of SQLite or of the operating system as one that names the file."""
    return error if isinstance(error, StorageError) else StorageError(f"{path}: {error}")


def _connect(path: Path) -> sqlite3.Connection:
    """Open the database for writing, and migrate it; raise UnusableError if it must be set aside."""
    connection = sqlite3.connect(path, timeout=TIMEOUT, isolation_level=None, check_same_thread=False)
    try:
        version = _check(connection, path)
        connection.execute(f"PRAGMA cache_size = -{CACHE}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # in force if the file is empty
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a verdict also survives a power failure
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            connection.executescript(
                f"BEGIN; {script} PRAGMA user_version = {number}; PRAGMA application_id = {APPLICATION_ID}; COMMIT"
            )
    except sqlite3.Error as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF in DAMAGED:
            raise UnusableError(f"{path} is damaged: {error}", "damaged") from error
        raise
    except StorageError:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of the database; raise StorageError if leakwatch cannot use it, and sqlite3.Error."""
    (version,), (application,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("user_version", "application_id")
    )
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != APPLICATION_ID:
        raise StorageError(f"{path} is a database of another program")
    if version > len(MIGRATIONS):
        message = f"{path} has version {version}, but this leakwatch knows versions up to {len(MIGRATIONS)}"
        raise UnusableError(message, f"version-{version}")
    (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if result != "ok":
        raise UnusableError(f"{path} is damaged: {result}", "damaged")
    return int(version)


def _rename(path: Path, suffix: str) -> Path:
    """Rename a database and the files of its write-ahead log; return the new path of the database."""
    renamed = path.with_name(f"{path.name}.{suffix}")
    for ending in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + ending).replace(renamed.with_name(renamed.name + ending))
    return path.replace(renamed)


def _write_service(cursor: sqlite3.Cursor, service: ServiceRow, time: float) -> None:
    state, name = encode(service.document), service.name
    if service.shared is None:
        cursor.execute(
            "UPDATE service SET saved = ?, leaks = ?, state = ? WHERE name = ?", (time, service.leaks, state, name)
        )
    else:
        cursor.execute(
            "INSERT INTO service VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
            " saved = excluded.saved, leaks = excluded.leaks, shared = excluded.shared, state = excluded.state",
            (name, time, service.leaks, encode(service.shared), state),
        )
    stored = cursor.execute("SELECT name FROM target WHERE service = ?", (name,)).fetchall()
    gone = [(name, target) for (target,) in stored if target not in service.names]
    cursor.executemany("DELETE FROM target WHERE service = ? AND name = ?", gone)
    rows = [(name, row.name, time, row.series, row.leaks, encode(row.document)) for row in service.targets]
    cursor.executemany("INSERT OR REPLACE INTO target VALUES (?, ?, ?, ?, ?, ?)", rows)
