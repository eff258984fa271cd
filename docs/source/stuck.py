"""Writes docs/images/stuck.svg: python docs/source/stuck.py [FILE].

Replays a pool that fills with working goroutines, and a leak in a busy stack, through the daemon's pipeline with
full dumps, and draws their counts and their stuck goroutines. The seed is fixed, so the picture is reproducible.
"""

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from judging import GAP, HEIGHT, HOUR, LEFT_EDGE, STYLE, TOP, WIDTH, Panel, mark_verdicts

from leakwatch.detect.dumped import UNKNOWN, DumpedStack
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Frame, Sample, Stack, Target
from leakwatch.pipeline import Pipeline
from leakwatch.profile.fingerprint import fingerprint_of

PICTURE = Path(__file__).parents[1] / "images" / "stuck.svg"
INTERVAL = 60.0
FIRST, LAST, BEGINS = 6.0, 16.0, 10.0
"""Hours since midnight: the drawn range, and the beginning of the leak and of the pool."""
RATE = 60.0
"""Goroutines per hour, of the leak and of the pool."""
UPTIME = 48 * HOUR
"""At midnight, of the leaking process. That of the pool starts then."""
REST = 500
"""Goroutines of another stack, which do not change."""


@dataclass
class Played:
    """A stack over time: counts by hour, stuck goroutines by hour of their full dump, and verdicts."""

    hours: list[float] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    dumped: list[float] = field(default_factory=list)
    stuck: list[float] = field(default_factory=list)
    verdicts: list[tuple[float, str]] = field(default_factory=list)


def play(end: float, *, works: bool, load: float, uptime: float) -> Played:
    """Return a stack that gains goroutines until `end`, beside `load` short-lived ones.

    `works`: whether they run each minute; `uptime`: of the process at midnight.
    """
    random, played = np.random.default_rng(5), Played()
    pipeline, target = Pipeline(DetectionSettings()), Target("shop", "10.0.0.1:6060")
    stack, rest = _stack("handle"), _stack("rest")
    births = np.cumsum(random.exponential(HOUR / RATE, int(RATE * (end - BEGINS)))) + BEGINS * HOUR
    state = pipeline.add_target(target)
    for time in np.arange(0, LAST * HOUR, INTERVAL).tolist():
        swing = 1 - 0.8 * math.cos(2 * math.pi * (time / HOUR - 4) / 24)
        ages = time - births[births <= time]
        count = len(ages) + int(random.poisson(load * swing))
        samples = {stack.fingerprint: Sample(stack, count), rest.fingerprint: Sample(rest, REST)}
        events = pipeline.observe(state, time, count + REST, samples)
        if pipeline.wants_dump(state, time):
            waits = (ages % 60 if works else ages) // 60
            minutes = np.append(np.where(waits < 1, UNKNOWN, waits), (time + uptime) // 60).astype(np.int64)
            dump = DumpedStack(
                np.append(np.arange(len(ages)) + 100, 1), minutes, np.zeros(len(ages) + 1, np.int64)
            )
            events += pipeline.observe_dump(state, time, {stack.fingerprint: dump})
            played.dumped.append(time / HOUR)
            played.stuck.append(float((minutes[:-1] >= 5).sum()))
        played.hours.append(time / HOUR)
        played.counts.append(count)
        played.verdicts += [(event.time / HOUR, event.leak.verdict.word) for event in events]
    return played


def _stack(name: str) -> Stack:
    frame = Frame(f"example.com/shop.{name}", "shop.go", 1)
    return Stack(
        fingerprint=fingerprint_of([frame.function]),
        frames=(frame,),
        blamed=frame,
        origin=frame.function,
        wait="chan send",
    )


def draw() -> str:
    """Return the picture."""
    parts = []
    pool, leak = play(13, works=True, load=0, uptime=0), play(LAST, works=False, load=200, uptime=UPTIME)
    for column, (title, most, played) in enumerate(
        [
            ("A pool that gains 60 workers per hour from 10:00 to 13:00", 400.0, pool),
            ("A leak of 60 per hour from 10:00 in a busy stack", 800.0, leak),
        ]
    ):
        panel = Panel(LEFT_EDGE + column * (WIDTH + GAP), TOP, most, (FIRST, LAST))
        panel.text(panel.x, TOP - 46, title, "title")
        panel.text(panel.x, TOP - 28, "goroutines (blue), and those stuck for 5 minutes (brown)", "dim")
        panel.mark(BEGINS, "", "", 0)
        panel.line(played.hours, played.counts, "mean")
        panel.line(played.dumped, played.stuck, "left")
        mark_verdicts(panel, played.verdicts)
        parts += panel.parts
    width, height = LEFT_EDGE + 2 * WIDTH + GAP + 20, TOP + HEIGHT + 28
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}">'
    page = f'<rect class="page" width="{width:g}" height="{height:g}"/>'
    return "\n".join([head, f"<style>{STYLE}\n</style>", page, *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    (Path(sys.argv[1]) if sys.argv[1:] else PICTURE).write_text(draw(), encoding="utf-8")
