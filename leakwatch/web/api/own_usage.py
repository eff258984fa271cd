"""What our own process takes of the machine, as the kernel counts it."""

import os
import resource
from pathlib import Path

STATM = Path("/proc/self/statm")


def memory() -> int | None:
    """Return the bytes in memory now, None where the kernel does not tell."""
    try:
        pages = int(STATM.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu() -> float:
    """Return the seconds of a core used so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
