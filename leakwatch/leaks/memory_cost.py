"""Memory cost of a leak: the measurements of all targets of its service, combined. Pure."""

from leakwatch.leaks.memory import GoroutineCost, combined_cost, first_limit, time_to_limit
from leakwatch.leaks.model import Leak, MemoryCost
from leakwatch.leaks.service_state import ServiceState
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Fingerprint, Growth


def memory_cost(service: ServiceState, leak: Leak) -> MemoryCost:
    """Return the memory cost of a leak of a service."""
    key = leak.stack.fingerprint
    parts = [(state.count(key), state.probe_results.memory.cost_of(key)) for state in service.targets.values()]
    cost = combined_cost([part for part in parts if part[0]] or parts)
    limits = [
        time_to_limit(state.target.name, measurements[-1], _cost_on(state, key, cost), _growth(state, leak))
        for state in service.select(leak.targets)
        if (measurements := state.probe_results.memory.measurements)
    ]
    return MemoryCost(
        stack=cost.stack,
        resident=cost.resident,
        source=cost.source,
        goroutines=leak.goroutines,
        growth=leak.growth,
        limit=first_limit(limits),
    )


def _cost_on(state: TargetState, key: Fingerprint, combined: GoroutineCost) -> GoroutineCost:
    """Return the cost of one goroutine on a target, the combined cost of all targets if it was not measured."""
    cost = state.probe_results.memory.cost_of(key)
    return cost if cost.is_measured else combined


def _growth(state: TargetState, leak: Leak) -> Growth:
    """Return the growth of a leak on one target: an equal share if only the pooled growth is known."""
    judgement = state.judgement_of(leak.stack.fingerprint)
    if judgement is not None:
        return judgement.growth
    parts = max(len(leak.targets), 1)
    return Growth(leak.growth.rate / parts, leak.growth.low / parts, leak.growth.high / parts)
