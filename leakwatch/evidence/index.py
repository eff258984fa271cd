"""The index of stored bodies by key and by target, and the choice of bodies to evict. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from leakwatch.evidence.record import Record

OVERHEAD = 4096  # bytes per body for the files beside it

Rank = tuple[tuple[int, float], float]
"""The importance and the time of a body; bodies of a higher rank stay longer."""


class DiskState(Enum):
    """Whether a body is on disk."""

    ABSENT = "absent"
    QUEUED = "queued"
    WRITTEN = "written"


@dataclass(slots=True, eq=False, kw_only=True)
class StoredBody:
    """A stored body.

    `parts`: the bytes of each file by suffix, None if they are only on disk. `lifetime`: the identity of the
    process, "" if unknown.
    """

    key: str
    record: Record
    parts: Mapping[str, bytes] | None
    lifetime: str
    disk_state: DiskState = DiskState.ABSENT
    rank: Rank = field(init=False)

    def __post_init__(self) -> None:
        self.set_record(self.record)

    def set_record(self, record: Record) -> None:
        """Replace the record of the same bytes."""
        self.record, self.rank = record, (record.importance, record.time)

    @property
    def size(self) -> int:
        """The size in bytes, compressed, including the files beside the body."""
        return self.record.bytes + OVERHEAD

    @property
    def target(self) -> tuple[str, str]:
        """Service and target."""
        return self.record.service, self.record.target


class Index:
    """All stored bodies. Changes update the sizes, because each scrape of a leaking target adds a body."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes of all bodies."""
        self.in_memory = 0
        """Bytes of the bodies that are not only on disk."""
        self._bodies: dict[str, StoredBody] = {}
        self._by_target: dict[tuple[str, str], dict[str, StoredBody]] = {}

    def __len__(self) -> int:
        return len(self._bodies)

    def __iter__(self) -> Iterator[StoredBody]:
        return iter([*self._bodies.values()])

    def __contains__(self, body: StoredBody) -> bool:
        return self._bodies.get(body.key) is body

    def __getitem__(self, key: str) -> StoredBody:
        return self._bodies[key]

    def has_key(self, key: str) -> bool:
        """Return whether a body is stored under `key`."""
        return key in self._bodies

    def of_target(self, target: tuple[str, str]) -> list[StoredBody]:
        """Return the bodies of a target, given by service and name, in the order they were added."""
        return [*self._by_target.get(target, {}).values()]

    def add(self, body: StoredBody) -> None:
        """Add a body."""
        self._bodies[body.key] = self._by_target.setdefault(body.target, {})[body.key] = body
        self.size += body.size
        self.in_memory += body.size if body.parts is not None else 0

    def remove(self, body: StoredBody) -> None:
        """Remove a body of the index."""
        del self._bodies[body.key]
        bodies = self._by_target[body.target]
        del bodies[body.key]
        if not bodies:
            del self._by_target[body.target]
        self.size -= body.size
        self.in_memory -= body.size if body.parts is not None else 0

    def drop_parts(self, body: StoredBody) -> None:
        """Drop the bytes of a body that is on disk."""
        if body in self and body.parts is not None:
            self.in_memory -= body.size
        body.parts = None

    def evict(self, *, size: int, number: int, memory: int) -> list[StoredBody]:
        """Remove the bodies of the lowest rank until the limits hold; return them.

        `size`: bytes of all bodies, `number`: number of bodies, `memory`: bytes of the bodies in memory.
        """
        evicted: list[StoredBody] = []
        if self.size > size or len(self) > number:
            evicted += excess(self, size=size, number=number)
            self._remove_all(evicted)
        if self.in_memory > memory:
            in_memory = excess((body for body in self if body.parts is not None), size=memory)
            self._remove_all(in_memory)
            evicted += in_memory
        return evicted

    def _remove_all(self, bodies: Iterable[StoredBody]) -> None:
        for body in bodies:
            self.remove(body)


def excess(bodies: Iterable[StoredBody], *, size: int, number: int | None = None) -> list[StoredBody]:
    """Return the bodies of the lowest rank to remove, so that at most `number` bodies of `size` bytes remain.

    A body larger than `size` is removed alone: it does not displace smaller bodies of a lower rank.
    """
    ranked = sorted(bodies, key=lambda body: body.rank)
    removed = [body for body in ranked if body.size > size]
    remaining = [body for body in ranked if body.size <= size]
    total = sum(body.size for body in remaining)
    for i, body in enumerate(remaining):
        if total <= size and (number is None or len(remaining) - i <= number):
            break
        removed.append(body)
        total -= body.size
    return removed
