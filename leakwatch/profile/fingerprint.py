"""Fingerprint of a stack: a hash of its function names without the parts that differ between builds.

A fingerprint survives restarts, rebuilds and Go upgrades. It ignores generic arguments, build hashes, the depth of
a recursion, the functions inside package sync below a lock, and the functions of the runtime, which differ between
profile formats. For functions that Go renamed, the newest name is used.
"""

import re
from collections.abc import Sequence
from hashlib import blake2b

from leakwatch.model import Fingerprint
from leakwatch.profile.packages import is_std

RUNTIME = ("runtime.", "internal/runtime/", "runtime/internal/")
"""Prefixes of the functions of the runtime; runtime/pprof and similar packages are not part of it."""

MAX_BRACKETS = 20
"""Brackets of one name besides [...]. A bracket takes 0.3 us, and a hostile stack has up to 390,000."""
BRACKET = re.compile(r"[\[\]]")
CLOSURE = re.compile(r"(\.func|-range|\.gowrap)[0-9.]+")
CGO_EXPORT = re.compile(r"^_cgoexp_[0-9a-f]+_")
RENAMED = {
    # 1.23
    "context.propagateCancel.func": "context.(*cancelCtx).propagateCancel.func",
}
"""Functions of the standard library that were renamed: old name -> new name."""


def fingerprint_of(functions: Sequence[str]) -> Fingerprint:
    """Return the fingerprint of a stack of `functions`, leaf first: 16 hex digits."""
    # Only the innermost call of each function counts, so that the depth of a recursion makes no difference.
    distinct = dict.fromkeys(significant_names(functions))
    return Fingerprint(blake2b("\0".join(distinct).encode("utf-8", "replace"), digest_size=8).hexdigest())


def site_of(function: str) -> Fingerprint:
    """Return the fingerprint of the site with the blamed function `function`."""
    return fingerprint_of(("site", function))


def significant_names(functions: Sequence[str]) -> list[str]:
    """Return the normalised names, leaf first, without those of the runtime unless there are no others."""
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
        # Go releases add and remove closures in the standard library; in other code they distinguish stacks.
        function = CLOSURE.sub(r"\1", function)
        return RENAMED.get(function, function)
    return function


def without_brackets(function: str) -> str:
    """Return `function` without generic arguments, also nested ones; a name with too many brackets stays."""
    name = function.replace("[...]", "")
    if name.count("[") > MAX_BRACKETS:
        return function
    depth, parts, start = 0, [], 0
    for bracket in BRACKET.finditer(name):
        if bracket[0] == "[":
            if depth == 0:
                parts.append(name[start : bracket.start()])
            depth += 1
        elif depth:
            depth -= 1
            start = bracket.end()
    return "".join(parts) + name[start:] if depth == 0 else function


def _without_lock_internals(names: list[str]) -> list[str]:
    """Return `names` without the calls below the outermost call of package sync at the leaf."""
    inside = 0
    while inside < len(names) and names[inside].startswith("sync."):
        inside += 1
    return names[max(inside - 1, 0) :]
