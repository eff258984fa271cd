"""The comparison of two snapshots on the page of a target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leakwatch.errors import NotFoundError
from leakwatch.web.api.diff import Difference, SnapshotSource, difference
from leakwatch.web.api.evidence import StoredProfile
from leakwatch.web.api.models.types import valid_text
from leakwatch.web.api.snapshots import NOW
from leakwatch.web.api.targets import find
from leakwatch.web.pages.evidence import offered_profiles

ROWS = 50
CHOICES = 100
"""Latest stored profiles in the form, beside the first and the selected ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The stored profiles in the form, oldest first, and the selected ids; `now` is the latest scrape.

    `problem`: the reason why there is no difference between the selected snapshots.
    """

    profiles: Sequence[StoredProfile]
    now: bool
    old: str
    new: str
    difference: Difference | None = None
    problem: str = ""

    def __bool__(self) -> bool:
        return (bool(self.profiles) and len(self.profiles) + self.now > 1) or bool(self.problem)


async def compare_snapshots(source: SnapshotSource, path: str, query: Mapping[str, str]) -> Comparison:
    """Return the comparison that a query selects; raise NotFoundError if there is no target at `path`."""
    view = source.view
    target, _ = find(view, path)
    service, name = valid_text(target.service), valid_text(target.name)
    profiles = offered_profiles(view, source.evidence, service, target=name)[::-1]
    state = view.pipeline.targets.get(target)
    now = state is not None and state.history.time is not None
    ids = [profile.id for profile in profiles]
    old, new = query.get("old", ""), query.get("new", "")
    choices = _choices(profiles, {old, new})
    if not old and not new:
        first, last = (ids[0], ids[-1]) if ids else ("", "")
        return Comparison(profiles=choices, now=now, old=first, new=NOW if now else last)
    if old not in ids or new not in [*ids, NOW]:
        problem = "One of the two profiles is not stored, or no longer stored. Select two of the stored profiles."
        return Comparison(profiles=choices, now=now, old=old, new=new, problem=problem)
    try:
        result = await difference(source, old, new, limit=ROWS)
    except NotFoundError as error:
        problem = f"These profiles cannot be compared: {error}."
        return Comparison(profiles=choices, now=now, old=old, new=new, problem=problem)
    return Comparison(profiles=choices, now=now, old=old, new=new, difference=result)


def _choices(profiles: Sequence[StoredProfile], selected: set[str]) -> list[StoredProfile]:
    late = len(profiles) - CHOICES
    return [profile for i, profile in enumerate(profiles) if not i or i >= late or profile.id in selected]
