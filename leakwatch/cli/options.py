"""The commands, grouped by what they are for, and what they share. Each imports what it needs when it runs."""

import math
from importlib import resources
from pathlib import Path

from leakwatch.errors import UsageError
from leakwatch.settings.units import parse_duration


def shipped(name: str) -> Path:
    """Return a file that comes with leakwatch, from an installed package or from the source tree."""
    installed = Path(str(resources.files("leakwatch"))) / "shipped" / name
    if installed.exists():
        return installed
    return Path(__file__).parents[2] / "deploy" / {"demo": "demo/service"}.get(name, f"prometheus/{name}")


def check_positive(option: str, value: float) -> None:
    """Raise UsageError for what is no number above 0."""
    if not 0 < value < math.inf:  # no comparison is true of nan
        raise UsageError(f"{option} {value:g}: must be a number greater than 0")


def check_share(option: str, value: float) -> None:
    """Raise UsageError for what is no share of a whole."""
    if not 0 < value <= 1:
        raise UsageError(f"{option} {value:g}: must be above 0 and at most 1")


def seconds(option: str, text: str) -> float:
    """Return the seconds of a duration that is longer than nothing; raises UsageError."""
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error
    check_positive(option, found)
    return found
