"""Text of the catalogue of causes, for `leakwatch causes`."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from leakwatch.causes.catalogue import SHIPPED, Catalogue, shipped
from leakwatch.causes.file import read_causes
from leakwatch.causes.model import Cause
from leakwatch.causes.one_profile import explained
from leakwatch.errors import UsageError, quote
from leakwatch.model import Fingerprint, Profile, Samples
from leakwatch.profile.dump import Dump
from leakwatch.profile.escape import printable
from leakwatch.profile.stacks import Identifier

KINDS = {
    "object": "a library keeps goroutines as long as something is open",
    "call": "own code waits in a known call",
    "wait": "own code waits on a channel, lock or select",
}


def table(causes: Sequence[Cause]) -> str:
    """Return a line for each cause, by id."""
    width = max(len(cause.id) for cause in causes)
    return "".join(f"{cause.id:{width}}  {cause.title}\n" for cause in sorted(causes, key=lambda cause: cause.id))


def find(catalogue: Catalogue, name: str) -> Cause:
    """Return a cause by its id; raises UsageError."""
    by_id = {cause.id: cause for cause in catalogue.causes}
    if name not in by_id:
        close = difflib.get_close_matches(name, by_id, 1)
        hint = f"did you mean {close[0]!r}?" if close else "`leakwatch causes list` lists them"
        raise UsageError(f"there is no cause {quote(name)}; {hint}")
    return by_id[name]


def described(cause: Cause) -> str:
    """Return a cause with everything that the catalogue has about it."""
    fixed = [f"{module} {fixed.version} {fixed.reference}".strip() for module, fixed in cause.fixed_in.items()]
    can = "can" if cause.goroutineleak else "cannot"
    parts = [
        f"{cause.id}: {cause.title}",
        cause.explanation,
        f"Fix: {cause.fix}",
        _indented(cause.code),
        _list("Look for", cause.look_for),
        _list("Fixed in", fixed),
        _list("References", cause.references),
        f"Recognised as: {KINDS[cause.kind]}. Go's goroutineleak profile {can} report it.",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _list(name: str, values: Sequence[str]) -> str:
    return f"{name}:\n" + "\n".join(f"  {value}" for value in values) if values else ""


def _indented(code: str) -> str:
    return "\n".join(f"    {line}" for line in code.split("\n")) if code else ""


def likely_causes(samples: Samples, causes: Mapping[Fingerprint, Cause]) -> str:
    """Return the likely causes of the stacks of a profile, each once with its stacks; "" without any."""
    by_id: dict[str, list[Fingerprint]] = {}
    for key, cause in causes.items():
        by_id.setdefault(cause.id, []).append(key)
    parts = []
    for keys in by_id.values():
        cause = causes[keys[0]]
        most = max(samples[key].goroutines for key in keys)
        fix = "\n".join(filter(None, (f"Fix: {cause.fix}", _indented(cause.code))))
        parts.append(
            f"Looks like: {cause.title}, if these {most:,} goroutines are too many"
            f" (stack {', '.join(keys)}).\n{fix}\n"
        )
    return "\n" + "\n".join(parts) if parts else ""


def tested(file: Path, source: Profile | Dump, least: int) -> tuple[str, bool]:
    """Return which stacks of a profile the causes match, and whether one of `file` does. Raises ConfigError."""
    own = read_causes(file, dict.fromkeys((cause.id for cause in shipped()), SHIPPED))
    identifier = Identifier()
    samples = identifier.identify(source.profile() if isinstance(source, Dump) else source)
    lines, matched = [], set[Fingerprint]()
    for catalogue, is_own in ((Catalogue(tuple(own.values()), with_shipped=False), True), (Catalogue(), False)):
        for key, cause in explained(samples.values(), catalogue, identifier.is_own, least).items():
            sample = samples[key]
            matched |= {key} if is_own else set()
            note = "" if is_own else "  (shipped)"
            lines.append(
                f"{cause.id}: {sample.goroutines} goroutines, {printable(sample.stack.blamed.function)}"
                f" [{sample.stack.wait or 'unknown wait'}]{note}\n"
            )
    if not matched:
        lines.append(f"no cause of {file} matches a stack\n")
    return "".join(lines), bool(matched)
