"""Assignment of services to one of several leakwatch processes: `--shard i/n`. Pure.

Rendezvous hashing of the service name. All targets of a service belong to one shard, so that their counts can be
pooled. When n grows by one, only one service in n + 1 moves.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Shard:
    """Shard `index`, counted from 0, of `count`."""

    index: int = 0
    count: int = 1

    def owns(self, service: str) -> bool:
        """Return whether this shard scrapes the service."""
        return self.count == 1 or self.index == _owner(service, self.count)


@lru_cache(maxsize=1 << 16)
def _owner(service: str, count: int) -> int:
    return max(range(count), key=lambda index: _weight(index, service))


def _weight(index: int, service: str) -> bytes:
    return blake2b(f"{index}/{service}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


def shard(text: str, host: str) -> Shard:
    """Parse `i/n`, or `auto/n` for the number at the end of the host name `host`; raises ValueError."""
    match = re.fullmatch(r"(auto|\d+)/([1-9]\d*)", text)
    if match is None:
        raise ValueError(f"{text!r} must be i/n with i counted from 0, for example 0/3, or auto/n")
    index = match[1]
    if index == "auto":
        ordinal = re.search(r"-(\d+)$", host.partition(".")[0])
        if ordinal is None:
            raise ValueError(f"{text!r}: the host name {host!r} does not end in -0, -1, ... as in a StatefulSet")
        index = ordinal[1]
    if int(index) >= int(match[2]):
        raise ValueError(f"{text!r}: shard {index} of {match[2]} does not exist: they are counted from 0")
    return Shard(int(index), int(match[2]))
