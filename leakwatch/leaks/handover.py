"""Who follows whom: pods come and go under new names, and what is known of one serves the next. Pure.

A rolling deploy is a restart under another name. The new process may come before the old one goes, or after it.
"""

from typing import Final

from leakwatch.leaks.service_state import ServiceState
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.target_state import DepartedTarget, TargetState
from leakwatch.leaks.tracker import LeakTracker
from leakwatch.model import Target

KEPT: Final = 86400.0  # seconds that is kept what is known of a target that is gone
SURGE: Final = 3600.0  # seconds that a process may be older than the end of the one whose place it takes


def arrive(service: ServiceState, target: Target, settings: DetectionSettings, leaks: LeakTracker) -> TargetState:
    """Return the watch of a target that is new to `service`: its own, if it was gone, or one that inherits."""
    own = service.gone.pop(target, None)
    if own is not None:
        own.watch.target = target
        return own.watch
    watch = TargetState(target, settings, service.functions)
    if service.gone:
        last = max(service.gone, key=lambda gone: service.gone[gone].time)
        _succeed(service.gone.pop(last).watch, watch, leaks)
    return watch


def depart(service: ServiceState, watch: TargetState, time: float, leaks: LeakTracker) -> TargetState | None:
    """Take in that a target has left `service`; return the one that came shortly before, to take its place.

    Where there is none, it is kept among those that are gone.
    """
    began = watch.history.since or time
    younger = [
        (other.history.since, other)
        for other in service.watches.values()
        if not other.heir
        and not other.history.lifetime
        and other.history.since is not None
        and other.history.since > max(time - SURGE, began + watch.history.block)
    ]
    if not younger:
        service.gone[watch.target] = DepartedTarget(time, watch)
        return None
    heir = min(younger, key=lambda found: found[0])[1]
    _succeed(watch, heir, leaks)
    return heir


def _succeed(old: TargetState, heir: TargetState, leaks: LeakTracker) -> None:
    heir.inherit(old)
    leaks.rename(heir.target.service, old.target.name, heir.target.name)
