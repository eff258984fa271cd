"""Files in memory. Python reads certificates and keys only from files, and a disk should not contain secrets."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@cache
def memory_file(data: bytes) -> Path:
    """Return the path of a file with this content, which exists until the process ends.

    Only this process can open the path. The same content has the same path.
    """
    return _path(_open(data))


@contextmanager
def temporary_memory_file(data: bytes) -> Iterator[Path]:
    """Yield the path of a file with this content, which exists within the `with` block."""
    descriptor = _open(data)
    try:
        yield _path(descriptor)
    finally:
        os.close(descriptor)


def _open(data: bytes) -> int:
    descriptor = os.memfd_create("leakwatch-credential")
    os.write(descriptor, data)
    return descriptor


def _path(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}")
