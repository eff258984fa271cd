"""Writes docs/images/judging.svg: python docs/source/judging.py [FILE].

Replays two days of two synthetic stacks, scraped every 15 s, through the daemon's pipeline, and draws the second
day from the blocks in leakwatch's history. The seed is fixed, so the picture is reproducible.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from leakwatch.detect.columns import BLOCKS_PER_HOUR, FLOOR, MEAN, TURNOVER
from leakwatch.leaks.model import Event
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Frame, Sample, Stack, Target
from leakwatch.pipeline import Pipeline
from leakwatch.profile.fingerprint import fingerprint_of

PICTURE = Path(__file__).parents[1] / "images" / "judging.svg"
HOUR, INTERVAL = 3600.0, 15.0
FIRST, LAST, BEGINS = 30.0, 44.0, 34.0
"""Hours since the start at midnight: the drawn range and the beginning of the leak."""
LEAK = 60.0
"""Goroutines per hour."""
WIDTH, HEIGHT, LEFT_EDGE, GAP, TOP, ROW = 380.0, 150.0, 52.0, 70.0, 66.0, 215.0
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1c1c1e } .dim { fill: #5b5b62; font-size: 11px }
.title { font-weight: 600 } .frame { stroke: #d9d9d6; fill: none } .page { fill: #fcfcfa }
.mean { stroke: #2b5c9e } .floor { stroke: #83838a } .left { stroke: #8a5a00 }
.mean, .floor, .left { fill: none; stroke-width: 1.6 } .mark { stroke-dasharray: 3 3; stroke: #5b5b62 }
.leaking { stroke: #b3261e; stroke-dasharray: none } text.red { fill: #b3261e; font-weight: 600; stroke: none }
@media (prefers-color-scheme: dark) {
text { fill: #e8eaed } .dim { fill: #a0a4aa } .frame { stroke: #3a3f45 } .page { fill: #14181b }
.mean { stroke: #7fb0ee } .floor { stroke: #8f959c } .left { stroke: #e0a94a } .mark { stroke: #a0a4aa }
.leaking { stroke: #ff7a6e } text.red { fill: #ff7a6e } }"""


@dataclass
class Kept:
    """The history of a stack: hour, mean, floor and departures per minute of each block, and its verdicts."""

    hours: list[float] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    verdicts: list[tuple[float, str]] = field(default_factory=list)


def play() -> Mapping[str, Kept]:
    """Return the histories of both stacks."""
    random = np.random.default_rng(7)
    pipeline, target = Pipeline(DetectionSettings()), Target("shop", "10.0.0.1:6060")
    stacks = {name: _stack(name) for name in ("busy", "leaking")}
    kept = {name: Kept() for name in stacks}
    leaked, blocks = 0, 0
    for scrape in range(int(LAST * HOUR / INTERVAL)):
        time = scrape * INTERVAL
        load = 1 - math.cos(2 * math.pi * (time / HOUR - 4) / 24)  # lowest at 04:00
        leaked += random.poisson(LEAK * INTERVAL / HOUR) if time >= BEGINS * HOUR else 0
        counts = {
            "busy": int(random.poisson(50 + 225 * load)),
            "leaking": int(random.poisson(20 + 20 * load)) + leaked,
        }
        samples = {stacks[name].fingerprint: Sample(stacks[name], count) for name, count in counts.items()}
        events = pipeline.observe(pipeline.add_target(target), time, sum(counts.values()), samples)
        for name, one in kept.items():
            _keep_verdicts(one, stacks[name], events)
        history = pipeline.targets[target].history
        if history.closed > blocks:
            blocks = history.closed
            for name, stack in stacks.items():
                column = history.blocks.values[:, history.rows[stack.fingerprint], -1]
                _keep_block(kept[name], time / HOUR, column.tolist())
    return kept


def _stack(name: str) -> Stack:
    frame = Frame(f"example.com/shop.{name}", "shop.go", 1)
    return Stack(
        fingerprint=fingerprint_of([frame.function]), frames=(frame,), blamed=frame, origin=frame.function, wait=""
    )


def _keep_verdicts(kept: Kept, stack: Stack, events: Sequence[Event]) -> None:
    for event in events:
        if event.leak.stack.fingerprint == stack.fingerprint:
            kept.verdicts.append((event.time / HOUR, event.leak.verdict.word))


def _keep_block(kept: Kept, hour: float, column: Sequence[float]) -> None:
    kept.hours.append(hour)
    kept.mean.append(column[MEAN])
    kept.floor.append(column[FLOOR])
    kept.left.append(column[TURNOVER] * 60 / INTERVAL)


class Panel:
    """A plot; `x` and `y`: its upper left corner, `most`: the maximum of its scale, `hours`: its range."""

    def __init__(self, x: float, y: float, most: float, hours: tuple[float, float] = (FIRST, LAST)) -> None:
        self.x, self.y, self.most, self.hours = x, y, most, hours
        self.parts = [f'<rect class="frame" x="{x:g}" y="{y:g}" width="{WIDTH:g}" height="{HEIGHT:g}"/>']
        for share in (0.0, 0.5, 1.0):
            self.text(x - 6, y + HEIGHT * (1 - share) + 4, f"{most * share:,.0f}", "dim", "end")
        for hour in range(int(hours[0]), int(hours[1]) + 1, 2):
            self.text(self._across(hour), y + HEIGHT + 15, f"{hour % 24:02}:00", "dim", "middle")

    def line(self, hours: Sequence[float], values: Sequence[float], style: str) -> None:
        """Draw one series."""
        points = " ".join(
            f"{self._across(hour):.1f},{self.y + HEIGHT * (1 - min(value / self.most, 1)):.1f}"
            for hour, value in zip(hours, values, strict=True)
            if hour >= self.hours[0]
        )
        self.parts.append(f'<polyline class="{style}" points="{points}"/>')

    def mark(self, hour: float, word: str, style: str, up: float) -> None:
        """Draw a vertical line at an hour, with a label `up` pixels above the frame."""
        x = self._across(hour)
        self.parts.append(
            f'<line class="mark {style}" x1="{x:.1f}" x2="{x:.1f}" y1="{self.y - up:g}" y2="{self.y + HEIGHT:g}"/>'
        )
        if word:
            self.text(x + 7, self.y - up + 10, word, "red" if style else "dim")

    def text(self, x: float, y: float, words: str, style: str = "", anchor: str = "start") -> None:
        """Write words."""
        self.parts.append(f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>')

    def _across(self, hour: float) -> float:
        first, last = self.hours
        return self.x + WIDTH * (hour - first) / (last - first)


def draw(kept: Mapping[str, Kept]) -> str:
    """Return the picture."""
    panels = []
    for column, (name, title) in enumerate(
        [
            ("busy", "A busy stack under rising load"),
            ("leaking", f"A stack that leaks {LEAK:g} goroutines per hour from 10:00"),
        ]
    ):
        one, x = kept[name], LEFT_EDGE + column * (WIDTH + GAP)
        count = Panel(x, TOP, 800)
        left = Panel(x, TOP + ROW, 2400)
        count.text(x, TOP - 46, title, "title")
        count.line(one.hours, one.floor, "floor")
        count.line(one.hours, one.mean, "mean")
        hourly = np.convolve(one.left, np.full(BLOCKS_PER_HOUR, 1 / BLOCKS_PER_HOUR))[: len(one.left)]
        left.line(one.hours, hourly.tolist(), "left")
        left.text(x, TOP + ROW - 8, "goroutines that left per minute (turnover), hourly mean", "dim")
        if name == "busy":
            count.text(x, TOP - 8, "goroutines: mean (blue) and floor (gray) of each block", "dim")
        else:
            count.mark(BEGINS, "", "", 0)
            left.mark(BEGINS, "", "", 0)
            count.text(x, TOP - 8, "goroutines", "dim")
        mark_verdicts(count, one.verdicts)
        panels += [*count.parts, *left.parts]
    width, height = LEFT_EDGE + 2 * WIDTH + GAP + 20, TOP + ROW + HEIGHT + 28
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}">'
    page = f'<rect class="page" width="{width:g}" height="{height:g}"/>'
    return "\n".join([head, f"<style>{STYLE}\n</style>", page, *panels, "</svg>"]) + "\n"


def mark_verdicts(panel: Panel, verdicts: Sequence[tuple[float, str]]) -> None:
    """Mark the first time of each verdict."""
    for up, word in enumerate(dict.fromkeys(word for _, word in verdicts), 1):
        hour = next(hour for hour, that in verdicts if that == word)
        if hour >= panel.hours[0]:
            said = f"{word} {int(hour) % 24:02}:{int(hour * 60) % 60:02}"
            panel.mark(hour, said, "leaking" * (word == "leaking"), 14 * up)


if __name__ == "__main__":
    (Path(sys.argv[1]) if sys.argv[1:] else PICTURE).write_text(draw(play()), encoding="utf-8")
