"""Groups the stacks and sites of a service into leaks, and selects the one that represents each leak. Pure.

- All stacks that blame one function are one leak. Their site represents it, unless one stack has most of the
  growth.
- Stacks that grow in step are one leak if they can have one cause: one leaked resource may hold several
  goroutines, each with its own stack. Other stacks that grow in step are separate leaks.
- The stack to change represents a leak: own code, then the most specific library, then what it is built on.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Final

from leakwatch.leaks.candidate import Candidate
from leakwatch.model import Fingerprint, Verdict
from leakwatch.profile.blame import IsOwn, distance, is_companion, is_never_alone, waits_for_others
from leakwatch.profile.kinship import are_kin

MOST: Final = 0.7  # share of the growth of a site
GROWS: Final = 0.5  # score below which a site does not grow now

Candidates = Mapping[Fingerprint, Candidate]


@dataclass(frozen=True, slots=True)
class Group:
    """One leak: `head` represents it, `related` are the other stacks and sites."""

    head: Candidate
    related: tuple[Candidate, ...] = ()
    in_step: tuple[Fingerprint, ...] = ()
    """Heads of other leaks that grow in step with this one."""

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


def groups(
    candidates: Candidates, is_own: IsOwn, ignored: Container[Fingerprint] = ()
) -> dict[Fingerprint, Group]:
    """Return the leaks that `candidates` form, by the fingerprint of the head.

    An ignored stack represents its group only if all stacks of the group are ignored. Goroutines that exist only
    while others run form no leak of their own.
    """
    judged = {key: candidate for key, candidate in candidates.items() if candidate.verdict is not Verdict.NORMAL}
    representatives = _representatives(judged)
    represented: dict[Fingerprint, list[Fingerprint]] = {}
    for key, representative in representatives.items():
        represented.setdefault(representative, []).append(key)
    ranks = {key: (key in ignored, _rank(judged[key], is_own)) for key in represented}
    free = dict.fromkeys(sorted(represented, key=ranks.__getitem__))
    in_step_of: dict[Fingerprint, set[Fingerprint]] = {}
    head_of: dict[Fingerprint, Fingerprint] = {}
    by_head = {}
    while free:
        head = next(iter(free))
        del free[head]
        members = [head]
        others: set[Fingerprint] = set()
        for key in members:  # the list grows meanwhile
            related = {representatives[other] for each in represented[key] for other in _related(judged, each)}
            if is_companion(judged[key].stack) and key != head:
                continue  # it is in step with everything that waits
            others |= related
            near = [
                other for other in free if other in related and _are_kin(judged, head, other, is_own)
            ]  # fmt: skip
            members += near
            for other in near:
                del free[other]
        head_of |= dict.fromkeys(members, head)
        in_step_of[head] = others - set(members)
        own = [key for key in represented[head] if key != head and not judged[key].stack.site]
        by_head[head] = Group(judged[head], tuple(judged[key] for key in (*own, *members[1:])))
    return {
        head: replace(group, in_step=tuple(sorted({head_of[other] for other in in_step_of[head]} - {head})))
        for head, group in by_head.items()
        if not is_never_alone(group.head.stack)
    }


def _are_kin(candidates: Candidates, key: Fingerprint, other: Fingerprint, is_own: IsOwn) -> bool:
    return are_kin(candidates[key].stack, candidates[other].stack, is_own)


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


def _rank(candidate: Candidate, is_own: IsOwn) -> tuple[bool | float | str, ...]:
    """Return a sort key: own code first, then the reported stack, so that the head of an open leak stays.

    Then the stack nearest to the code to change, the task before those that wait for it, leaking before suspected,
    the oldest, and the fastest.
    """
    stack = candidate.stack
    far = distance(stack, is_own)
    return (
        is_never_alone(stack),
        far > 0,
        candidate.reported is Verdict.NORMAL,
        far,
        waits_for_others(stack),
        candidate.verdict < Verdict.LEAKING,
        candidate.opened_at,
        -candidate.rate,
        stack.fingerprint,
    )
