"""Hands the state of a removed target to its replacement, such as a new pod of the same service. Pure.

A rolling deploy is a restart under another name. The new process may start before the old one ends, or after it.
"""

from typing import Final

from leakwatch.leaks.service_state import ServiceState
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.target_state import DepartedTarget, TargetState

RETENTION: Final = 86400.0  # seconds that the state of a removed target is kept
SURGE: Final = 3600.0  # seconds that a replacement may be older than the removal of the target it replaces


def take_over_departed(service: ServiceState, state: TargetState) -> TargetState | None:
    """Give a target without history the state of the target that was removed last; return that target's state."""
    if not service.departed:
        return None
    # A departed target that discovery has found again may still continue its own state.
    last = max(
        service.departed, key=lambda target: (target.name not in service.targets, service.departed[target].time)
    )
    old = service.departed.pop(last).state
    state.take_over(old)
    return old


def replace_removed(service: ServiceState, old: TargetState, time: float) -> TargetState | None:
    """Give the state of a target removed at `time` to the target that appeared shortly before; return that target.

    Without a replacement, the state is kept among the departed targets.
    """
    began = old.history.since or time
    younger = [
        (state.history.since, state)
        for state in service.targets.values()
        if not state.replacement
        and not state.history.lifetime
        and state.history.since is not None
        and state.history.since > max(time - SURGE, began + old.history.block)
    ]
    if not younger:
        service.departed[old.target] = DepartedTarget(time, old)
        return None
    replacement = min(younger, key=lambda pair: pair[0])[1]
    replacement.take_over(old)
    return replacement


def adopt(service: ServiceState, other: ServiceState, settings: DetectionSettings) -> None:
    """Continue a service with the state of `other`, which becomes invalid; see Pipeline.adopt."""
    for name, state in service.targets.items():
        if name in other.targets:
            state.adopt(other.targets[name])
        else:
            state.clear(settings, other.functions)
    for name in other.targets.keys() - service.targets.keys():
        state = other.targets[name]
        other.departed[state.target] = DepartedTarget(other.time, state)
    service.adopt(other)
