"""The picture of a soak run."""

from collections.abc import Sequence

from tests.soak.samples import Sample
from tests.soak.verdict import rates

WIDTH, HEIGHT, LEFT, GAP, TOP, ROW = 380.0, 120.0, 52.0, 70.0, 34.0, 180.0
POINTS = 200
"""Largest number of points of a line, each the maximum of its samples."""
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1c1c1e } .dim { fill: #5b5b62; font-size: 11px }
.frame { stroke: #d9d9d6; fill: none } .page { fill: #fcfcfa } polyline { fill: none; stroke-width: 1.4 }
.first { stroke: #2b5c9e } .second { stroke: #8a5a00 }
@media (prefers-color-scheme: dark) {
text { fill: #e8eaed } .dim { fill: #a0a4aa } .frame { stroke: #3a3f45 } .page { fill: #14181b }
.first { stroke: #7fb0ee } .second { stroke: #e0a94a } }"""

Line = tuple[str, Sequence[float]]
"""Style and values of a line, in equal steps of time."""


def thinned(values: Sequence[float]) -> list[float]:
    """Return at most POINTS maxima of consecutive values."""
    step = -(-len(values) // POINTS)
    return [max(values[start : start + step]) for start in range(0, len(values), step)]


def panel(x: float, y: float, title: str, minutes: float, lines: Sequence[Line]) -> list[str]:
    """Return the elements of one plot, with its upper left corner at x and y."""
    most = max(max(values) for _, values in lines) or 1.0
    parts = [
        f'<text x="{x:g}" y="{y - 10:g}">{title}</text>',
        f'<rect class="frame" x="{x:g}" y="{y:g}" width="{WIDTH:g}" height="{HEIGHT:g}"/>',
    ]
    for share in (0.0, 0.5, 1.0):
        below, label = y + HEIGHT * (1 - share) + 4, f"{most * share:,.3g}"
        parts.append(f'<text class="dim" x="{x - 6:g}" y="{below:g}" text-anchor="end">{label}</text>')
        parts.append(
            f'<text class="dim" x="{x + WIDTH * share:g}" y="{y + HEIGHT + 15:g}" text-anchor="middle">'
            f"{minutes * share:.0f} min</text>"
        )
    for style, values in lines:
        heights = thinned(values)
        step = WIDTH / max(len(heights) - 1, 1)
        points = " ".join(
            f"{x + i * step:.1f},{y + HEIGHT * (1 - height / most):.1f}" for i, height in enumerate(heights)
        )
        parts.append(f'<polyline class="{style}" points="{points}"/>')
    return parts


def draw(samples: Sequence[Sample]) -> str:
    """Return the picture, as SVG."""
    minutes = samples[-1].time / 60
    plots: list[tuple[str, Sequence[Line]]] = [
        ("Resident memory, MiB", [("first", [sample.resident / 2**20 for sample in samples])]),
        (
            "File descriptors (blue) and tasks (brown)",
            [("first", [sample.files for sample in samples]), ("second", [sample.tasks for sample in samples])],
        ),
        ("/-/healthy, ms", [("first", [1000 * sample.health for sample in samples])]),
        ("Lag of the event loop, % of the time", [("first", [100 * r for r in rates(samples, _lag)])]),
        (
            "Scrapes per second: healthy (blue), other (brown)",
            [("first", rates(samples, _scrapes)), ("second", rates(samples, _other_scrapes))],
        ),
        ("Use of a core, %", [("first", [100 * r for r in rates(samples, _cpu)])]),
    ]
    parts = []
    for number, (title, lines) in enumerate(plots):
        row, column = divmod(number, 2)
        parts += panel(LEFT + column * (WIDTH + GAP), TOP + row * ROW, title, minutes, lines)
    width, height = LEFT + 2 * WIDTH + GAP + 24, TOP + 3 * ROW
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}">'
    page = f'<rect class="page" width="{width:g}" height="{height:g}"/>'
    return "\n".join([head, f"<style>{STYLE}\n</style>", page, *parts, "</svg>"]) + "\n"


def _lag(sample: Sample) -> float:
    return sample.lag


def _scrapes(sample: Sample) -> float:
    return sample.scrapes


def _other_scrapes(sample: Sample) -> float:
    return sample.other_scrapes


def _cpu(sample: Sample) -> float:
    return sample.cpu
