"""The bodies that are kept, found by key and by target, with what they take. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from leakwatch.evidence.record import Record

BESIDE = 4096  # bytes; of what is said of a body, and of its symbols

Rank = tuple[tuple[int, float], float]
"""Importance and time: what is larger stays longer."""


@dataclass(slots=True, eq=False)
class StoredBody:
    """A kept body: `parts` by what their files end in, None when it is on disk alone.

    `lifetime`: tells of which process it is; those of "" are of unknown ones.
    """

    key: str
    record: Record
    parts: Mapping[str, bytes] | None
    lifetime: str
    saving: bool = False
    saved: bool = False
    rank: Rank = field(init=False)

    def __post_init__(self) -> None:
        self.say(self.record)

    def say(self, record: Record) -> None:
        """Take `record` for what is said of it, of the same bytes."""
        self.record, self.rank = record, (record.importance, record.time)

    @property
    def size(self) -> int:
        """In bytes, compressed, with what stands beside it."""
        return self.record.bytes + BESIDE

    @property
    def whose(self) -> tuple[str, str]:
        """Service and target."""
        return self.record.service, self.record.target


class Index:
    """All bodies; what they take is counted as they come and go, because one comes at each scrape."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes of all."""
        self.in_memory = 0
        """Bytes of those that are not on disk alone."""
        self._bodies: dict[str, StoredBody] = {}
        self._of: dict[tuple[str, str], dict[str, StoredBody]] = {}

    def __len__(self) -> int:
        return len(self._bodies)

    def __iter__(self) -> Iterator[StoredBody]:
        return iter([*self._bodies.values()])

    def __contains__(self, body: StoredBody) -> bool:
        return self._bodies.get(body.key) is body

    def __getitem__(self, key: str) -> StoredBody:
        return self._bodies[key]

    def has(self, key: str) -> bool:
        """Tell whether a body is kept under `key`."""
        return key in self._bodies

    def of(self, whose: tuple[str, str]) -> list[StoredBody]:
        """Return the bodies of a service's target, the oldest first as a rule."""
        return [*self._of.get(whose, {}).values()]

    def put(self, body: StoredBody) -> None:
        """Keep a body."""
        self._bodies[body.key] = self._of.setdefault(body.whose, {})[body.key] = body
        self.size += body.size
        self.in_memory += body.size if body.parts is not None else 0

    def take(self, body: StoredBody) -> None:
        """Keep a body that is here no longer."""
        del self._bodies[body.key]
        its = self._of[body.whose]
        del its[body.key]
        if not its:
            del self._of[body.whose]
        self.size -= body.size
        self.in_memory -= body.size if body.parts is not None else 0

    def leave_to_disk(self, body: StoredBody) -> None:
        """Let go of the bytes of a body, which are on disk."""
        if body in self and body.parts is not None:
            self.in_memory -= body.size
        body.parts = None


class Weighed(Protocol):
    """Something that takes `size` bytes, and stays the longer the larger its `rank` is."""

    rank: Rank

    @property
    def size(self) -> int:
        """In bytes."""


Some = TypeVar("Some", bound=Weighed)


def surplus(kept: Iterable[Some], *, size: int, number: int | None = None) -> list[Some]:
    """Return what has to go so that at most `number` are left, of at most `size` bytes together.

    What is larger than all of `size` goes by itself, and takes nothing with it.
    """
    ranked = sorted(kept, key=lambda one: one.rank)
    gone = [one for one in ranked if one.size > size]
    left = [one for one in ranked if one.size <= size]
    total = sum(one.size for one in left)
    for i, one in enumerate(left):
        if total <= size and (number is None or len(left) - i <= number):
            break
        gone.append(one)
        total -= one.size
    return gone
