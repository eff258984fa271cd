"""The folder of evidence: the only place that writes, reads and removes its files.

<service>/<target>/<unix seconds>.json               what is said of a body: record.py
                                 .txt.gz|.pb.gz|.dump.gz  the body
                                 .symbol             what names its wait reasons, beside text

A file appears whole or not at all. The JSON comes first and goes last, so nothing of ours is ever without one.
"""

import contextlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from leakwatch.errors import EvidenceError
from leakwatch.evidence.file_names import quoted
from leakwatch.evidence.record import SUFFIXES, SYMBOLS, Record

STEM = re.compile(r"\d{1,20}\.\d{3}")
TEMPORARY = ".leakwatch-new"
BAD = ".bad"
RECORD = ".json"
PRIVATE = 0o700

Say = Callable[[str], None]
"""Takes one line about a file that cannot be used."""


def stem(record: Record) -> str:
    """Return where a body is, within the folder, without what its files end in."""
    return f"{quoted(record.service)}/{quoted(record.target)}/{record.time:.3f}"


class Disk:
    """Evidence in `folder`; every method but `check` may take long and is for a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self) -> None:
        """Make the folder if it is missing, and see that it can be written to; raises OSError."""
        self.folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        self._put(self.folder / "leakwatch", b"")
        (self.folder / "leakwatch").unlink()

    def index(self, say: Say) -> list[Record]:
        """Return all bodies, in no order; what is broken is set aside, what is not ours left alone.

        Raises OSError.
        """
        found = []
        for service in _folders(self.folder):
            for target in _folders(service):
                for file in sorted(target.iterdir()):
                    if file.name.startswith(".") and file.name.endswith(TEMPORARY):
                        file.unlink()  # was being written when we were killed
                    elif file.suffix == RECORD and STEM.fullmatch(file.stem):
                        record = self._record(file, say)
                        found += [record] if record else []
        return found

    def write(self, record: Record, parts: Mapping[str, bytes]) -> None:
        """Write a body and what belongs to it, by what its files end in; raises OSError, then nothing is left."""
        path = self._path(record)
        path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        try:
            self.write_record(record)
            for suffix, data in parts.items():
                self._put(_with(path, suffix), data)
        except OSError:
            with contextlib.suppress(OSError):
                self.remove(record)
            raise

    def write_record(self, record: Record) -> None:
        """Write what is said of a body; raises OSError."""
        self._put(_with(self._path(record), RECORD), record.model_dump_json(indent=1).encode())

    def remove(self, record: Record) -> None:
        """Remove a body and what belongs to it; raises OSError."""
        path = self._path(record)
        for suffix in (SUFFIXES[record.format], SYMBOLS, RECORD):
            _with(path, suffix).unlink(missing_ok=True)
        for folder in path.parents[:2]:
            with contextlib.suppress(OSError):  # something else is in it
                folder.rmdir()

    def read(self, record: Record) -> dict[str, bytes]:
        """Return a body and its symbols, if there are any, by what their files end in; raises OSError."""
        path, suffix = self._path(record), SUFFIXES[record.format]
        found = {suffix: _with(path, suffix).read_bytes()}
        with contextlib.suppress(FileNotFoundError):
            found[SYMBOLS] = _with(path, SYMBOLS).read_bytes()
        return found

    def _path(self, record: Record) -> Path:
        return self.folder / stem(record)

    def _record(self, file: Path, say: Say) -> Record | None:
        """Return what a JSON file says, None if it or its body is broken and was set aside."""
        try:
            record = Record.model_validate_json(file.read_bytes())
            if self.folder / f"{stem(record)}{RECORD}" != file:
                raise EvidenceError(f"it says it belongs to {stem(record)}")  # noqa: TRY301  one way to set aside
            body = _with(self._path(record), SUFFIXES[record.format])
            if not body.exists():
                file.unlink()  # we were killed before the body was there
                return None
            if body.stat().st_size != record.bytes:
                raise EvidenceError(f"{body.name} has {body.stat().st_size} bytes, not {record.bytes}")  # noqa: TRY301
        except (ValidationError, EvidenceError) as error:
            about = f"{error.errors()[0]['msg']}" if isinstance(error, ValidationError) else str(error)
            aside = file.with_name(f".{file.name}{BAD}")
            file.replace(aside)
            say(f"{file}: {about}: set aside as {aside.name}, its body stays where it is")
            return None
        return record

    @staticmethod
    def _put(path: Path, data: bytes) -> None:
        """Write a file whole or not at all; raises OSError."""
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
        return sorted(Path(one.path) for one in entries if one.is_dir(follow_symlinks=False))


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
