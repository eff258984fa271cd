"""Finds a finalizer or cleanup that never returns. Pure.

Go runs all finalizers in one goroutine, which is in the profile only while it runs code of the program. If one of
them blocks, no finalizer can run, and the memory and files that other finalizers would free are kept. So one
goroutine is enough for a verdict.
"""

from typing import Final

import numpy as np

from leakwatch.detect.columns import FLOOR
from leakwatch.detect.history import History
from leakwatch.model import NO_GROWTH, JudgedStack, JudgedStacks, Judgement, Stack, Verdict

ROOTS: Final = ("runtime.runFinalizers", "runtime.runfinq", "runtime.runCleanups")
"""Functions that run finalizers (since Go 1.25; before Go 1.25) and cleanups (since Go 1.24)."""
STUCK: Final = 3  # blocks, 15 minutes by default: a finalizer that waits for a slow disk or peer is not stuck
WINDOW: Final = "finalizer"


def stuck_finalizers(history: History) -> JudgedStacks:
    """Return the stacks of finalizers that were in every scrape of the last STUCK blocks."""
    judged = {}
    for row in history.rows.values():
        stack = history.stacks[row]
        if stack is not None and is_finalizer(stack) and (blocks := _blocks_present(history, row)) >= STUCK:
            begin = history.block_start - blocks * history.block
            judged[stack.fingerprint] = JudgedStack(stack, _judgement(begin, int(history.last[row])))
    return judged


def is_finalizer(stack: Stack) -> bool:
    """Return whether a stack is a finalizer or a cleanup that runs code of the program, and waits there."""
    return stack.frames[-1].function.startswith(ROOTS) and len(stack.frames) > 1 and stack.wait != "runnable"


def _blocks_present(history: History, row: int) -> int:
    """Return the number of latest blocks in each scrape of which the stack had a goroutine."""
    floors, scrapes = history.blocks.values[FLOOR, row], history.blocks.scrapes
    absent = np.flatnonzero((floors < 1) | (scrapes == 0))
    return int(len(floors) - 1 - absent[-1]) if len(absent) else len(floors)


def _judgement(begin: float, goroutines: int) -> Judgement:
    return Judgement(
        verdict=Verdict.LEAKING,
        score=1.0,
        window=WINDOW,
        growth=NO_GROWTH,
        confidence=1.0,
        first_seen=begin,
        since=begin,
        goroutines=goroutines,
        grew=NO_GROWTH,
        before=0.0,
        gained=float(goroutines),
        left=None,
        rose=begin,
    )
