"""Bounds of the parts of a profile. A parser checks a part against its bound before it decodes the part.

They are Go's own limits with headroom: a service that exceeds one does not send what runtime/pprof writes.
"""

from typing import Final

MAX_GOROUTINES: Final = 10**12
"""Exclusive. With the smallest stack, 2 KiB, so many do not fit into the 48 bits of an address."""

MAX_DEPTH: Final = 2_048
"""Calls, counters and lines of one stack. Go keeps 128 calls, and at most 1,024 with GODEBUG=profstackdepth."""

MAX_ANCESTORS: Final = 20
"""Ancestors of one goroutine that are parsed, the nearest first. Own code is among the first few."""

MAX_LABELS: Final = 1_000
"""Labels of one group. Go has no limit; services set less than ten."""

MAX_TEXT: Final = 65_536
"""Bytes of one line, name or label. Go has no limit; the longest name of a real program has a few KB."""

MAX_GROUP: Final = 393_216
"""Bytes of one group as text. 1,024 calls with 200 bytes of function and file are half as many."""

MAX_STACKS: Final = 50_000
"""Different stacks of one body. A large service has 5,000; the default of detection.series_limit is 10,000."""

MAX_RECORDS: Final = 100_000
"""Records of one heap profile: call paths that allocate. A small gRPC service has 170."""

MAX_ADDRESS_DIGITS: Final = 16
"""Hexadecimal digits of a program counter."""
