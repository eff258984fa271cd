"""What a leak costs: what is known of memory on each target, put together for its service. Pure."""

from leakwatch.leaks.memory import Each, first, reach, together
from leakwatch.leaks.model import Leak, MemoryCost
from leakwatch.leaks.service_state import ServiceState
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Fingerprint, Growth


def bill(service: ServiceState, leak: Leak) -> MemoryCost:
    """Return what a leak of a service costs."""
    key = leak.stack.fingerprint
    known = [(watch.count(key), watch.answers.looks.each(key)) for watch in service.watches.values()]
    each = together([part for part in known if part[0]] or known)
    limits = [
        reach(watch.target.name, watch.answers.looks.kept[-1], _own(watch, key, each), _growth(watch, leak))
        for watch in service.on(leak.targets)
        if watch.answers.looks.kept
    ]
    return MemoryCost(each.stack, each.resident, each.source, leak.goroutines, leak.growth, first(limits))


def _own(watch: TargetState, key: Fingerprint, others: Each) -> Each:
    own = watch.answers.looks.each(key)
    return own if own.known else others


def _growth(watch: TargetState, leak: Leak) -> Growth:
    """Return how fast a leak grows on one target: its share, where only all targets together tell."""
    judged = watch.thought(leak.stack.fingerprint)
    if judged is not None:
        return judged.growth
    parts = max(len(leak.targets), 1)
    return Growth(leak.growth.rate / parts, leak.growth.low / parts, leak.growth.high / parts)
