"""JSON form of a leak. Pure.

`verdict` is the current verdict, `highest` the highest verdict so far, in the API as in the commands.
"""

from leakwatch.causes.model import Cause
from leakwatch.leaks.model import Caller, Leak, MemoryCost, RelatedStack
from leakwatch.leaks.wording import per_hour
from leakwatch.model import Frame
from leakwatch.profile.grouping import stack_fields, stack_json


def leak_fields(leak: Leak) -> dict[str, object]:
    """Return the fields that the API and the commands share."""
    return {
        "service": leak.service,
        **stack_fields(leak.stack),
        "site": leak.stack.site,
        "verdict": leak.verdict.word,
        "severity": leak.severity,
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
        "related": [related_json(related) for related in leak.related],
        "in_step": [stack.fingerprint for stack in leak.in_step],
        "holders": [{**stack_fields(holder.stack), "goroutines": holder.goroutines} for holder in leak.holders],
        "callers": [caller_json(caller) for caller in leak.callers],
        "cause": cause_json(leak.cause) if leak.cause else None,
    }


def related_json(related: RelatedStack) -> dict[str, object]:
    """Return a stack of a leak beside its head."""
    return {
        **stack_fields(related.stack),
        "site": related.stack.site,
        "verdict": related.verdict.word,
        "goroutines": related.goroutines,
        "growth_per_hour": per_hour(related.grew.rate),
    }


def caller_json(caller: Caller) -> dict[str, object]:
    """Return the own code that opens a leak, or a label of its goroutines."""
    frame = caller.function or Frame("")
    return {
        "way": caller.way,
        "certainty": caller.certainty,
        "function": frame.function,
        "file": frame.file,
        "line": frame.line,
        "label": caller.label,
        "value": caller.value,
        "share": caller.share,
    }


def cause_json(cause: Cause) -> dict[str, object]:
    """Return a likely cause, without the patterns by which it is recognised."""
    return {
        "id": cause.id,
        "title": cause.title,
        "explanation": cause.explanation,
        "look_for": list(cause.look_for),
        "fix": cause.fix,
        "code": cause.code,
        "fixed_in": {
            module: {"version": fixed.version, "reference": fixed.reference}
            for module, fixed in cause.fixed_in.items()
        },
        "references": list(cause.references),
    }


def _memory(cost: MemoryCost | None) -> dict[str, object]:
    if cost is None:
        return {}
    return {
        "bytes": cost.per_goroutine.value * cost.goroutines,
        "bytes_per_hour": cost.per_second.value * 3600,
        "bytes_source": cost.source,
    }
