"""Likely causes of the large stacks of one profile, without counts over time. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from leakwatch.causes.catalogue import Catalogue
from leakwatch.causes.model import Cause, CountedStack
from leakwatch.model import Fingerprint, Sample, Stack
from leakwatch.profile.blame import IsOwn, distance, is_companion, package_of
from leakwatch.profile.kinship import are_kin, relations

IN_STEP: Final = 0.5, 2.0
"""Range of the goroutines of a stack that may belong to the same leak, as a multiple."""


def explained(
    samples: Iterable[Sample], catalogue: Catalogue, is_own: IsOwn, least: int
) -> Mapping[Fingerprint, Cause]:
    """Return the likely causes of the stacks with at least `least` goroutines, those with a cause only.

    Stacks that can have one cause and have a similar number of goroutines count as one leak. Own code has only the
    cause that it was recognised by itself, because one profile does not show what grows in step. Goroutines that
    may exist only because others wait have none beside others.
    """
    large = [CountedStack(sample.stack, sample.goroutines) for sample in samples if sample.goroutines >= least]
    kin = {counted.stack.fingerprint: _Kin(counted.stack, is_own) for counted in large}
    causes = {}
    for counted in large:
        leak = _leak(counted, large, kin)
        if is_companion(counted.stack) and len(leak) > 1:
            continue
        of_itself = counted if any(map(is_own, counted.stack.frames)) else None
        if cause := catalogue.explain(leak, is_own, of_itself):
            causes[counted.stack.fingerprint] = cause
    return causes


class _Kin:
    """Properties of a stack by which its leak is found, computed once, because all pairs are compared."""

    __slots__ = ("distance", "package", "packages", "relations")

    def __init__(self, stack: Stack, is_own: IsOwn) -> None:
        self.relations = relations(stack, is_own)
        self.distance = distance(stack, is_own)
        self.package = package_of(stack.blamed.function)
        self.packages = frozenset(package_of(frame.function) for frame in stack.frames)


def _leak(
    counted: CountedStack, large: Sequence[CountedStack], kin: Mapping[Fingerprint, _Kin]
) -> list[CountedStack]:
    """Return the stacks of the leak that `counted` may belong to; `kin`: of each stack of `large`.

    A connection of net/http is related to the Kubernetes watch that reads from it, and the watch to its informer.
    So stacks that are related only to a dependency of the leak belong to it too, unless `counted` is own code. A
    dependency that calls the package of `counted` belongs to the leak as well, even if others are built on both.
    """
    low, high = (bound * counted.goroutines for bound in IN_STEP)
    similar = {other.stack.fingerprint: other for other in large if low <= other.goroutines <= high}
    mine = kin[counted.stack.fingerprint]
    related = {key: other for key, other in similar.items() if are_kin(mine.relations, kin[key].relations)}
    if not mine.distance:
        return list(related.values())
    dependencies = [
        kin[key].relations
        for key in similar
        if kin[key].distance == 1 and (key in related or mine.package in kin[key].packages)
    ]
    for key, other in similar.items():
        if any(are_kin(each, kin[key].relations) for each in dependencies):
            related.setdefault(key, other)
    return list(related.values())
