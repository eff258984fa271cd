"""Difference of two profiles, by stack, site, origin or wait reason.

Stacks are matched by fingerprint, so a rebuild, another line number or another Go version is not a difference.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from leakwatch.model import Sample, Samples, Stack
from leakwatch.profile.grouping import KEYS, GroupBy, folded_stack, stack_json
from leakwatch.profile.packages import is_std


@dataclass(frozen=True, slots=True)
class StackChange:
    """One stack, from the new profile if it is there, and its goroutines in both profiles."""

    stack: Stack
    old: int
    new: int

    @property
    def change(self) -> int:
        """The increase of goroutines, negative for a decrease."""
        return self.new - self.old

    @property
    def mark(self) -> str:
        """Whether the stack is "new" or "gone"; "" if both profiles have it."""
        if self.old and self.new:
            return ""
        return "new" if self.new else "gone"


@dataclass(frozen=True, slots=True)
class GroupChange:
    """Stacks that share `key`, the largest change first."""

    key: str
    stacks: tuple[StackChange, ...]

    @property
    def old(self) -> int:
        """The goroutines in the old profile."""
        return sum(stack.old for stack in self.stacks)

    @property
    def new(self) -> int:
        """The goroutines in the new profile."""
        return sum(stack.new for stack in self.stacks)

    @property
    def change(self) -> int:
        """The increase of goroutines, negative for a decrease."""
        return self.new - self.old

    @property
    def mark(self) -> str:
        """Whether all stacks of the group are "new" or "gone", else ""."""
        return StackChange(self.stacks[0].stack, self.old, self.new).mark


def compare(old: Samples, new: Samples) -> list[StackChange]:
    """Return all stacks of both profiles."""
    stacks = []
    for fingerprint in {**new, **old}:
        before, after = old.get(fingerprint), new.get(fingerprint)
        counts = (sample.goroutines if sample else 0 for sample in (before, after))
        stacks.append(StackChange(_stack(before, after), *counts))
    return stacks


def _stack(before: Sample | None, after: Sample | None) -> Stack:
    """Return the stack of the later profile, with the wait reason of either."""
    sample = after or before
    if sample is None:
        raise ValueError("the stack is in neither profile")
    if before and not sample.stack.wait:
        return replace(sample.stack, wait=before.stack.wait)
    return sample.stack


def changes(stacks: Iterable[StackChange], by: GroupBy) -> list[GroupChange]:
    """Return the groups with a changed number of goroutines, from the largest increase to the largest decrease."""
    groups: dict[str, list[StackChange]] = {}
    for stack in sorted(stacks, key=lambda stack: -abs(stack.change)):
        groups.setdefault(KEYS[by](stack.stack), []).append(stack)
    all_groups = [GroupChange(key, tuple(members)) for key, members in groups.items()]
    changed = [group for group in all_groups if group.change]
    return sorted(changed, key=lambda group: (-group.change, group.key))


def largest(groups: list[GroupChange], limit: int) -> list[GroupChange]:
    """Return the `limit` largest changes, in the order of `groups`; 0 means all."""
    if not limit or limit >= len(groups):
        return groups
    keys = {group.key for group in sorted(groups, key=lambda group: -abs(group.change))[:limit]}
    return [group for group in groups if group.key in keys]


def summary(stacks: Iterable[StackChange]) -> str:
    """Return one line with the number of stacks that grew, shrank and stayed."""
    stacks = list(stacks)
    grew = [stack for stack in stacks if stack.change > 0]
    shrank = [stack for stack in stacks if stack.change < 0]
    stayed = len(stacks) - len(grew) - len(shrank)
    parts = (
        [f"{_number(grew)} grew by {sum(stack.change for stack in grew):,}{_marked(grew, 'new')}"] if grew else []
    )
    if shrank:
        parts.append(
            f"{_number(shrank)} shrank by {-sum(stack.change for stack in shrank):,}{_marked(shrank, 'gone')}"
        )
    if stayed:
        parts.append(f"{stayed} stayed")
    return ", ".join(parts) or "no stacks"


def _number(stacks: list[StackChange]) -> str:
    return "1 stack" if len(stacks) == 1 else f"{len(stacks)} stacks"


def _marked(stacks: list[StackChange], mark: str) -> str:
    number = sum(stack.mark == mark for stack in stacks)
    return f" ({number} {mark})" if number else ""


def are_unrelated(stacks: Iterable[StackChange]) -> bool:
    """Return whether the profiles share only stacks of the standard library, as two different programs do."""
    marks = [stack.mark for stack in stacks if not is_std(stack.stack.blamed.function)]
    return "" not in marks and {"new", "gone"} <= set(marks)


def folded(stacks: Iterable[StackChange]) -> str:
    """Return the difference in the folded format of flame graphs: stack, old count, new count."""
    return "".join(f"{folded_stack(stack.stack)} {stack.old} {stack.new}\n" for stack in stacks)


def as_json(old: int, new: int, groups: Iterable[GroupChange]) -> dict[str, object]:
    """Return the JSON of a difference; `old` and `new`: totals of the profiles."""
    return {
        "old": old,
        "new": new,
        "change": new - old,
        "groups": [
            {
                "key": group.key,
                "old": group.old,
                "new": group.new,
                "change": group.change,
                "mark": group.mark,
                "stacks": [
                    {"old": stack.old, "new": stack.new, "change": stack.change, "mark": stack.mark}
                    | stack_json(stack.stack)
                    for stack in group.stacks
                ],
            }
            for group in groups
        ],
    }
