"""The folder of evidence: the only module that writes, reads and removes its files.

<service>/<target>/<unix seconds>.json                   the record of a body: record.py
                                 .txt.gz|.pb.gz|.dump.gz the body
                                 .symbol                 the names of the wait reasons of a text body

A file appears complete or not at all. The record is written first and removed last, so each body has a record.
"""

import contextlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from leakwatch.errors import EvidenceError
from leakwatch.evidence.file_names import encode_name
from leakwatch.evidence.record import SUFFIXES, SYMBOLS, Record

STEM = re.compile(r"\d{1,20}\.\d{3}")
TEMPORARY = ".leakwatch-new"
BAD = ".bad"
RECORD = ".json"
PRIVATE = 0o700

OnInvalid = Callable[[Path, str], None]
"""Called with each invalid record file and the error."""


def stem(record: Record) -> str:
    """Return the path of a body within the folder, without the suffix of its files."""
    return f"{encode_name(record.service)}/{encode_name(record.target)}/{record.time:.3f}"


class Disk:
    """The evidence in `folder`. All methods except `check` may take long and belong into a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self) -> None:
        """Create the folder if it is missing, and check that files can be written; raise OSError."""
        self.folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        _write(self.folder / "leakwatch", b"")
        (self.folder / "leakwatch").unlink()

    def load(self, on_invalid: OnInvalid) -> list[Record]:
        """Return the records of all bodies, in no order; raise OSError.

        Invalid records are renamed, files of others are not touched.
        """
        records = []
        for service in _folders(self.folder):
            for target in _folders(service):
                for file in sorted(target.iterdir()):
                    if file.name.startswith(".") and file.name.endswith(TEMPORARY):
                        file.unlink()  # leakwatch was killed while it wrote the file
                    elif file.suffix == RECORD and STEM.fullmatch(file.stem):
                        record = self._load_record(file, on_invalid)
                        records += [record] if record else []
        return records

    def write(self, record: Record, parts: Mapping[str, bytes]) -> None:
        """Write record, body and symbols; `parts`: bytes by suffix. Raise OSError, after removing all of them."""
        path = self._path(record)
        path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        try:
            self.write_record(record)
            for suffix, data in parts.items():
                _write(_with_suffix(path, suffix), data)
        except OSError:
            with contextlib.suppress(OSError):
                self.remove(record)
            raise

    def write_record(self, record: Record) -> None:
        """Write the record of a body; raise OSError."""
        _write(_with_suffix(self._path(record), RECORD), record.model_dump_json(indent=1).encode())

    def remove(self, record: Record) -> None:
        """Remove body, symbols and record, and folders that are empty then; raise OSError."""
        path = self._path(record)
        for suffix in (SUFFIXES[record.format], SYMBOLS, RECORD):
            _with_suffix(path, suffix).unlink(missing_ok=True)
        for folder in path.parents[:2]:
            with contextlib.suppress(OSError):  # the folder has other files
                folder.rmdir()

    def read(self, record: Record) -> dict[str, bytes]:
        """Return body and symbols (if any) by suffix; raise OSError."""
        path, suffix = self._path(record), SUFFIXES[record.format]
        parts = {suffix: _with_suffix(path, suffix).read_bytes()}
        with contextlib.suppress(FileNotFoundError):
            parts[SYMBOLS] = _with_suffix(path, SYMBOLS).read_bytes()
        return parts

    def _path(self, record: Record) -> Path:
        return self.folder / stem(record)

    def _load_record(self, file: Path, on_invalid: OnInvalid) -> Record | None:
        """Return the record in a JSON file; None if there is no body, or the record or its body is invalid."""
        try:
            record = Record.model_validate_json(file.read_bytes())
            if self.folder / f"{stem(record)}{RECORD}" != file:
                raise EvidenceError(f"the record belongs to {stem(record)}")  # noqa: TRY301  handled like others below
            body = _with_suffix(self._path(record), SUFFIXES[record.format])
            if not body.exists():
                file.unlink()  # leakwatch was killed before it wrote the body
                return None
            if body.stat().st_size != record.bytes:
                raise EvidenceError(f"{body.name} has {body.stat().st_size} bytes, not {record.bytes}")  # noqa: TRY301
        except (ValidationError, EvidenceError) as error:
            message = f"{error.errors()[0]['msg']}" if isinstance(error, ValidationError) else str(error)
            renamed = file.with_name(f".{file.name}{BAD}")
            file.replace(renamed)
            on_invalid(file, f"{message}: renamed to {renamed.name}, the body stays in place")
            return None
        return record


def _write(path: Path, data: bytes) -> None:
    """Write a file completely or not at all; raise OSError."""
    new = path.with_name(f".{path.name}{TEMPORARY}")
    try:
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as out:
            out.write(data)
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))


def _with_suffix(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
