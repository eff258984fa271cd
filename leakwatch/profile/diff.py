"""What changed between two profiles, by stack, site, origin or wait reason. Pure; the command line prints it.

Stacks are matched by fingerprint, so a rebuild, another line number and another Go version change nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from leakwatch.model import Sample, Samples, Stack
from leakwatch.profile.grouping import KEYS, GroupBy, folded_stack, stack_json
from leakwatch.profile.packages import is_std


@dataclass(frozen=True, slots=True)
class Move:
    """One stack, as it is in the new profile if it is there, and its goroutines in both."""

    stack: Stack
    old: int
    new: int

    @property
    def change(self) -> int:
        """How many goroutines more; below 0: fewer."""
        return self.new - self.old

    @property
    def mark(self) -> str:
        """What is to be said of a stack that is in one of the profiles only."""
        if self.old and self.new:
            return ""
        return "new" if self.new else "gone"


@dataclass(frozen=True, slots=True)
class Change:
    """Stacks that share `key`, the one that changed most first."""

    key: str
    moves: tuple[Move, ...]

    @property
    def old(self) -> int:
        """The goroutines of the old profile."""
        return sum(move.old for move in self.moves)

    @property
    def new(self) -> int:
        """The goroutines of the new profile."""
        return sum(move.new for move in self.moves)

    @property
    def change(self) -> int:
        """How many goroutines more; below 0: fewer."""
        return self.new - self.old

    @property
    def mark(self) -> str:
        """What is to be said of stacks that are all in one of the profiles only."""
        return Move(self.moves[0].stack, self.old, self.new).mark


def compare(old: Samples, new: Samples) -> list[Move]:
    """Return every stack of both profiles."""
    moves = []
    for fingerprint in {**new, **old}:
        before, after = old.get(fingerprint), new.get(fingerprint)
        counts = (sample.goroutines if sample else 0 for sample in (before, after))
        moves.append(Move(_told(before, after), *counts))
    return moves


def _told(before: Sample | None, after: Sample | None) -> Stack:
    """Return a stack as the later profile has it, with the wait reason from either."""
    found = after or before
    if found is None:
        raise ValueError("a stack of neither profile")
    if before and not found.stack.wait:
        return replace(found.stack, wait=before.stack.wait)
    return found.stack


def changes(moves: Iterable[Move], by: GroupBy) -> list[Change]:
    """Return the groups whose number of goroutines changed: those that grew most first, that shrank most last."""
    groups: dict[str, list[Move]] = {}
    for move in sorted(moves, key=lambda move: -abs(move.change)):
        groups.setdefault(KEYS[by](move.stack), []).append(move)
    found = [Change(key, tuple(members)) for key, members in groups.items()]
    return sorted((one for one in found if one.change), key=lambda one: (-one.change, one.key))


def largest(found: list[Change], limit: int) -> list[Change]:
    """Return the `limit` largest changes, 0 for all, in their order."""
    if not limit or limit >= len(found):
        return found
    chosen = {one.key for one in sorted(found, key=lambda one: -abs(one.change))[:limit]}
    return [one for one in found if one.key in chosen]


def summary(moves: Iterable[Move]) -> str:
    """Return in one line how many stacks grew, shrank and stayed."""
    moves = list(moves)
    grew = [move for move in moves if move.change > 0]
    shrank = [move for move in moves if move.change < 0]
    stayed = len(moves) - len(grew) - len(shrank)
    parts = [f"{_stacks(grew)} grew by {sum(move.change for move in grew)}{_marked(grew, 'new')}"] if grew else []
    if shrank:
        parts.append(
            f"{_stacks(shrank)} shrank by {-sum(move.change for move in shrank)}{_marked(shrank, 'gone')}"
        )
    if stayed:
        parts.append(f"{stayed} stayed")
    return ", ".join(parts) or "no stacks"


def _stacks(moves: list[Move]) -> str:
    return "1 stack" if len(moves) == 1 else f"{len(moves)} stacks"


def _marked(moves: list[Move], mark: str) -> str:
    number = sum(move.mark == mark for move in moves)
    return f" ({number} {mark})" if number else ""


def strangers(moves: Iterable[Move]) -> bool:
    """Tell whether the profiles have nothing in common but what every Go program has."""
    marks = [move.mark for move in moves if not is_std(move.stack.blamed.function)]
    return "" not in marks and {"new", "gone"} <= set(marks)


def folded(moves: Iterable[Move]) -> str:
    """Return the folded difference as flame graphs take it: stack, old count, new count."""
    return "".join(f"{folded_stack(move.stack)} {move.old} {move.new}\n" for move in moves)


def as_json(old: int, new: int, found: Iterable[Change]) -> dict[str, object]:
    """Return what JSON says of a difference; `old` and `new` are the totals of the profiles."""
    return {
        "old": old,
        "new": new,
        "change": new - old,
        "groups": [
            {
                "key": one.key,
                "old": one.old,
                "new": one.new,
                "change": one.change,
                "mark": one.mark,
                "stacks": [
                    {"old": move.old, "new": move.new, "change": move.change, "mark": move.mark}
                    | stack_json(move.stack)
                    for move in one.moves
                ],
            }
            for one in found
        ],
    }
