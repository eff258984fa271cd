"""What closer looks tell of a leak: memory, proof, ages. Pure: state in, models out."""

from collections.abc import Mapping

from leakwatch.leaks.model import Estimate, Findings, MemoryCost
from leakwatch.leaks.wording import creator_sentence, memory_sentence, missing_findings, waiting_sentence
from leakwatch.profile.wait_times import ages
from leakwatch.web.api.models import findings as models

CREATORS = 20


def memory(cost: MemoryCost | None) -> models.MemoryCost | None:
    """Return what a leak takes, None where that is not known."""
    if cost is None:
        return None
    limit = cost.limit
    return models.MemoryCost(
        bytes=cost.per_goroutine.value * cost.goroutines,
        bytes_each=_band(cost.per_goroutine),
        bytes_per_hour=_band(cost.per_second, 3600),
        heap=cost.resident is not None,
        source=cost.source,
        limit=models.Limit(
            target=limit.target, bytes=limit.size, soonest_seconds=limit.soonest, latest_seconds=limit.latest
        )
        if limit
        else None,
        text=memory_sentence(cost),
    )


def findings(found: Findings) -> models.Findings:
    """Return what closer looks told."""
    waiting = found.waiting
    known = ages(waiting) if waiting else None
    creators = list(waiting.creators.items())[:CREATORS] if waiting else []
    return models.Findings(
        proven=found.proven,
        ages=models.Ages(
            goroutines=known.goroutines,
            oldest_minutes=known.oldest,
            median_minutes=known.median,
            states=dict(waiting.states),
            creators=[
                models.Creator(function=at.function, file=at.file, line=at.line, goroutines=number)
                for at, number in creators
            ],
        )
        if known and waiting
        else None,
        older=_older(found.older),
        missing=dict(found.unavailable),
        text=" ".join(filter(None, (waiting_sentence(found), creator_sentence(found), missing_findings(found)))),
    )


def _older(bounds: Mapping[float, int]) -> list[models.Older]:
    """Return the bounds, the oldest first, and of the younger ones those that tell of more."""
    told: list[models.Older] = []
    for seconds, number in sorted(bounds.items(), reverse=True):
        if number > (told[-1].goroutines if told else 0):
            told.append(models.Older(seconds=seconds, goroutines=number))
    return told


def _band(estimate: Estimate, times: float = 1.0) -> models.Band:
    return models.Band(value=times * estimate.value, low=times * estimate.low, high=times * estimate.high)
