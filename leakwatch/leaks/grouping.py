"""Groups the stacks and sites of a service into leaks, and selects the one that represents each leak. Pure.

- All stacks that blame one function are one leak. Their site represents it, unless one stack has most of the
  growth.
- Stacks that grow in step are one leak if they can have one cause: one leaked resource may hold several
  goroutines, each with its own stack. Other stacks that grow in step are separate leaks.
- The stack to change represents a leak: own code, then the most specific library, then what it is built on.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from leakwatch.leaks.candidate import Candidate
from leakwatch.model import Fingerprint, Verdict
from leakwatch.profile.blame import IsOwn, distance, is_never_alone, is_vague, waits_for_others
from leakwatch.profile.kinship import are_kin, is_built_on, relations

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
    in_step = {
        key: {representatives[other] for each in keys for other in _related(judged, each)}
        for key, keys in represented.items()
    }
    ranks = {key: (key in ignored, _rank(judged[key], is_own)) for key in represented}
    members = _members(judged, in_step, sorted(represented, key=ranks.__getitem__), is_own)
    head_of = {key: head for head, keys in members.items() for key in keys}
    by_head = {}
    for head, keys in members.items():
        if is_never_alone(judged[head].stack):
            continue
        own = [key for key in represented[head] if key != head and not judged[key].stack.site]
        others = {head_of[other] for key in keys for other in in_step[key]} - {head}
        related = tuple(judged[key] for key in (*own, *keys[1:]))
        by_head[head] = Group(judged[head], related, tuple(sorted(others)))
    return by_head


def _members(
    candidates: Candidates,
    in_step: Mapping[Fingerprint, set[Fingerprint]],
    ordered: Iterable[Fingerprint],
    is_own: IsOwn,
) -> dict[Fingerprint, list[Fingerprint]]:
    """Return head -> the members of its leak, beginning with the head.

    `in_step`: stack -> the stacks that grow in step with it; `ordered`: the stacks, the best head first.
    """
    free = {key: place for place, key in enumerate(ordered)}
    kin = {key: relations(candidates[key].stack, is_own) for key in free}
    members = {}
    while free:
        head = next(iter(free))
        del free[head]
        found = members[head] = [head]
        for key in found:  # the list grows meanwhile
            if key != head and kin[key].is_companion:
                continue  # it is in step with everything that waits
            near = [
                other
                for other in in_step[key] & free.keys()
                if are_kin(kin[head], kin[other]) or is_built_on(kin[key], kin[other])
            ]
            found += sorted(near, key=free.__getitem__)
            for other in near:
                del free[other]
    return members


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

    A stack that has recovered does not represent others that have not. Then the stack nearest to the code to
    change, the task before those that wait for it, leaking before suspected, the oldest, and the fastest.
    """
    stack = candidate.stack
    far = distance(stack, is_own)
    return (
        is_never_alone(stack),
        candidate.verdict is Verdict.RECOVERED,
        far > 0,
        candidate.reported is Verdict.NORMAL,
        far,
        far > 0 and is_vague(stack),
        waits_for_others(stack),
        candidate.verdict < Verdict.LEAKING,
        candidate.opened_at,
        -candidate.rate,
        stack.fingerprint,
    )
