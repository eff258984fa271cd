"""The lock of a storage folder: one process at a time saves its state there."""

import errno
import fcntl
import os
import socket
from pathlib import Path
from typing import Final

from leakwatch.errors import StorageError, StorageInUseError

FILE: Final = "leakwatch.lock"
UNSUPPORTED: Final = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


class FolderLock:
    """The lock of `folder`, held from its creation until `release` or the end of the process.

    Raise StorageInUseError if another process holds it, StorageError if the file system has no locks, and OSError.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / FILE
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        except OSError as error:
            holder = os.pread(file, 200, 0).decode(errors="replace").strip()
            os.close(file)
            if isinstance(error, BlockingIOError):
                raise StorageInUseError(f"{folder} is in use by {holder or 'another process'}") from error
            if error.errno in UNSUPPORTED:
                raise StorageError(
                    f"{folder} is on a file system without locks, such as NFS without lockd"
                ) from error
            raise
        self._file: int | None = file
        self._path = path

    @property
    def is_held(self) -> bool:
        """Whether the lock excludes other processes, which lock the file that is in the folder now."""
        try:
            return self._file is not None and os.path.samestat(os.fstat(self._file), self._path.lstat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
