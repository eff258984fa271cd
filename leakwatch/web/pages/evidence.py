"""Stored profiles that pages offer for download and comparison. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from leakwatch.evidence.store import Store
from leakwatch.model import Target
from leakwatch.web.api.evidence import StoredProfile, stored_profiles
from leakwatch.web.api.fleet import FleetView


@dataclass(frozen=True, slots=True)
class FirstProfile:
    """The first stored profile of a target."""

    target: str
    id: str


def offered_profiles(
    view: FleetView, evidence: Store, service: str, *, target: str | None = None, stack: str | None = None
) -> list[StoredProfile]:
    """Return the stored profiles of a leak or target, newest first.

    The latest profile of a running process is left out if it is stored for no other reason, because the next
    scrape replaces it before anyone can download it.
    """
    profiles = stored_profiles(evidence, service, target, stack).profiles
    return [profile for profile in profiles if set(profile.kinds) != {"last"} or not _is_running(view, profile)]


def first_profiles(view: FleetView, profiles: Sequence[StoredProfile]) -> list[FirstProfile]:
    """Return the first of `profiles` of each target; `profiles` are sorted, newest first."""
    ids = {profile.target: profile.id for profile in profiles if _target(profile) in view.pipeline.targets}
    return [FirstProfile(target, key) for target, key in ids.items()]


def _target(profile: StoredProfile) -> Target:
    return Target(profile.service, profile.target)


def _is_running(view: FleetView, profile: StoredProfile) -> bool:
    """Return whether the process of a profile still runs."""
    state = view.pipeline.targets.get(_target(profile))
    since = state.history.since if state else None
    return since is not None and profile.time > view.wall(since)
