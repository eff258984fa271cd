"""Memory cost of a leak: the measurements of all targets of its service, combined. Pure."""

from leakwatch.leaks.memory import Each, first, reach, together
from leakwatch.leaks.model import Leak, MemoryCost
from leakwatch.leaks.service_state import ServiceState
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Fingerprint, Growth


def memory_cost(service: ServiceState, leak: Leak) -> MemoryCost:
    """Return the memory cost of a leak of a service."""
    key = leak.stack.fingerprint
    parts = [(state.count(key), state.probe_results.looks.each(key)) for state in service.targets.values()]
    each = together([part for part in parts if part[0]] or parts)
    limits = [
        reach(state.target.name, state.probe_results.looks.kept[-1], _own(state, key, each), _growth(state, leak))
        for state in service.select(leak.targets)
        if state.probe_results.looks.kept
    ]
    return MemoryCost(each.stack, each.resident, each.source, leak.goroutines, leak.growth, first(limits))


def _own(state: TargetState, key: Fingerprint, others: Each) -> Each:
    """Return the cost of one goroutine on a target, that of all targets if it is unknown there."""
    own = state.probe_results.looks.each(key)
    return own if own.known else others


def _growth(state: TargetState, leak: Leak) -> Growth:
    """Return the growth of a leak on one target: an equal share if only the pooled growth is known."""
    judgement = state.judgement_of(leak.stack.fingerprint)
    if judgement is not None:
        return judgement.growth
    parts = max(len(leak.targets), 1)
    return Growth(leak.growth.rate / parts, leak.growth.low / parts, leak.growth.high / parts)
