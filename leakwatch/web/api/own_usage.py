"""Resources that the leakwatch process uses, according to the kernel."""

import os
import resource
from pathlib import Path

STATM = Path("/proc/self/statm")


def memory() -> int | None:
    """Return the resident memory in bytes, None if the kernel does not report it."""
    try:
        pages = int(STATM.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu() -> float:
    """Return the CPU seconds used so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
