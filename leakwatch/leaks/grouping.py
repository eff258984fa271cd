"""Groups the stacks and sites of a service into leaks, and selects the one that represents each leak. Pure.

- All stacks that blame one function are one leak. Their site represents it, unless one stack has most of the
  growth.
- Stacks that grow in step are one leak: one leaked resource may hold several goroutines, each with its own stack.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final

from leakwatch.leaks.candidate import Candidate
from leakwatch.model import Fingerprint, Verdict

MOST: Final = 0.7  # share of the growth of a site
GROWS: Final = 0.5  # score below which a site does not grow now

Candidates = Mapping[Fingerprint, Candidate]


@dataclass(frozen=True, slots=True)
class Group:
    """One leak: `head` represents it, `related` are the other stacks and sites."""

    head: Candidate
    related: tuple[Candidate, ...] = ()

    @property
    def members(self) -> tuple[Candidate, ...]:
        """The head and the related candidates."""
        return (self.head, *self.related)

    @property
    def verdict(self) -> Verdict:
        """The highest verdict. After a site has stopped, a stack of the site counts only if it has grown since."""
        head = self.head
        function = head.stack.blamed.function if head.stack.site else None
        others = (
            other.verdict
            for other in self.related
            if other.stack.blamed.function != function or other.rose > head.since
        )
        return max(head.verdict, *others, Verdict.NORMAL)

    @property
    def targets(self) -> tuple[str, ...]:
        """Sorted names of the targets where any member grows or grew."""
        return tuple(sorted(set().union(*(member.targets for member in self.members))))


def groups(candidates: Candidates, ignored: Container[Fingerprint] = ()) -> dict[Fingerprint, Group]:
    """Return the leaks that `candidates` form, by the fingerprint of the head.

    An ignored stack represents its group only if all stacks of the group are ignored.
    """
    judged = {key: candidate for key, candidate in candidates.items() if candidate.verdict is not Verdict.NORMAL}
    representatives = _representatives(judged)
    represented: dict[Fingerprint, list[Fingerprint]] = {}
    for key, representative in representatives.items():
        represented.setdefault(representative, []).append(key)
    free = dict.fromkeys(sorted(represented, key=lambda key: (key in ignored, _rank(judged[key]))))
    by_head = {}
    while free:
        head = next(iter(free))
        del free[head]
        in_step = [head]
        for key in in_step:  # the list grows meanwhile
            related = {representatives[other] for each in represented[key] for other in _related(judged, each)}
            near = [other for other in free if other in related] if related else []
            in_step += near
            for other in near:
                del free[other]
        own = [key for key in represented[head] if key != head and not judged[key].stack.site]
        by_head[head] = Group(judged[head], tuple(judged[key] for key in (*own, *in_step[1:])))
    return by_head


def _representatives(candidates: Candidates) -> dict[Fingerprint, Fingerprint]:
    """Return stack or site -> its representative: the site, the fastest stack of the site, or itself."""
    representatives = {key: key for key in candidates}
    stacks: dict[str, list[Candidate]] = {}
    for candidate in candidates.values():
        if not candidate.stack.site:
            stacks.setdefault(candidate.stack.blamed.function, []).append(candidate)
    for key, site in candidates.items():
        members = stacks.get(site.stack.blamed.function, []) if site.stack.site else []
        if members and _site_represents(site, members):
            representatives |= {member.stack.fingerprint: key for member in members}
        elif members:
            representatives[key] = max(members, key=lambda member: member.rate).stack.fingerprint
    return representatives


def _site_represents(site: Candidate, members: list[Candidate]) -> bool:
    """Return whether a site represents its stacks. A site that was reported as leaking keeps representing them."""
    if site.reported is not Verdict.NORMAL and site.highest >= Verdict.LEAKING:
        return True
    # A stack that has stopped explains the past growth of the site, not its current growth.
    explaining = [member for member in members if member.verdict >= Verdict.SUSPECTED or site.score < GROWS]
    if any(member.rate >= MOST * site.rate for member in explaining):
        return False
    return site.verdict >= max(member.verdict for member in members)


def _related(candidates: Candidates, key: Fingerprint) -> set[Fingerprint]:
    related = set().union(*(judgement.related for judgement in candidates[key].judgements.values()))
    return related & candidates.keys()


def _rank(candidate: Candidate) -> tuple[bool, bool, float, float, Fingerprint]:
    """Return a sort key: leaking first, then reported, then the oldest, then the fastest."""
    reported = candidate.reported is not Verdict.NORMAL
    return (
        candidate.verdict < Verdict.LEAKING,
        not reported,
        candidate.opened_at,
        -candidate.rate,
        candidate.stack.fingerprint,
    )
