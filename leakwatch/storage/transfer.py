"""Information about a database, and copies of services between databases. All functions may take long.

A daemon may use a database that is read here. A database that is written here must not be in use.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from leakwatch.errors import StateError, StorageError
from leakwatch.leaks.model import Leak
from leakwatch.leaks.service_state import ServicePlain, ServiceState
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.pipeline import Pipeline
from leakwatch.settings.globs import glob
from leakwatch.storage.codec import decode
from leakwatch.storage.database import FILE, MIGRATIONS, TIMEOUT, Database, as_storage_error, read_only
from leakwatch.storage.rows import ALERTS

PRIVATE: Final = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSummary:
    """Content of a database for one service.

    `saved`: by the clock of the daemon; `targets`, `stacks`: their numbers; `first`, `last`: times of the first
    profile in the lifetimes of the targets, and of the latest one; `error`: why the state is invalid, "" if it is
    valid.
    """

    name: str
    saved: float
    targets: int = 0
    stacks: int = 0
    first: float | None = None
    last: float | None = None
    leaks: Sequence[Leak] = ()
    """The open leaks that no rule ignores."""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Content of a database; `size`: bytes of the files, `values`: name -> value beside the services."""

    path: Path
    version: int
    size: int
    services: Sequence[ServiceSummary]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The services that were added, those that replaced an older state, and those that did not."""

    added: Sequence[str]
    replaced: Sequence[str]
    kept: Sequence[str]


def database_path(path: Path) -> Path:
    """Return the path of a database, given it or its folder."""
    return path / FILE if path.is_dir() else path


def summarize(path: Path) -> Summary:
    """Return the content of the database at `path`, which a daemon may use; raise StorageError."""
    with _reading(path) as connection:
        connection.execute("BEGIN")  # all of one moment
        names = connection.execute("SELECT name, saved FROM service ORDER BY name").fetchall()
        values = connection.execute("SELECT name, value FROM value").fetchall()
        return Summary(
            path=path,
            version=_version(connection),
            size=sum(file.stat().st_size for file in _files(path)),
            services=[_summarize_service(connection, name, saved) for name, saved in names],
            values={name: decode(value) for name, value in values},
        )


def export(path: Path, file: Path, patterns: Sequence[str] = ()) -> Sequence[str]:
    """Write a copy of the database at `path` to the new `file`; return the names of its services.

    `patterns`: globs of the services to copy, none for the whole database. Alerts are only copied with the whole.
    Raise StorageError.
    """
    with _reading(path) as connection:
        stored = [name for (name,) in connection.execute("SELECT name FROM service ORDER BY name")]
        names = _select(stored, patterns, path)
        with _new_file(file):
            connection.execute("VACUUM INTO ?", (str(file),))
            if patterns:
                _remove_others(file, names)
    return names


def import_services(path: Path, source: Path, now: float, *, replace: bool = False) -> Imported:
    """Copy the services of the database `source` into the one at `path`, which is created if it is missing.

    Of two states of a service the one saved later stays, or always that of `source` with `replace`. A database
    without values gets those of `source`. `now`: of the wall clock. Raise StorageError.
    """
    if path.name != FILE:
        raise StorageError(f"{path} is not the {FILE} of a folder")
    with _reading(source) as connection:
        if _version(connection) != len(MIGRATIONS):
            raise StorageError(
                f"{source} has version {_version(connection)}: start leakwatch with it to migrate it"
            )
    if path.exists():
        read_only(path).close()  # otherwise Database.open would set aside what it cannot use
    with contextlib.closing(Database.open(path.parent, now)), _writing(path) as connection:
        connection.execute("ATTACH ? AS source", (f"{source.resolve().as_uri()}?{_mode(source)}",))
        connection.execute("BEGIN IMMEDIATE")
        imported = _import(connection, replace=replace)
        if connection.execute("SELECT count(*) FROM main.value").fetchone() == (0,):
            connection.execute("INSERT INTO main.value SELECT * FROM source.value")
        connection.execute("COMMIT")
    return imported


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for reading, with errors as StorageError."""
    with _used(read_only(path), path) as connection:
        if _version(connection) == 0:
            raise StorageError(f"{path} has no state yet")
        connection.isolation_level = None
        yield connection


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for writing, with errors as StorageError."""
    connection = sqlite3.connect(path.resolve().as_uri(), uri=True, timeout=TIMEOUT, isolation_level=None)
    with _used(connection, path):
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


@contextlib.contextmanager
def _used(connection: sqlite3.Connection, path: Path) -> Iterator[sqlite3.Connection]:
    """Close a connection at the end of the block, and raise its errors as StorageError."""
    try:
        yield connection
    except sqlite3.Error as error:
        raise as_storage_error(path, error) from error
    finally:
        connection.close()


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[None]:
    """Create an empty file that only its owner can read, and remove it after an error."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
    except FileExistsError as error:
        raise StorageError(f"{path} exists already") from error
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _mode(path: Path) -> str:
    """Return the options with which `path` can be attached, as `read_only` opens it."""
    return "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"


def _files(path: Path) -> list[Path]:
    """Return the files of a database: it and its write-ahead log."""
    return [file for file in (path, path.with_name(f"{path.name}-wal")) if file.exists()]


def _select(stored: Sequence[str], patterns: Sequence[str], path: Path) -> Sequence[str]:
    """Return the services that match a pattern, all if there are no patterns."""
    for pattern in patterns:
        if not any(glob(pattern).fullmatch(name) for name in stored):
            raise StorageError(f"{path} has no service {pattern!r}")
    return [name for name in stored if not patterns or any(glob(pattern).fullmatch(name) for pattern in patterns)]


def _remove_others(path: Path, names: Sequence[str]) -> None:
    """Remove all services but `names` from a copy. Their alerts, too: another leakwatch would resolve them."""
    with _writing(path) as connection:
        stored = connection.execute("SELECT name FROM service").fetchall()
        connection.execute("BEGIN")
        others = [name for (name,) in stored if name not in names]
        connection.executemany("DELETE FROM service WHERE name = ?", [(name,) for name in others])
        connection.execute("DELETE FROM value WHERE name = ?", (ALERTS,))
        connection.execute("COMMIT")
        connection.execute("VACUUM")


def _import(connection: sqlite3.Connection, *, replace: bool) -> Imported:
    """Copy services between the databases `source` and `main` of a connection."""
    stored: dict[str, float] = dict(connection.execute("SELECT name, saved FROM main.service").fetchall())
    added, replaced, kept = [], [], []
    for name, saved in connection.execute("SELECT name, saved FROM source.service ORDER BY name").fetchall():
        if name not in stored:
            added.append(name)
        elif replace or saved > stored[name]:
            replaced.append(name)
            connection.execute("DELETE FROM main.service WHERE name = ?", (name,))
        else:
            kept.append(name)
            continue
        connection.execute("INSERT INTO main.service SELECT * FROM source.service WHERE name = ?", (name,))
        connection.execute("INSERT INTO main.target SELECT * FROM source.target WHERE service = ?", (name,))
    return Imported(added=added, replaced=replaced, kept=kept)


def _summarize_service(connection: sqlite3.Connection, name: str, saved: float) -> ServiceSummary:
    (row,) = connection.execute("SELECT shared, state FROM service WHERE name = ?", (name,)).fetchall()
    rows = connection.execute("SELECT state FROM target WHERE service = ?", (name,)).fetchall()
    try:
        shared, document = map(decode, row)
        pipeline = _restored(ServicePlain(shared, document, [decode(state) for (state,) in rows]))
        (service,) = pipeline.services.values()
        ignored = document["state"]["leaks"]["rules"]  # the rules are in the configuration, which is unknown here
        leaks = [leak for leak in pipeline.open_leaks() if leak.stack.fingerprint not in ignored]
    except (StorageError, StateError) as error:
        return ServiceSummary(name=name, saved=saved, targets=len(rows), error=str(error))
    return ServiceSummary(
        name=name,
        saved=saved,
        targets=len(rows),
        stacks=len({fingerprint for state in service.states for fingerprint in state.history.rows}),
        first=_first_profile(service),
        last=service.time or None,
        leaks=leaks,
    )


def _restored(plain: ServicePlain) -> Pipeline:
    """Return a pipeline with one service, and the settings with which its targets were saved."""
    documents = [target for target in plain.targets if isinstance(target, dict)]
    saved = {key: documents[0][key] for key in ("block", "series_limit") if documents and key in documents[0]}
    pipeline = Pipeline(DetectionSettings(**saved))
    pipeline.restore([plain], now=0.0)
    return pipeline


def _first_profile(service: ServiceState) -> float | None:
    times = [state.history.since for state in service.states]
    times += [candidate.first_seen for candidate in service.leaks.candidates.values()]
    return min((time for time in times if time is not None), default=None)
