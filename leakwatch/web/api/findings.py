"""Memory cost and results of probes of a leak. Pure: state in, models out."""

from collections.abc import Callable, Mapping

from leakwatch.leaks.model import Estimate, Findings, MemoryCost
from leakwatch.leaks.wording import creator_sentence, memory_sentence, missing_findings, waiting_sentence
from leakwatch.model import Frame
from leakwatch.profile.wait_times import ages
from leakwatch.web.api.models import findings as models

CREATORS = 20


def memory(cost: MemoryCost | None) -> models.MemoryCost | None:
    """Return the memory cost of a leak, None if it is unknown."""
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


def findings(
    results: Findings,
    source: Callable[[Frame], str] = lambda _: "",
    wall: Callable[[float], float | None] = lambda time: time,
) -> models.Findings:
    """Return the results of all probes.

    `source`: returns the URL of the source of a frame; `wall`: converts a time to the wall clock.
    """
    return models.Findings(
        proven=results.proven,
        ages=_ages(results, source, wall),
        older=_older(results.older),
        missing=dict(results.unavailable),
        text=" ".join(
            filter(None, (waiting_sentence(results), creator_sentence(results), missing_findings(results)))
        ),
    )


def _ages(
    results: Findings, source: Callable[[Frame], str], wall: Callable[[float], float | None]
) -> models.Ages | None:
    waiting = results.waiting
    times = ages(waiting) if waiting else None
    if waiting is None or times is None:
        return None
    return models.Ages(
        goroutines=times.goroutines,
        oldest_minutes=times.oldest,
        median_minutes=times.median,
        dumped_at=None if results.dumped_at is None else wall(results.dumped_at),
        states=dict(waiting.states),
        creators=[
            models.Creator(
                function=frame.function,
                file=frame.file,
                line=frame.line,
                goroutines=number,
                source=source(frame),
            )
            for frame, number in list(waiting.creators.items())[:CREATORS]
        ],
    )


def _older(bounds: Mapping[float, int]) -> list[models.Older]:
    """Return the bounds, oldest first; a younger bound only if it has more goroutines."""
    rows: list[models.Older] = []
    for seconds, number in sorted(bounds.items(), reverse=True):
        if number > (rows[-1].goroutines if rows else 0):
            rows.append(models.Older(seconds=seconds, goroutines=number))
    return rows


def _band(estimate: Estimate, factor: float = 1.0) -> models.Band:
    return models.Band(value=factor * estimate.value, low=factor * estimate.low, high=factor * estimate.high)
