"""Small plots without axes, as SVG paths. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 120, 28
PAD = 1.5  # leaves room for the width of the stroke


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparkline:
    """A line, the area below it, its last point, and a mark at the start of the growth.

    `mark` is None if the growth started before the first point. `first` and `last` are the end values.
    """

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
    values: Sequence[float | None], start: float | None, end: float, growth_start: float | None = None
) -> Sparkline | None:
    """Return the plot of `values` at even times from `start` to `end`; None with fewer than two values.

    The y axis starts at zero, so that the slope is not exaggerated.
    """
    numbers = [value for value in values if value is not None]
    if len(numbers) < 2 or start is None:
        return None
    top = max(*numbers, 1.0)
    step = (WIDTH - 2 * PAD) / (len(values) - 1)
    points = [
        (round(PAD + i * step, 1), round(HEIGHT - PAD - value / top * (HEIGHT - 2 * PAD), 1))
        for i, value in enumerate(values)
        if value is not None
    ]
    line = " ".join(f"{x:g},{y:g}" for x, y in points)
    x, y = points[-1]
    mark = None
    if growth_start is not None and start < growth_start < end:
        mark = round(PAD + (growth_start - start) / (end - start) * (WIDTH - 2 * PAD), 1)
    bottom = HEIGHT - PAD
    return Sparkline(
        line=f"M{line}",
        area=f"M{points[0][0]:g},{bottom:g} {line} {x:g},{bottom:g}Z",
        x=x,
        y=y,
        mark=mark,
        first=numbers[0],
        last=numbers[-1],
    )
