"""Measures the cost of recording and judging 100,000 series of 1,000 targets in one process.

    python benchmarks/cost/history.py [--targets 1000] [--series 100] [--leaking 0.01]

Plays a little more than three hours of scrapes of a busy target through histories and detectors of `--targets`
targets. A share `--leaking` of the series gains 60 per hour. Prints the time per round of scrapes, per block
and per hour, and the bytes per series.
"""

import argparse
import time

import numpy as np

from leakwatch.detect.columns import BLOCKS_PER_HOUR
from leakwatch.detect.daily import DailyScorer
from leakwatch.detect.detector import Detector
from leakwatch.detect.growth import score_blocks
from leakwatch.detect.history import History
from leakwatch.model import Fingerprint, Frame, Sample, Stack

INTERVAL = 15.0
SCRAPES = 20  # per block


def stack(number: int) -> Stack:
    """Return a stack; all targets have the same stacks."""
    frame = Frame(f"main.f{number}", "/src/main.go", number)
    return Stack(
        fingerprint=Fingerprint(f"{number:016x}"),
        frames=(frame,),
        blamed=frame,
        origin=f"main.go{number}",
        wait="",
    )


def size(history: History) -> int:
    """Return the bytes of a history's arrays."""
    arrays = (history.blocks.values, history.hours.values, history.known_drop, history.last, history.origins)
    return sum(array.nbytes for array in arrays) + history.last.nbytes * 8  # and the open block's sums


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--targets", type=int, default=1000)
    arguments.add_argument("--series", type=int, default=100)
    arguments.add_argument("--leaking", type=float, default=0.01)
    given = arguments.parse_args()
    rng = np.random.default_rng(1)
    stacks = [stack(number) for number in range(given.series)]
    targets: list[tuple[History, Detector[History]]] = [
        (History(SCRAPES * INTERVAL), Detector(score_blocks, DailyScorer().score_hours))
        for _ in range(given.targets)
    ]
    level = np.where(np.arange(given.series) % 5 == 0, 20, 0)
    leaks = np.arange(given.series) < given.leaking * given.series
    recording: list[float] = []
    blocks: list[float] = []
    hours: list[float] = []
    for i in range(38 * SCRAPES):
        now = i * INTERVAL
        counts = rng.poisson(level) + 3 + leaks * int(now / 60)
        samples = {s.fingerprint: Sample(s, int(n)) for s, n in zip(stacks, counts, strict=True)}
        begin = time.perf_counter()
        due = [pair for pair in targets if pair[0].record(now, samples)]
        between = time.perf_counter()
        for history, detector in due:
            detector.judge(history)
        if due:
            whole = due[0][0].closed % BLOCKS_PER_HOUR == 0
            (hours if whole else blocks).append(time.perf_counter() - between)
        else:
            recording.append(between - begin)
    total = given.targets * given.series
    cases = sum(len(detector.cases) for _, detector in targets)
    print("| series | suspected | a round of scrapes | a block judged | an hour judged | bytes per series |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {total:,} | {cases:,} | {1000 * np.median(recording):.0f} ms | {blocks[-1]:.2f} s | {hours[-1]:.2f} s"
        f" | {size(targets[0][0]) / len(targets[0][0].stacks):,.0f} |"
    )


if __name__ == "__main__":
    main()
