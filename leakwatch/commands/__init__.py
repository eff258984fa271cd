"""The commands, grouped by what they are for, and what they share. Each imports what it needs when it runs."""

import math
from importlib import resources
from pathlib import Path

from leakwatch.errors import UsageError


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
