"""What closer looks told of a leak: proof, ages, memory, and what could not be learned. Pure."""

from collections import Counter
from collections.abc import Mapping

from leakwatch import model
from leakwatch.ages import ages
from leakwatch.memory import sentence
from leakwatch.web.api import models

NAMED = 10  # states, and creators


def findings(found: model.Findings) -> models.Findings:
    """Return it for programs: the most frequent states and creators, and the oldest bound first."""
    return models.Findings(
        proven=found.proven,
        waiting=_waiting(found.waiting) if found.waiting else None,
        older=_older(found.older),
        missing=[models.Missing(what=what, why=why) for what, why in found.missing.items()],
    )


def cost(memory: model.Memory) -> models.Memory:
    """Return what a leak costs."""
    limit = memory.limit
    return models.Memory(
        said=sentence(memory),
        bytes=memory.each.value * memory.goroutines,
        bytes_each=_estimate(memory.each),
        bytes_per_hour=_estimate(memory.per_second, 3600),
        source=memory.source,
        limit=limit
        and models.MemoryLimit(
            target=limit.target, bytes=limit.size, soonest_seconds=limit.soonest, latest_seconds=limit.latest
        ),
    )


def _estimate(found: model.Estimate, times: float = 1) -> models.Estimate:
    return models.Estimate(value=times * found.value, low=times * found.low, high=times * found.high)


def _older(bounds: Mapping[float, int]) -> list[models.Older]:
    """Return the bounds, the oldest first, and of the younger ones those that tell of more."""
    told: list[models.Older] = []
    for seconds, number in sorted(bounds.items(), reverse=True):
        if number > (told[-1].goroutines if told else 0):
            told.append(models.Older(seconds=seconds, goroutines=number))
    return told


def _waiting(waiting: model.Waiting) -> models.Waiting:
    known = ages(waiting)
    creators = Counter[str]()
    for frame, number in waiting.creators.items():
        creators[frame.function] += number
    return models.Waiting(
        goroutines=known.goroutines,
        known=known.known,
        oldest_minutes=known.oldest,
        median_minutes=known.median,
        states=_counts(waiting.states),
        creators=_counts(dict(creators.most_common())),
    )


def _counts(counts: Mapping[str, int]) -> list[models.Count]:
    return [models.Count(name=name, goroutines=number) for name, number in list(counts.items())[:NAMED]]
