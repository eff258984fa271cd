"""Goroutines that Go's runtime reports as leaked: the mark `(leaked)`, and the profile goroutineleak."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from leakwatch.model import Fingerprint, Profile, Sample, Samples, Trace
from leakwatch.profile.dump import Dump
from leakwatch.profile.dump_stacks import DumpIndex
from leakwatch.profile.grouping import folded_stack

PROVEN: Final = "proven"
LABEL: Final = ("goroutine_leak", PROVEN)
"""Label of proven goroutines in the pprof format."""

Proven = Mapping[Fingerprint, int]
"""Number of proven goroutines by stack, without stacks that have none."""


def all_proven(samples: Samples) -> Proven:
    """Return the counts of a profile of leaked goroutines."""
    return {key: sample.goroutines for key, sample in samples.items()}


def marked(index: DumpIndex) -> Proven:
    """Return the counts of the goroutines that a dump marks as leaked."""
    counts = {key: sum(g.leaked for g in goroutines) for key, goroutines in index.by_stack.items()}
    return {key: count for key, count in counts.items() if count}


def labelled(source: Profile | Dump, *, is_proven: bool) -> Profile:
    """Return the profile with a label on its proven goroutines; `is_proven`: whether all are."""
    groups: list[tuple[Trace, int]]
    if isinstance(source, Dump):
        if not any(goroutine.leaked for goroutine in source.goroutines):
            return source.profile()
        counts = Counter((goroutine.trace, goroutine.leaked) for goroutine in source.goroutines)
        groups = [(_labelled(trace) if leaked else trace, n) for (trace, leaked), n in counts.most_common()]
        return Profile(len(source.goroutines), tuple(groups))
    if not is_proven:
        return source
    return Profile(source.total, tuple((_labelled(trace), count) for trace, count in source.groups))


def _labelled(trace: Trace) -> Trace:
    return replace(trace, labels=(*trace.labels, LABEL))


def folded(samples: Iterable[Sample], proven: Proven) -> str:
    """Return `samples` in the folded format of flame graphs, root first; proven goroutines have a frame above."""
    lines = []
    for sample in samples:
        stack, leaked = folded_stack(sample.stack), proven.get(sample.stack.fingerprint, 0)
        if sample.goroutines > leaked:
            lines.append(f"{stack} {sample.goroutines - leaked}\n")
        if leaked:
            lines.append(f"{stack};({PROVEN}) {leaked}\n")
    return "".join(lines)
