"""JSON form of a leak. Pure.

`verdict` is the current verdict, `highest` the highest verdict so far, in the API as in the commands.
"""

from leakwatch.leaks.model import Leak, MemoryCost
from leakwatch.leaks.wording import per_hour
from leakwatch.profile.grouping import stack_fields, stack_json


def leak_fields(leak: Leak) -> dict[str, object]:
    """Return the fields that the API and the commands share."""
    return {
        "service": leak.service,
        **stack_fields(leak.stack),
        "site": leak.stack.site,
        "verdict": leak.verdict.word,
        "goroutines": leak.goroutines,
        "confidence": leak.confidence,
        "owner": leak.owner,
        "reason": leak.reason,
        "source": leak.source,
    }


def leak_json(leak: Leak) -> dict[str, object]:
    """Return a leak as `analyze` and `check` print it.

    Times are in unix seconds. `growth_per_hour` is the rate while the leak last grew.
    """
    return {
        **leak_fields(leak),
        **stack_json(leak.stack),
        "targets": list(leak.targets),
        "highest": leak.highest.word,
        "now": leak.verdict.word,
        "first_seen": leak.first_seen,
        "detected_at": leak.detected_at,
        "growth_per_hour": per_hour(leak.grew.rate),
        "growth_per_hour_low": per_hour(leak.grew.low),
        "growth_per_hour_high": per_hour(leak.grew.high),
        **_memory(leak.memory),
        "life": [{"verdict": transition.verdict.word, "time": transition.time} for transition in leak.transitions],
        "related": [related.fingerprint for related in leak.related],
    }


def _memory(cost: MemoryCost | None) -> dict[str, object]:
    if cost is None:
        return {}
    return {
        "bytes": cost.per_goroutine.value * cost.goroutines,
        "bytes_per_hour": cost.per_second.value * 3600,
        "bytes_source": cost.source,
    }
