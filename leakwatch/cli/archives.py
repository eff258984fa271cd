"""Unpacks archives of debug bundles (.tar, .tar.gz, .tgz, .zip) into a folder, within bounds.

Only files with the name of a goroutine profile or dump are written. Their times are those in the archive.
"""

import gzip
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, BinaryIO, Final

from leakwatch.cli.analyze.bundles import may_be_profile
from leakwatch.cli.analyze.folders import is_body
from leakwatch.errors import ConfigError
from leakwatch.profile.parts import GZIP

MAX_READ: Final = 8 << 30
"""Decompressed bytes of an archive, with the members that are not unpacked."""
MAX_UNPACKED: Final = 2 << 30
MAX_MEMBERS: Final = 200_000
PIECE: Final = 1 << 20
ZIP: Final = b"PK\x03\x04"
TAR_MARK: Final = slice(257, 262)

INVALID: Final = (
    *(OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error),
    *(NotImplementedError, RuntimeError),  # zipfile: an unknown compression, an encrypted member
    *(ValueError, OverflowError),  # a time that is not a date
)
"""Errors of an archive that is damaged, or has what Python does not read."""

IsWanted = Callable[[str], bool]
"""Returns whether the file with a name is to be unpacked."""


class _Limited:
    """A decompressed stream of which at most `MAX_READ` bytes are read."""

    def __init__(self, file: BinaryIO | gzip.GzipFile, path: Path) -> None:
        self._file = file
        self._path = path
        self._left = MAX_READ

    def read(self, size: int = PIECE) -> bytes:
        """Return up to `size` bytes; raises ConfigError beyond the limit."""
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ConfigError(f"{self._path}: expands to more than {MAX_READ >> 30} GB")
        return data


def is_archive(path: Path) -> bool:
    """Return whether a file is a tar or zip archive, by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(512)
        if head.startswith(GZIP):
            file.seek(0)
            try:
                head = gzip.GzipFile(fileobj=file).read(512)
            except (OSError, EOFError):
                return False
    return head.startswith(ZIP) or head[TAR_MARK] == b"ustar"


@contextmanager
def unpacked(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Return `paths` with a temporary folder in place of each archive; raises ConfigError."""
    with ExitStack() as stack:
        folders = []
        for path in paths:
            if not is_archive(path):
                folders.append(path)
                continue
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="leakwatch-"))) / path.name
            folder.mkdir()
            if not (unpack(path, folder, is_body) or unpack(path, folder, may_be_profile)):
                raise ConfigError(f"{path}: the archive has no file that may be a goroutine profile")
            folders.append(folder)
        yield folders


def unpack(path: Path, folder: Path, is_wanted: IsWanted) -> int:
    """Write the wanted files of an archive below `folder`; return their number. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            head = file.read(len(ZIP))
            file.seek(0)
            members = _zip(file) if head == ZIP else _tar(file, path, zipped=head.startswith(GZIP))
            return _write(path, members, folder, is_wanted)
    except INVALID as error:
        raise ConfigError(f"{path}: {error}") from error


Member = tuple[str, float, Callable[[], IO[bytes] | None]]
"""Name, time in unix seconds, and a function that opens the content."""


def _tar(file: BinaryIO, path: Path, *, zipped: bool) -> Iterator[Member]:
    plain = gzip.GzipFile(fileobj=file) if zipped else file
    with tarfile.open(fileobj=_Limited(plain, path), mode="r|") as archive:  # type: ignore[call-overload]  # it needs only read()
        for member in archive:
            if member.isfile():
                yield member.name, float(member.mtime), partial(archive.extractfile, member)


def _zip(file: BinaryIO) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                year, month, day, hour, minute, second = member.date_time
                # A zip without times has zeros.
                date = datetime(year, max(month, 1), max(day, 1), hour, minute, second, tzinfo=UTC)
                time = date.timestamp()
                yield member.filename, time, partial(archive.open, member)


def _write(path: Path, members: Iterator[Member], folder: Path, is_wanted: IsWanted) -> int:
    left, written = MAX_UNPACKED, 0
    for number, (name, time, open_content) in enumerate(members):
        if number >= MAX_MEMBERS:
            raise ConfigError(f"{path}: has more than {MAX_MEMBERS} files")
        parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part.strip("./")]
        if not parts or not is_wanted(parts[-1]):
            continue
        content = open_content()
        target = folder.joinpath(*(part.replace("/", "_").replace(":", "_") for part in parts))
        if content is None or target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with content, target.open("wb") as output:
            while piece := content.read(PIECE):
                left -= len(piece)
                if left < 0:
                    raise ConfigError(f"{path}: its profiles have more than {MAX_UNPACKED >> 30} GB")
                output.write(piece)
        os.utime(target, (time, time))
        written += 1
    return written
