"""A stack for goroutines without frames: they have not run yet, or the profile does not name their functions."""

from typing import Final

from leakwatch.model import Frame, Profile, Sample, Samples, Stack
from leakwatch.profile.fingerprint import fingerprint_of

NO_FRAMES: Final = "(no frames)"
"""In place of a function. Go does not have such a name."""


def frameless(profile: Profile) -> int:
    """Return the number of goroutines of `profile` without frames."""
    return sum(count for trace, count in profile.groups if not trace.frames)


def with_frameless(samples: Samples, goroutines: int) -> Samples:
    """Return `samples`, and one sample for the number of `goroutines` without frames, if there are any."""
    if not goroutines:
        return samples
    frame = Frame(NO_FRAMES)
    fingerprint = fingerprint_of([NO_FRAMES])
    stack = Stack(fingerprint=fingerprint, frames=(frame,), blamed=frame, origin="", wait="")
    return {**samples, fingerprint: Sample(stack, goroutines)}
