"""Measures whether the load of a service, as a covariate, would find leaks sooner than its counts alone.

    python benchmarks/detection/covariate.py [--seed 500] [--traces 40]

A service reports its load in /metrics, for example the goroutines created since Go 1.26. This is the best case:
the load of each stack is known exactly, although a service has one load and many stacks. In each window of 2 and 8
hours, count = a + b load + c time is fitted to the means of blocks of 5 minutes. The residuals of neighbouring
blocks are correlated, which the error of c takes into account. An alarm needs growth c T of at least the minimum
growth of the windows C and SIGMAS of its errors, for three blocks in a row. The tables of docs/detection.md have
the results of leakwatch for the same kinds.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import kinds
import numpy as np
from scenarios import Length, Traces, make
from scene import HOUR, Floats, Scene

BLOCK: Final = 300.0  # seconds
INTERVAL: Final = 60.0
WINDOWS: Final = ((24, 30.0), (96, 12.0))
"""Blocks of a window, and its minimum growth: those of C2 and C8."""
SIGMAS: Final = 6.0
IN_A_ROW: Final = 3
HEALTHY: Final = (
    "steady busy", "diurnal short", "diurnal long", "keep-alive", "slow dependency", "step up", "staircase",
    "drifting dependency",
)  # fmt: skip
LEAKS: Final = ("in a busy stack", "in a diurnal stack", "proportional to load", "in long connections")
RATES: Final = (10.0, 60.0, 1000.0)


@contextmanager
def recorded() -> Iterator[list[Floats]]:
    """Record the loads that kinds draw, while they make traces. HEALTHY and LEAKS draw one for each process."""
    loads: list[Floats] = []
    originals = {name: getattr(kinds, name) for name in ("daily", "noise")}

    def recording(draw: Callable[..., Floats]) -> Callable[..., Floats]:
        def drawn(scene: Scene, *parameters: float) -> Floats:
            loads.append(draw(scene, *parameters))
            return loads[-1]

        return drawn

    try:
        for name, draw in originals.items():
            setattr(kinds, name, recording(draw))
        yield loads
    finally:
        for name, draw in originals.items():
            setattr(kinds, name, draw)


def alarms(counts: Floats, load: Floats) -> list[list[int]]:
    """Return the blocks in which each row goes into alarm; both have shape (blocks, rows)."""
    hits = np.zeros(counts.shape, np.bool_)
    for blocks, min_growth in WINDOWS:
        time = np.linspace(-0.5, 0.5, blocks)
        for end in range(blocks, len(counts) + 1):
            window = slice(end - blocks, end)
            growth, error = trends(counts[window], load[window], time)
            hits[end - 1] |= (growth >= min_growth) & (growth >= SIGMAS * error)
    held = np.asarray(np.lib.stride_tricks.sliding_window_view(hits, IN_A_ROW, axis=0).all(axis=2))
    begins = held & ~np.concatenate([np.zeros((1, held.shape[1]), np.bool_), held[:-1]])
    return [(np.flatnonzero(begins[:, row]) + IN_A_ROW - 1).tolist() for row in range(counts.shape[1])]


def trends(counts: Floats, load: Floats, time: Floats) -> tuple[Floats, Floats]:
    """Return the growth of each row that load does not explain, over the window, and its standard error."""
    y, x = counts - counts.mean(axis=0), load - load.mean(axis=0)
    t = np.broadcast_to((time - time.mean())[:, None], y.shape)
    xx, tt, xt = (x * x).sum(axis=0), (t * t).sum(axis=0), (x * t).sum(axis=0)
    xy, ty = (x * y).sum(axis=0), (t * y).sum(axis=0)
    determinant = np.maximum(xx * tt - xt * xt, 1e-12)
    slope, on_load = (xx * ty - xt * xy) / determinant, (tt * xy - xt * ty) / determinant
    rest = y - on_load * x - slope * t
    variance = (rest * rest).sum(axis=0) / (len(y) - 3)
    again = np.clip((rest[1:] * rest[:-1]).sum(axis=0) / np.maximum((rest * rest).sum(axis=0), 1e-12), 0.0, 0.9)
    return slope, np.sqrt(variance * xx / determinant * (1 + again) / (1 - again))


def by_block(values: Floats) -> Floats:
    """Return the means of blocks."""
    size = int(BLOCK / INTERVAL)
    return np.asarray(values[: len(values) // size * size].reshape(-1, size, values.shape[1]).mean(axis=1))


def played(name: str, length: Length, rate: float = 0.0) -> tuple[list[list[int]], Floats]:
    """Return the alarms of the traces of one kind, and their onsets in blocks."""
    found: list[list[int]] = []
    onsets: list[Floats] = []
    with recorded() as loads:
        traces: list[Traces] = make(name, length, rate)
    for trace, load in zip(traces, loads, strict=True):
        found += alarms(by_block(trace.counts.astype(np.float64)), by_block(load))
        onsets.append(trace.onset / BLOCK)
    return found, np.concatenate(onsets)


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=500)
    parser.add_argument("--traces", type=int, default=40)
    given = parser.parse_args()
    length = Length(given.seed, given.traces, interval=INTERVAL)
    print("| healthy stack | false alarms per stack and day |\n|---|---|")
    for name in HEALTHY:
        found, _ = played(name, length)
        print(f"| {name} | {sum(map(len, found)) / (given.traces * length.hours / 24):.2f} |")
    print("\n| leak | rate | found | median hours | already in alarm before |\n|---|---|---|---|---|")
    for name in LEAKS:
        for rate in RATES:
            found, onsets = played(name, length, rate)
            first = [
                min((at - onset for at in row if at >= onset), default=np.inf)
                for row, onset in zip(found, onsets, strict=True)
            ]
            hours = np.array(first) * BLOCK / HOUR
            before = np.mean([any(at < onset for at in row) for row, onset in zip(found, onsets, strict=True)])
            median = f"{np.median(hours):.1f}" if np.median(hours) < np.inf else "-"
            print(f"| {name} | {rate:g}/h | {np.isfinite(hours).mean():.0%} | {median} | {before:.0%} |")


if __name__ == "__main__":
    main()
