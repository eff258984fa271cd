"""Fingerprint of a stack: a hash of its function names without the parts that differ between builds.

A fingerprint survives restarts, rebuilds and Go upgrades. It ignores generic arguments, build hashes, the depth of
a recursion, the functions inside package sync that a lock passed through, and the runtime's own functions, which
differ between profile formats. A function that the Go authors renamed keeps its newest name.
"""

import re
from collections.abc import Sequence
from hashlib import blake2b

from leakwatch.model import Fingerprint
from leakwatch.profile.packages import is_std

RUNTIME = ("runtime.", "internal/runtime/", "runtime/internal/")
"""Prefixes of the runtime's own functions; runtime/pprof and the like are no part of it."""

BRACKET = re.compile(r"[\[\]]")
CLOSURE = re.compile(r"(\.func|-range|\.gowrap)[0-9.]+")
CGO_EXPORT = re.compile(r"^_cgoexp_[0-9a-f]+_")
RENAMED = {
    # 1.23
    "context.propagateCancel.func": "context.(*cancelCtx).propagateCancel.func",
}
"""Functions of the standard library whose name changed while their source did not: old name -> new name."""


def fingerprint_of(functions: Sequence[str]) -> Fingerprint:
    """Return the fingerprint of a stack of `functions`, leaf first: 16 hex digits."""
    # Only the innermost call of each function: recursion, also mutual, gives one stack whatever its depth.
    distinct = dict.fromkeys(names_of(functions))
    return Fingerprint(blake2b("\0".join(distinct).encode("utf-8", "replace"), digest_size=8).hexdigest())


def site_of(function: str) -> Fingerprint:
    """Return the fingerprint of the site of all stacks that blame `function`."""
    return fingerprint_of(("site", function))


def names_of(functions: Sequence[str]) -> list[str]:
    """Return the names that tell stacks apart, leaf first; the runtime's only if there are no others."""
    names = [normalise(function) for function in functions if not function.startswith(RUNTIME)]
    return _without_lock_internals(names or [normalise(function) for function in functions])


def normalise(function: str) -> str:
    """Return `function` without what differs between builds and Go versions."""
    if "[" in function:
        function = without_brackets(function)
    if function.startswith("_cgoexp_"):
        return CGO_EXPORT.sub("_cgoexp_", function)
    if is_std(function):
        if function.startswith("internal/sync."):
            function = function.removeprefix("internal/")
        function = CLOSURE.sub(r"\1", function)  # Go's authors add and remove closures; ours are our user's names
        return RENAMED.get(function, function)
    return function


def without_brackets(function: str) -> str:
    """Return `function` without generic arguments, nested ones too."""
    depth, kept, at = 0, [], 0
    for bracket in BRACKET.finditer(function):
        if bracket[0] == "[":
            if depth == 0:
                kept.append(function[at : bracket.start()])
            depth += 1
        elif depth:
            depth -= 1
            at = bracket.end()
    return "".join(kept) + function[at:] if depth == 0 else function


def _without_lock_internals(names: list[str]) -> list[str]:
    """Fold the innermost calls within package sync to the one that was called from outside."""
    inside = 0
    while inside < len(names) and names[inside].startswith("sync."):
        inside += 1
    return names[max(inside - 1, 0) :]
