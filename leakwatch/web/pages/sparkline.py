"""Small plots without axes, as paths of SVG. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 120, 28
PAD = 1.5  # so that the stroke is not cut


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A line, the area beneath it, its last point, and where along it something began (None if before it)."""

    line: str
    area: str
    x: float
    y: float
    mark: float | None
    first: float
    last: float
    width: int = WIDTH
    height: int = HEIGHT


def sparkline(
    values: Sequence[float | None], start: float | None, end: float, began: float | None = None
) -> Sparkline | None:
    """Return the plot of `values` at even times from `start` to `end`; None if there are less than two.

    It begins at zero, so that a slope looks as steep as it is.
    """
    known = [value for value in values if value is not None]
    if len(known) < 2 or start is None:
        return None
    top = max(*known, 1.0)
    step = (WIDTH - 2 * PAD) / (len(values) - 1)
    points = [
        (round(PAD + i * step, 1), round(HEIGHT - PAD - value / top * (HEIGHT - 2 * PAD), 1))
        for i, value in enumerate(values)
        if value is not None
    ]
    line = " ".join(f"{x:g},{y:g}" for x, y in points)
    x, y = points[-1]
    mark = None
    if began is not None and start < began < end:
        mark = round(PAD + (began - start) / (end - start) * (WIDTH - 2 * PAD), 1)
    bottom = HEIGHT - PAD
    return Sparkline(
        f"M{line}", f"M{points[0][0]:g},{bottom:g} {line} {x:g},{bottom:g}Z", x, y, mark, known[0], known[-1]
    )
