"""Stacks that grow on young services, before they are suspected. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from leakwatch.detect.columns import BLOCKS, FLOOR, MEAN, Floats, Mask
from leakwatch.detect.history import History
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Stack, Verdict
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.api.leaks import quoted
from leakwatch.web.api.models.types import valid_text

ROWS: Final = 10
LEAST: Final = 5.0
"""Goroutines that a stack has gained at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowingStack:
    """A stack of one target that has grown since the first block; `gained` in `seconds`."""

    target: str
    path: str
    """Path of the target's page, with the stack selected."""
    service: str
    stack: Stack
    goroutines: int
    gained: float
    seconds: float

    @property
    def per_hour(self) -> float:
        """Goroutines per hour."""
        return 3600 * self.gained / self.seconds


def growing_stacks(view: FleetView, service: str) -> list[GrowingStack]:
    """Return the stacks that have grown most on young services, without those of leaks and the suspected ones.

    A service is young until the process of one of its targets has been scraped for 24 blocks, the longest window
    without hours.
    `service`: restricts the result to one service, "" for all.
    """
    by_service: dict[str, list[TargetState]] = {}
    for target, state in view.pipeline.targets.items():
        if target in view.health and service in {"", valid_text(target.service)}:
            by_service.setdefault(target.service, []).append(state)
    listed = {
        (leak.service, stack.fingerprint)
        for leak in view.leaks
        for stack in (leak.stack, *(related.stack for related in leak.related))
    }
    rows = [
        row
        for states in by_service.values()
        if all(state.history.closed < BLOCKS for state in states)
        for state in states
        for row in _of_target(state)
        if (row.service, row.stack.fingerprint) not in listed
    ]
    return sorted(rows, key=lambda row: (-row.gained, row.target, row.stack.fingerprint))[:ROWS]


def _of_target(state: TargetState) -> Iterator[GrowingStack]:
    history, target = state.history, state.target
    columns = np.flatnonzero(history.blocks.scrapes)
    if not len(columns) or history.time is None:
        return
    first = history.blocks.values[MEAN][:, columns[0]]
    gained = history.last - first
    middle = history.block_start - (len(history.blocks.scrapes) - columns[0] - 0.5) * history.block
    for row in np.flatnonzero((gained >= LEAST) & _rises(history, first)).tolist():
        stack = history.stacks[row]
        judged = state.judged.get(stack.fingerprint) if stack else None
        if stack and not stack.site and (judged is None or judged.judgement.verdict is Verdict.NORMAL):
            yield GrowingStack(
                target=target.name,
                path=f"targets/{quoted(target.service)}/{quoted(target.name)}?q={stack.fingerprint}#stacks",
                service=target.service,
                stack=stack,
                goroutines=int(history.last[row]),
                gained=float(gained[row]),
                seconds=history.time - middle,
            )


def _rises(history: History, first: Floats) -> Mask:
    """Return whether the floor of each row rose in each block, and is above `first`, the mean of the first block.

    Load moves counts by more than many leaks, but seldom each floor.
    """
    floors = history.blocks.values[FLOOR][:, history.blocks.scrapes > 0]
    rose = (np.diff(floors, axis=1) > 0).all(axis=1)
    return np.asarray(rose & (floors[:, -1] > first) & (history.last >= floors[:, -1]), np.bool_)
