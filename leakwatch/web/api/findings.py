"""What closer looks told of a leak: proof, ages, and what could not be learned. Pure."""

from collections import Counter
from collections.abc import Mapping

from leakwatch import model
from leakwatch.ages import ages
from leakwatch.web.api import models

NAMED = 10  # states, and creators


def findings(found: model.Findings) -> models.Findings:
    """Return it for programs: the most frequent states and creators, and the oldest bound first."""
    return models.Findings(
        proven=found.proven,
        waiting=_waiting(found.waiting) if found.waiting else None,
        older=[
            models.Older(seconds=seconds, goroutines=number)
            for seconds, number in sorted(found.older.items(), reverse=True)
            if number
        ],
        missing=[models.Missing(what=what, why=why) for what, why in found.missing.items()],
    )


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
