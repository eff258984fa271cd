"""Stored profiles that pages offer for download and comparison. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from leakwatch.evidence.store import Store
from leakwatch.model import Target
from leakwatch.web.api.evidence import StoredProfile, stored_profiles
from leakwatch.web.api.fleet import FleetView


@dataclass(frozen=True, slots=True)
class ProfileSpan:
    """The first and the last stored profile of a target."""

    target: str
    first: StoredProfile
    last: StoredProfile


def offered_profiles(
    view: FleetView, evidence: Store, service: str, *, target: str | None = None, stack: str | None = None
) -> list[StoredProfile]:
    """Return the stored profiles of a leak or target, newest first.

    The latest profile of a running process is left out if it is stored for no other reason, because the next
    scrape replaces it before anyone can download it.
    """
    profiles = stored_profiles(evidence, service, target, stack).profiles
    return [profile for profile in profiles if set(profile.kinds) != {"last"} or not _is_running(view, profile)]


def spans(view: FleetView, profiles: Sequence[StoredProfile]) -> list[ProfileSpan]:
    """Return the span of each target that has several of `profiles`, which are sorted, newest first."""
    by_target: dict[str, list[StoredProfile]] = {}
    for profile in profiles:
        if Target(profile.service, profile.target) in view.pipeline.targets:
            by_target.setdefault(profile.target, []).append(profile)
    return [ProfileSpan(target, group[-1], group[0]) for target, group in by_target.items() if len(group) > 1]


def _is_running(view: FleetView, profile: StoredProfile) -> bool:
    """Return whether the process of a profile still runs."""
    state = view.pipeline.targets.get(Target(profile.service, profile.target))
    since = state.history.since if state else None
    return since is not None and profile.time > view.wall(since)
