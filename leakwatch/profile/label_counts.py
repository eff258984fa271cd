"""Counts the goroutines of some stacks by their pprof labels, while a body is parsed."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from leakwatch.model import Fingerprint, Stack, Trace
from leakwatch.profile.redact import Redaction
from leakwatch.profile.stacks import Identifier

KEYS: Final = (
    "trace endpoint", "span_name", "http.route", "http_route", "route", "endpoint", "handler", "rpc.method",
    "grpc.method", "operation", "controller", "job", "task", "worker", "queue", "topic", "component",
)  # fmt: skip
"""Keys of labels that name a part of a program: those of tracers and profilers, and common ones. The first counts
most. Others, such as tenants and ids of requests, are not read."""
MOST_VALUES: Final = 1000  # per stack; further values are ignored
LONGEST: Final = 200  # characters of a value

Label = tuple[str, str]
"""Key and value."""
LabelCounts = Mapping[Fingerprint, Mapping[Label, int]]
"""Stack or site -> label -> its goroutines."""


class LabelTally:
    """Counts the labels with these `keys` of `stacks`, which may be sites."""

    def __init__(self, stacks: Mapping[Fingerprint, Stack], keys: Collection[str]) -> None:
        self.counts: dict[Fingerprint, Counter[Label]] = {}
        self._stacks = frozenset(stacks)
        self._sites = {stack.blamed.function: key for key, stack in stacks.items() if stack.site}
        self._keys = frozenset(keys)

    def add(self, groups: Iterable[tuple[Trace, int]], identifier: Identifier) -> None:
        """Count the labels of `groups` of a profile."""
        for trace, goroutines in groups:
            if not trace.labels or not trace.frames:
                continue
            labels = [(key, value[:LONGEST]) for key, value in trace.labels if key in self._keys]
            if labels:
                stack = identifier.stack(trace)
                for key in (stack.fingerprint, self._sites.get(stack.blamed.function)):
                    if key in self._stacks:
                        self._count(key, labels, goroutines)

    def _count(self, key: Fingerprint, labels: Iterable[Label], goroutines: int) -> None:
        counts = self.counts.setdefault(key, Counter())
        for label in labels:
            if label in counts or len(counts) < MOST_VALUES:
                counts[label] += goroutines


def label_tally(stacks: Mapping[Fingerprint, Stack], redaction: Redaction) -> LabelTally | None:
    """Return what counts the labels of `stacks` that are not redacted, None if there is nothing to count."""
    hidden = redaction.labels
    keys = [key for key in KEYS if hidden is None or not hidden.fullmatch(key)] if stacks else []
    return LabelTally(stacks, keys) if keys else None
