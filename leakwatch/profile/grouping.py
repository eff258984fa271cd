"""The stacks of one profile, grouped and counted."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from leakwatch.model import Fingerprint, Sample, Stack, Waiting
from leakwatch.profile.escape import escaped
from leakwatch.profile.wait_times import ages

Waitings = Mapping[Fingerprint, Waiting]
"""How the goroutines of each stack wait. Empty if the profile is not a full dump."""


class GroupBy(StrEnum):
    """The property by which stacks are grouped."""

    STACK = "stack"
    SITE = "site"
    ORIGIN = "origin"
    REASON = "reason"


@dataclass(frozen=True, slots=True)
class Row:
    """Stacks that share `key`, the largest first."""

    key: str
    goroutines: int
    samples: tuple[Sample, ...]


KEYS: dict[GroupBy, Callable[[Stack], str]] = {
    GroupBy.STACK: lambda stack: stack.fingerprint,
    GroupBy.SITE: lambda stack: stack.blamed.function,
    GroupBy.ORIGIN: lambda stack: stack.origin or "(cut off)",
    GroupBy.REASON: lambda stack: stack.wait or "(unknown)",
}


def group(samples: Iterable[Sample], by: GroupBy) -> list[Row]:
    """Return the groups of `samples`, the largest first."""
    groups: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: -sample.goroutines):
        groups.setdefault(KEYS[by](sample.stack), []).append(sample)
    rows = [Row(key, sum(s.goroutines for s in members), tuple(members)) for key, members in groups.items()]
    return sorted(rows, key=lambda row: -row.goroutines)


def folded_stack(stack: Stack) -> str:
    """Return `stack` in the folded format: one line, root first."""
    return ";".join(escaped(frame.function.replace(";", ":")) for frame in reversed(stack.frames))


def as_json(
    total: int,
    rows: Iterable[Row],
    waitings: Waitings,
    causes: Mapping[Fingerprint, object] = MappingProxyType({}),
    proven: Mapping[Fingerprint, int] = MappingProxyType({}),
    *,
    truncated: bool,
) -> dict[str, object]:
    """Return the JSON of a profile.

    `causes`: the likely causes of stacks, as JSON; `proven`: goroutines that Go's runtime reports as leaked;
    `truncated`: whether goroutines at its end are missing.
    """
    return {
        "goroutines": total,
        "proven": sum(proven.values()),
        "truncated": truncated,
        "groups": [
            {
                "key": row.key,
                "goroutines": row.goroutines,
                "stacks": [
                    {"goroutines": sample.goroutines, "proven": proven.get(sample.stack.fingerprint, 0)}
                    | stack_json(sample.stack)
                    | {"cause": causes.get(sample.stack.fingerprint)}
                    | _waiting(waitings, sample)
                    for sample in row.samples
                ],
            }
            for row in rows
        ],
    }


def _waiting(waitings: Waitings, sample: Sample) -> dict[str, object]:
    waiting = waitings.get(sample.stack.fingerprint)
    if waiting is None:
        return {}
    waited = ages(waiting)
    return {
        "ages": {"known": waited.known, "oldest_minutes": waited.oldest, "median_minutes": waited.median},
        "states": waiting.states,
        "created_by": [
            {"function": frame.function, "file": frame.file, "line": frame.line, "goroutines": goroutines}
            for frame, goroutines in waiting.creators.items()
        ],
    }


def stack_fields(stack: Stack) -> dict[str, object]:
    """Return the fields that all JSON forms of a stack and of a leak share."""
    return {
        "stack": stack.fingerprint,
        "function": stack.blamed.function,
        "file": stack.blamed.file,
        "line": stack.blamed.line,
        "origin": stack.origin,
        "wait": stack.wait,
    }


def stack_json(stack: Stack) -> dict[str, object]:
    """Return a stack with its frames as JSON."""
    return {
        **stack_fields(stack),
        "truncated": stack.truncated,
        "frames": [{"function": f.function, "file": f.file, "line": f.line} for f in stack.frames],
    }
