"""The past of a service, as earlier processes of leakwatch and those beside other pods exported it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from leakwatch.detect.detector import Detector
from leakwatch.detect.history import History
from leakwatch.detect.past import PastLeak, StackPast, past_of, reopened, take_over
from leakwatch.leaks.service_state import ServiceState
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Fingerprint, Stack
from leakwatch.profile.fingerprint import site_of

LEAKS_ON: Final = 0.5  # share of the largest count of a leak; a target that has it has the leak too

Detectors = list[tuple[TargetState, History, Detector[History]]]
"""Targets, with the history of a stack or site, and its detector."""


@dataclass(frozen=True, slots=True)
class ServicePast:
    """The past of a service: of its stacks and sites, the maximum over all targets, and its open leaks."""

    stacks: Mapping[Fingerprint, StackPast] = field(default_factory=dict)
    leaks: Mapping[Fingerprint, PastLeak] = field(default_factory=dict)


def past_of_service(service: ServiceState) -> dict[Fingerprint, tuple[Stack, StackPast]]:
    """Return the past of the stacks and sites of a service, the maximum over its current and departed targets."""
    pasts: dict[Fingerprint, tuple[Stack, StackPast]] = {}
    for state in service.states:
        for history in (state.history, state.sites):
            for key, past in past_of(history).items():
                stack = history.stacks[history.rows[key]]
                if stack is not None:
                    pasts[key] = (stack, past.maximum(pasts[key][1]) if key in pasts else past)
    return pasts


def take_over_past(service: ServiceState, past: ServicePast, stacks: Mapping[Fingerprint, Stack]) -> None:
    """Continue on all targets with the past of the stacks and sites, and with the leaks that no target has.

    `stacks`: the exported stacks; a target may not have a profile with them yet.
    """
    known = [stacks[key] for key in past.stacks if key in stacks]
    for state in service.states:
        state.history.admit(stack for stack in known if site_of(stack.blamed.function) != stack.fingerprint)
        take_over(state.history, past.stacks)
        take_over(state.sites, past.stacks)
    _reopen_leaks(service.states, past.leaks)


def _reopen_leaks(states: Sequence[TargetState], leaks: Mapping[Fingerprint, PastLeak]) -> None:
    """Reopen the leaks that no target has, on the targets with the most goroutines of each."""
    for key, leak in leaks.items():
        found = [entry for state in states if (entry := _detector_of(state, key))]
        cases = [detector.cases[key] for _, _, detector in found if key in detector.cases]
        if all(case.verdict < leak.verdict for case in cases):
            _reopen(key, leak, found)
    for state in states:
        state.update_judgements()


def _detector_of(state: TargetState, key: Fingerprint) -> tuple[TargetState, History, Detector[History]] | None:
    """Return what judges a stack or site of a target, None if the target does not have it."""
    for history, detector in ((state.history, state.detector), (state.sites, state.site_detector)):
        if key in history.rows and history.blocks.scrapes.any():
            return state, history, detector
    return None


def _reopen(key: Fingerprint, leak: PastLeak, found: Detectors) -> None:
    largest = max((state.count(key) for state, _, _ in found), default=0)
    on = [entry for entry in found if entry[0].count(key) >= max(LEAKS_ON * largest, 1)]
    for _, history, detector in on:
        share = replace(leak, rate=leak.rate / len(on))
        detector.cases[key] = reopened(history, history.rows[key], share)


def date_leaks(service: ServiceState, leaks: Mapping[Fingerprint, PastLeak]) -> None:
    """Set back when the leaks of a service were first seen and detected."""
    for key, leak in leaks.items():
        candidate = service.leaks.candidates.get(key)
        if candidate is None:
            continue
        if leak.first_seen is not None:
            candidate.earliest([leak.first_seen])
        if leak.detected_at is not None:
            candidate.detected_at = min(candidate.detected_at or leak.detected_at, leak.detected_at)
    service.leaks.invalidate()
