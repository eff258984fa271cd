"""Which stacks and sites of a service are one leak, and which of them tells it. Pure.

- All stacks that blame one function are one leak, told as their site, unless one of them holds most of its growth:
  that one says it better, and the site says nothing.
- What grows in step is one leak: one thing that leaks may hold several goroutines, each with its own stack.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final

from leakwatch.leaks.candidate import Candidate
from leakwatch.model import Fingerprint, Verdict

MOST: Final = 0.7  # of the growth of a site
GROWS: Final = 0.5  # score; a site with less does not grow now

Lives = Mapping[Fingerprint, Candidate]


@dataclass(frozen=True, slots=True)
class Group:
    """What is told as one leak: by `head`; `related` are the other stacks and sites that belong to it."""

    head: Candidate
    related: tuple[Candidate, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The highest of all in it. When a site has stopped, a stack of it counts only if it has grown since."""
        head = self.head
        function = head.stack.blamed.function if head.stack.site else None
        others = (
            life.verdict
            for life in self.related
            if life.stack.blamed.function != function or life.rose > head.since
        )
        return max(head.verdict, *others, Verdict.NORMAL)

    @property
    def targets(self) -> tuple[str, ...]:
        """Those where any of it grows or grew."""
        return tuple(sorted(self.head.targets.union(*(life.targets for life in self.related))))


def groups(lives: Lives, ignored: Container[Fingerprint] = ()) -> dict[Fingerprint, Group]:
    """Return the leaks that `lives` make, by the fingerprint of the one that tells it.

    One of the `ignored` tells a leak only if all that could are.
    """
    guilty = {key: life for key, life in lives.items() if life.verdict is not Verdict.NORMAL}
    speakers = _speakers(guilty)
    spoken_for: dict[Fingerprint, list[Fingerprint]] = {}
    for key, speaker in speakers.items():
        spoken_for.setdefault(speaker, []).append(key)
    free = dict.fromkeys(sorted(spoken_for, key=lambda key: (key in ignored, _rank(guilty[key]))))
    found = {}
    while free:
        head = next(iter(free))
        del free[head]
        together = [head]
        for key in together:  # which grows meanwhile
            steps = {speakers[other] for one in spoken_for[key] for other in _in_step(guilty, one)}
            near = [other for other in free if other in steps] if steps else []
            together += near
            for other in near:
                del free[other]
        own = [key for key in spoken_for[head] if key != head and not guilty[key].stack.site]
        found[head] = Group(guilty[head], tuple(guilty[key] for key in (*own, *together[1:])))
    return found


def _speakers(lives: Lives) -> dict[Fingerprint, Fingerprint]:
    """Return who speaks for each: a site for its stacks, or the largest of them for the site; else itself."""
    speakers = {key: key for key in lives}
    stacks: dict[str, list[Candidate]] = {}
    for life in lives.values():
        if not life.stack.site:
            stacks.setdefault(life.stack.blamed.function, []).append(life)
    for key, site in lives.items():
        members = stacks.get(site.stack.blamed.function, []) if site.stack.site else []
        if members and _says_more(site, members):
            speakers |= {life.stack.fingerprint: key for life in members}
        elif members:
            speakers[key] = max(members, key=lambda life: life.rate).stack.fingerprint
    return speakers


def _says_more(site: Candidate, members: list[Candidate]) -> bool:
    """Tell whether a site is to be told rather than its stacks under suspicion; once it leaks it stays so."""
    if site.told is not Verdict.NORMAL and site.highest >= Verdict.LEAKING:
        return True
    # A stack that has stopped explains what the site has grown by, not what it still grows by.
    explain = [life for life in members if life.verdict >= Verdict.SUSPECTED or site.score < GROWS]
    if any(life.rate >= MOST * site.rate for life in explain):
        return False
    return site.verdict >= max(life.verdict for life in members)


def _in_step(lives: Lives, key: Fingerprint) -> set[Fingerprint]:
    related = set().union(*(judgement.related for judgement in lives[key].judgements.values()))
    return related & lives.keys()


def _rank(life: Candidate) -> tuple[bool, bool, float, float, Fingerprint]:
    """Return what is smaller for those that tell rather: what leaks, what was told, the oldest, the fastest."""
    told = life.told is not Verdict.NORMAL
    return life.verdict < Verdict.LEAKING, not told, life.opened_at, -life.rate, life.stack.fingerprint
