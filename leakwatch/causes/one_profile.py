"""Likely causes of the large stacks of one profile, without counts over time. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from leakwatch.causes.catalogue import Catalogue
from leakwatch.causes.model import Cause, CountedStack
from leakwatch.model import Fingerprint, Sample
from leakwatch.profile.blame import IsOwn
from leakwatch.profile.kinship import are_kin

IN_STEP: Final = 0.5, 2.0
"""Range of the goroutines of a stack that may belong to the same leak, as a multiple."""


def explained(
    samples: Iterable[Sample], catalogue: Catalogue, is_own: IsOwn, least: int
) -> Mapping[Fingerprint, Cause]:
    """Return the likely causes of the stacks with at least `least` goroutines, those with a cause only.

    Stacks that can have one cause and have a similar number of goroutines count as one leak.
    """
    large = [CountedStack(sample.stack, sample.goroutines) for sample in samples if sample.goroutines >= least]
    causes = {}
    for counted in large:
        low, high = (bound * counted.goroutines for bound in IN_STEP)
        leak = [
            other
            for other in large
            if low <= other.goroutines <= high and are_kin(counted.stack, other.stack, is_own)
        ]
        if cause := catalogue.explain(leak, is_own):
            causes[counted.stack.fingerprint] = cause
    return causes
