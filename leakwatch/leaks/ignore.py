"""Rules that ignore leaks: by patterns, until a date, up to a number of goroutines. Pure.

Patterns are globs of `*` and `?` over the whole text, not regular expressions: Go names have brackets and dots.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from leakwatch.model import Stack
from leakwatch.settings.globs import glob


@dataclass(frozen=True, kw_only=True)
class IgnoreRule:
    """Ignores the leaks that match all of its patterns; "" matches anything.

    `until`: unix seconds; `at_most`: goroutines over all targets of the service above which the leak is reported.
    """

    function: str = ""
    file: str = ""
    origin: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    reason: str = ""
    until: float | None = None
    at_most: int | None = None

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
        return glob(self.function), glob(self.file), glob(self.origin)

    @cached_property
    def _label_patterns(self) -> dict[str, re.Pattern[str]]:
        return {name: glob(pattern) for name, pattern in self.labels.items()}

    def matches(self, stack: Stack, labels: Mapping[str, str]) -> bool:
        """Return whether the patterns match a stack of a target with these labels."""
        return self.matches_stack(stack) and self.matches_labels(labels)

    def matches_stack(self, stack: Stack) -> bool:
        """Return whether the patterns match a stack, whatever the labels of its target."""
        function, file, origin = self._patterns
        return (
            bool(function.fullmatch(stack.blamed.function))
            and bool(file.fullmatch(stack.blamed.file))
            and bool(origin.fullmatch(stack.origin))
        )

    def matches_labels(self, labels: Mapping[str, str]) -> bool:
        """Return whether the patterns match the labels of a target, whatever the stack."""
        return all(pattern.fullmatch(labels.get(name, "")) for name, pattern in self._label_patterns.items())

    def is_over(self, time: float) -> bool:
        """Return whether the rule has expired."""
        return self.until is not None and time >= self.until

    def __str__(self) -> str:
        """Return the patterns."""
        patterns = [(name, getattr(self, name)) for name in ("function", "file", "origin")]
        return ", ".join(f"{name} {pattern!r}" for name, pattern in (*patterns, *self.labels.items()) if pattern)


def unmatched(rules: Sequence[IgnoreRule], stacks: Iterable[tuple[Stack, Mapping[str, str]]]) -> list[IgnoreRule]:
    """Return the rules that match none of `stacks`, which are given with the labels of their targets."""
    if not rules:
        return []
    # A fleet has few different stacks, which many targets share.
    labels_of: dict[int, tuple[Stack, list[Mapping[str, str]]]] = {}
    for stack, labels in stacks:
        labels_of.setdefault(id(stack), (stack, []))[1].append(labels)
    return [
        rule
        for rule in rules
        if not any(
            rule.matches_stack(stack) and any(map(rule.matches_labels, labels))
            for stack, labels in labels_of.values()
        )
    ]
