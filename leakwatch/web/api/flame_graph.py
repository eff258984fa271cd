"""The latest profile of a target as a flame graph: calls beneath calls, as d3-flame-graph takes them. Pure."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from leakwatch.detect.trend import slopes
from leakwatch.model import Frame
from leakwatch.web.api.models.targets import Flame, FlameGraph
from leakwatch.web.api.models.types import whole
from leakwatch.web.api.state import AppState
from leakwatch.web.api.targets import find

STACKS: Final = 1000  # with the most goroutines, or the fastest
DEEPEST: Final = 60  # frames; of a deeper stack those in the middle are one
CUT: Final = Frame("…")


@dataclass(slots=True)
class Call:
    """One function called from one place."""

    own: bool = False
    value: int = 0
    growth: float = 0.0
    children: dict[str, "Call"] = field(default_factory=dict)

    def model(self, name: str) -> Flame:
        """Return it and all beneath it, the largest first."""
        largest = sorted(self.children.items(), key=lambda item: (-item[1].value, item[0]))
        below = [call.model(function) for function, call in largest]
        return Flame(name=name, value=self.value, growth=round(self.growth, 3), own=self.own, children=below)


@dataclass(frozen=True, slots=True)
class Calls:
    """All calls of a profile; to make a model of them takes long, and needs nothing of what changes meanwhile."""

    service: str
    target: str
    scraped_at: float | None
    left_out: int
    root: Call

    def model(self) -> FlameGraph:
        """Return the graph."""
        return FlameGraph(
            service=self.service,
            target=self.target,
            scraped_at=self.scraped_at,
            left_out=self.left_out,
            root=self.root.model(f"{whole(self.service)} {whole(self.target)}"),
        )


def flame_graph(source: AppState, path: str, stacks: int = STACKS) -> FlameGraph:
    """Return the latest profile of the target at `path`, service/name; raises NotFoundError."""
    return calls(source, path, stacks).model()


def calls(source: AppState, path: str, stacks: int = STACKS) -> Calls:
    """Return the calls in the latest profile of the target at `path`, service/name; raises NotFoundError."""
    target, _ = find(source, path)
    state = source.pipeline.targets.get(target)
    root, total = Call(), 0
    if state is not None:
        history = state.history
        slope = 3600 * slopes(history)
        total = int(history.last.sum()) + history.folded
        order = np.argsort(-history.last, kind="stable")[:stacks].tolist()
        for row in order:
            stack, count = history.stacks[row], int(history.last[row])
            if stack is not None and count:
                _add(root, source, stack.frames, count, float(slope[row]))
    scraped_at = source.wall(state.history.time) if state and state.history.time is not None else None
    return Calls(target.service, target.name, scraped_at, total - root.value, root)


def _add(root: Call, source: AppState, frames: tuple[Frame, ...], count: int, growth: float) -> None:
    if len(frames) > DEEPEST:
        half = DEEPEST // 2
        frames = (*frames[:half], CUT, *frames[-half:])
    call = root
    call.value, call.growth = call.value + count, call.growth + growth
    for frame in reversed(frames):
        below = call.children.get(frame.function)
        if below is None:
            below = call.children[frame.function] = Call(own=source.pipeline.is_own(frame))
        call = below
        call.value, call.growth = call.value + count, call.growth + growth
