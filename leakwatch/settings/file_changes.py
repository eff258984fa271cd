"""Notices changes of files, on every file system and through the symbolic links of a Kubernetes ConfigMap."""

from pathlib import Path

Version = tuple[tuple[int, int, int] | None, ...]
"""Modification time in nanoseconds, size and inode of each file, None for a missing file."""


def version(*paths: Path) -> Version:
    """Return a value that changes when one of the files changes."""
    return tuple(_version(path) for path in paths)


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


class FileChanges:
    """The changes of one file since it was last read, at first since now; without a path, there are none.

    A change counts when two checks find the same version: a file that is being written may be valid but lack
    targets. A missing file is not a change, because some editors delete a file before they write it.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.reading()

    def reading(self) -> None:
        """Record that the file will be read now, so that a change in between is noticed at the next check."""
        self._read = self._seen = self._version()

    def check(self) -> bool:
        """Return whether the file has changed since it was last read, and not since the previous check."""
        previous, self._seen = self._seen, self._version()
        return self._seen not in {self._read, (None,)} and self._seen == previous

    def _version(self) -> Version:
        return version(self.path) if self.path else ()
