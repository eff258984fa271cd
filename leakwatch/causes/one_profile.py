"""Likely causes of the large stacks of one profile, without counts over time. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from leakwatch.causes.catalogue import Catalogue
from leakwatch.causes.model import Cause, CountedStack
from leakwatch.model import Fingerprint, Sample
from leakwatch.profile.blame import IsOwn, is_companion
from leakwatch.profile.kinship import Relations, are_kin, is_built_on, relations

MOST: Final = 100
"""Stacks that are compared with each other: a cause of 1,000 stacks of one package takes 4 s to find."""
IN_STEP: Final = 0.5, 2.0
"""Range of the goroutines of a stack that may belong to the same leak, as a multiple."""


def explained(
    samples: Iterable[Sample], catalogue: Catalogue, is_own: IsOwn, least: int
) -> Mapping[Fingerprint, Cause]:
    """Return the likely causes of the stacks with at least `least` goroutines, those with a cause only.

    Stacks that can have one cause and have a similar number of goroutines count as one leak. Own code has only the
    cause that it was recognised by itself, because one profile does not show what grows in step. Goroutines that
    may exist only because others wait have none beside others. Stacks beyond the `MOST` largest have none.
    """
    stacks = [CountedStack(sample.stack, sample.goroutines) for sample in samples if sample.goroutines >= least]
    large = sorted(stacks, key=lambda counted: -counted.goroutines)[:MOST]
    kin = {counted.stack.fingerprint: relations(counted.stack, is_own) for counted in large}
    causes = {}
    for counted in large:
        leak = _leak(counted, large, kin)
        if is_companion(counted.stack) and len(leak) > 1:
            continue
        of_itself = counted if any(map(is_own, counted.stack.frames)) else None
        if cause := catalogue.explain(leak, is_own, of_itself):
            causes[counted.stack.fingerprint] = cause
    return causes


def _leak(
    counted: CountedStack, large: Sequence[CountedStack], kin: Mapping[Fingerprint, Relations]
) -> list[CountedStack]:
    """Return the stacks of the leak that `counted` may belong to; `kin`: of each stack of `large`.

    A connection of net/http belongs to the Kubernetes watch that reads from it, and the watch to its informer. So
    stacks that are related only to a dependency of the leak belong to it too, unless `counted` is own code.
    """
    low, high = (bound * counted.goroutines for bound in IN_STEP)
    similar = {other.stack.fingerprint: other for other in large if low <= other.goroutines <= high}
    mine = kin[counted.stack.fingerprint]
    related = {
        key: other for key, other in similar.items() if are_kin(mine, kin[key]) or is_built_on(kin[key], mine)
    }
    if not mine.distance:
        return list(related.values())
    dependencies = [kin[key] for key in related if kin[key].distance == 1]
    for key, other in similar.items():
        if any(are_kin(each, kin[key]) for each in dependencies):
            related.setdefault(key, other)
    return list(related.values())
