"""What a live table says of the stacks of a target."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from leakwatch.cli.leak_text import COLOURS
from leakwatch.cli.scrape_once import cut
from leakwatch.detect.trend import FEWEST, slopes
from leakwatch.leaks.target_state import TargetState
from leakwatch.leaks.wording import short_function
from leakwatch.model import Fingerprint, Frame, Stack, Verdict
from leakwatch.profile.escape import printable

__all__ = ["COLOURS", "Line", "Show", "lines", "signed", "table", "tenths"]

Show = Callable[[], None]
"""Shows what there is now."""


@dataclass(frozen=True, slots=True)
class Line:
    """One stack of a service: its goroutines now, its growth per second if it is known, what is thought of it."""

    service: str
    stack: Stack
    goroutines: int
    growth: float | None
    verdict: Verdict


def lines(state: TargetState) -> Iterator[Line]:
    """Yield what is known of each stack of a target."""
    history = state.history
    rising = slopes(history)
    known = np.count_nonzero(history.blocks.scrapes) >= FEWEST
    for row in history.rows.values():
        stack = history.stacks[row]
        if stack is None:
            continue
        judged = state.judged.get(stack.fingerprint)
        verdict = judged[1].verdict if judged else Verdict.NORMAL
        growth = judged[1].growth.rate if judged else float(rising[row]) if known else None
        yield Line(state.target.service, stack, int(history.last[row]), growth, verdict)


def tenths(rate: float) -> float:
    """Return `rate` as it is shown; never -0.0."""
    return round(rate, 1) + 0.0


def signed(growth: float | None, seconds: float = 1.0) -> str:
    """Return how much comes or goes in so many seconds; "" while that is not known."""
    return "" if growth is None else f"{tenths(seconds * growth):+.1f}"


def table(
    states: Iterable[TargetState],
    rows: int,
    *,
    by_count: bool = False,
    first: Mapping[Fingerprint, int] | None = None,
) -> Table:
    """Return the stacks that grow most, or the largest, of all targets; `rows`: how many.

    `first`: goroutines at first, to tell by how much each has changed since.
    """
    states = list(states)
    several = len(states) > 1
    before = first or {}
    found = [line for state in states for line in lines(state) if line.goroutines or line.verdict]
    found.sort(
        key=lambda line: (
            0.0 if by_count else line.growth or 0.0,
            0 if by_count or first is None else line.goroutines - before.get(line.stack.fingerprint, 0),
            line.goroutines,
        ),
        reverse=True,
    )
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("goroutines", *(["change"] if first is not None else []), "per min"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("verdict", "wait"):
        table.add_column(column, no_wrap=True)
    for column in (*(["service"] if several else []), "function"):
        table.add_column(column, overflow="ellipsis")  # these give way: what is in them is cut, not wrapped
    for line in found[:rows]:
        style = COLOURS.get(line.verdict, "")
        cells: list[str | Text] = [Text(str(line.goroutines), style)]
        if first is not None:
            cells.append(f"{line.goroutines - before.get(line.stack.fingerprint, 0):+d}")
        cells.append(signed(line.growth, 60))
        cells += [Text(line.verdict.word, style) if line.verdict else "", cut(line.stack.wait)]
        table.add_row(*cells, *([cut(line.service)] if several else []), _function(line.stack.blamed, style))
    return table


def _function(frame: Frame, style: str) -> Text:
    """Return the function of a frame and, dimmed, its file and line."""
    name = cut(frame.function, style)
    if frame.file:
        name.append(f"  {short_function(printable(frame.file))}:{frame.line}", "not bold dim")
    return name
