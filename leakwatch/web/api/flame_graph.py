"""Profiles and differences of profiles as flame graphs, in the format of d3-flame-graph. Pure."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from leakwatch.detect.trend import slopes
from leakwatch.model import Frame
from leakwatch.profile.diff import compare
from leakwatch.profile.stacks import Identifier
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.api.models.targets import FlameGraph, FlameNode
from leakwatch.web.api.models.types import valid_text
from leakwatch.web.api.snapshots import ProfileSnapshot
from leakwatch.web.api.targets import find

STACKS: Final = 1000
"""The largest stacks of a profile that a graph shows."""
DEEPEST: Final = 60
"""Frames of a stack; the middle frames of a deeper stack become one."""
CUT: Final = Frame("…")


@dataclass(slots=True, kw_only=True)
class CallNode:
    """A call of a function from one caller."""

    own: bool = False
    value: int = 0
    growth: float = 0.0
    children: dict[str, "CallNode"] = field(default_factory=dict)

    def model(self, name: str) -> FlameNode:
        """Return the call and all calls below it, largest first."""
        largest = sorted(self.children.items(), key=lambda item: (-item[1].value, item[0]))
        children = [call.model(function) for function, call in largest]
        return FlameNode(
            name=name, value=self.value, growth=round(self.growth, 3), own=self.own, children=children
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTree:
    """All calls of a profile. `model` takes long but reads no shared state, so a thread may run it."""

    service: str
    target: str
    scraped_at: float | None
    left_out: int
    root: CallNode
    since: float | None = None

    def model(self) -> FlameGraph:
        """Return the flame graph."""
        return FlameGraph(
            service=self.service,
            target=self.target,
            scraped_at=self.scraped_at,
            since=self.since,
            left_out=self.left_out,
            root=self.root.model(f"{valid_text(self.service)} {valid_text(self.target)}"),
        )


def call_tree(view: FleetView, path: str) -> CallTree:
    """Return the calls in the latest profile of the target at `path`, service/name; raise NotFoundError."""
    target, _ = find(view, path)
    state = view.pipeline.targets.get(target)
    root, total, scraped_at = CallNode(), 0, None
    if state is not None:
        history = state.history
        growth = 3600 * slopes(history)
        total = int(history.last.sum()) + history.folded
        scraped_at = None if history.time is None else view.wall(history.time)
        largest = np.argsort(-history.last, kind="stable")[:STACKS].tolist()
        for row in largest:
            stack, count = history.stacks[row], int(history.last[row])
            if stack is not None and count:
                _add(root, view.pipeline.identifier, stack.frames, count, float(growth[row]))
    left_out = total - root.value
    return CallTree(
        service=target.service, target=target.name, scraped_at=scraped_at, left_out=left_out, root=root
    )


def change_tree(view: FleetView, before: ProfileSnapshot, after: ProfileSnapshot) -> CallTree:
    """Return the calls in a later profile, with the change of their goroutines since an earlier one.

    A call that has ended has a change and no goroutines. Times are as in the snapshots.
    """
    changes = sorted(compare(before.samples, after.samples), key=lambda change: -max(change.old, change.new))
    root = CallNode()
    for change in changes[:STACKS]:
        _add(root, view.pipeline.identifier, change.stack.frames, change.new, float(change.change))
    left_out = after.total - root.value
    return CallTree(
        service=after.target.service,
        target=after.target.name,
        scraped_at=after.time,
        since=before.time,
        left_out=left_out,
        root=root,
    )


def _add(root: CallNode, identifier: Identifier, frames: tuple[Frame, ...], count: int, growth: float) -> None:
    if len(frames) > DEEPEST:
        half = DEEPEST // 2
        frames = (*frames[:half], CUT, *frames[-half:])
    call = root
    call.value, call.growth = call.value + count, call.growth + growth
    for frame in reversed(frames):
        child = call.children.get(frame.function)
        if child is None:
            child = call.children[frame.function] = CallNode(own=identifier.is_own(frame))
        call = child
        call.value, call.growth = call.value + count, call.growth + growth
