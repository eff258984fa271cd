"""Rollouts: the stacks that grow only on a new build, while older targets run another build. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from leakwatch.detect.comparison import ComparedGrowth, compare
from leakwatch.detect.history import History
from leakwatch.leaks.candidate import Candidate
from leakwatch.leaks.target_state import TargetState
from leakwatch.leaks.wording import format_time
from leakwatch.model import Fingerprint

COMPARED: Final = 3  # older targets that a target is compared with; a comparison of 100 stacks takes 5 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildGrowth:
    """The build on which alone a stack grows: on `growing` of its `targets`.

    `since`: the first scrape of the build, in unix seconds.
    """

    build: str
    since: float
    growing: int
    targets: int


def record_builds(
    state: TargetState, siblings: Iterable[TargetState], candidates: Mapping[Fingerprint, Candidate]
) -> None:
    """Record the build of a target in the candidates that grow there, and not on older targets of other builds."""
    for fingerprint in regressions(state, siblings) & candidates.keys():
        candidates[fingerprint].builds[state.target.name] = state.process_tracker.build


def regressions(state: TargetState, siblings: Iterable[TargetState]) -> frozenset[Fingerprint]:
    """Return the judged stacks and sites that grow more on a target than on most older targets of other builds."""
    older = older_builds(state, siblings) if state.judgements else []
    if not older:
        return frozenset()
    stacks = _growing_more(state.history, [sibling.history for sibling in older], state.judged.keys())
    return stacks | _growing_more(state.sites, [sibling.sites for sibling in older], state.judged_sites.keys())


def older_builds(state: TargetState, siblings: Iterable[TargetState]) -> Sequence[TargetState]:
    """Return the siblings of another build that ran before a target did: the latest COMPARED."""
    build, since = state.process_tracker.build, state.history.since
    if not build or since is None:
        return []
    older = [
        (sibling.history.since, sibling)
        for sibling in siblings
        if sibling.process_tracker.build not in {"", build}
        and sibling.history.since is not None
        and sibling.history.since < since - state.history.block
    ]
    return [sibling for _, sibling in sorted(older, key=lambda pair: -pair[0])[:COMPARED]]


def _growing_more(
    history: History, others: Sequence[History], keys: Collection[Fingerprint]
) -> frozenset[Fingerprint]:
    results = [compare(history, other, keys) for other in others] if keys else []
    return frozenset(
        key
        for key in keys
        if 2 * sum(key in each and each[key].result is ComparedGrowth.MORE for each in results) > len(results)
    )


def build_growth(candidate: Candidate, states: Iterable[TargetState]) -> BuildGrowth | None:
    """Return the build on which alone a stack grows, None if it grows on others too; `states`: of the service."""
    if not candidate.builds:  # nearly always, and a service may have 2,000 targets and 500 leaks
        return None
    by_build: dict[str, list[TargetState]] = {}
    for state in states:
        by_build.setdefault(state.process_tracker.build, []).append(state)
    builds = {
        build: sum(state.target.name in candidate.judgements for state in of_build)
        for build, of_build in by_build.items()
    }
    build = next(reversed(candidate.builds.values()))
    if any(growing for other, growing in builds.items() if other != build):
        return None
    starts = [state.history.since for state in by_build.get(build, []) if state.history.since is not None]
    if not build or not starts:
        return None
    return BuildGrowth(build=build, since=min(starts), growing=builds[build], targets=len(by_build[build]))


def with_build(reason: str, growth: BuildGrowth | None) -> str:
    """Return the reason with the build on which alone the stack grows."""
    if growth is None:
        return reason
    started = f"which started at {format_time(growth.since)}"
    return (
        f"{reason}; grows only on build {growth.build}, {started}: on {growth.growing} of {growth.targets} targets"
    )
