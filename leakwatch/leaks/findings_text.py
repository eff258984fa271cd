"""Says in plain sentences what closer looks told of a leak. Pure."""

from leakwatch.model import Findings
from leakwatch.profile.wait_times import ages
from leakwatch.settings.units import format_duration


def how_long(findings: Findings) -> str:
    """Return how long the goroutines have waited, as a dump says or else as the counts prove; "" if unknown."""
    known = ages(findings.waiting) if findings.waiting else None
    if known and known.oldest is not None:
        half = "" if known.median is None else f", half of them {_minutes(known.median)} or longer"
        return f"The oldest has waited for {_minutes(known.oldest)}{half}."
    if not findings.older:
        return ""
    seconds, goroutines = max(findings.older.items())
    return f"At least {goroutines:,} of them are older than {format_duration(seconds)}."


def started_by(findings: Findings) -> str:
    """Return who created most of the goroutines, as a full dump says; "" if unknown."""
    if not findings.waiting or not findings.waiting.creators:
        return ""
    frame = next(iter(findings.waiting.creators))
    place = f" at {frame.file}:{frame.line}" if frame.file else ""
    return f"Created by {frame.function}{place}."


def unknown(findings: Findings) -> str:
    """Return what could not be learned and why; "" where nothing is missing."""
    return "; ".join(f"{what}: {why}" for what, why in sorted(findings.missing.items()))


def _minutes(minutes: int) -> str:
    return format_duration(60 * minutes)
