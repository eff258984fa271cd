"""Live table of the stacks of some targets."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from leakwatch.cli.leak_text import COLOURS
from leakwatch.cli.terminal import short_cell
from leakwatch.detect.trend import MIN_POINTS, slopes
from leakwatch.leaks.target_state import TargetState
from leakwatch.leaks.wording import file_and_line, short_function
from leakwatch.model import Fingerprint, Frame, Stack, Verdict
from leakwatch.profile.escape import printable

__all__ = ["COLOURS", "Refresh", "StackLine", "signed", "stack_lines", "stack_table", "tenths"]

Refresh = Callable[[], None]
"""Redraws a live display."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackLine:
    """One stack of a target; `growth` in goroutines per second, None until it is known."""

    service: str
    stack: Stack
    goroutines: int
    growth: float | None
    verdict: Verdict


def stack_lines(state: TargetState) -> Iterator[StackLine]:
    """Yield a line for each stack of a target."""
    history = state.history
    rising = slopes(history)
    has_slopes = np.count_nonzero(history.blocks.scrapes) >= MIN_POINTS
    for row in history.rows.values():
        stack = history.stacks[row]
        if stack is None:
            continue
        judged = state.judged.get(stack.fingerprint)
        slope = float(rising[row]) if has_slopes else None
        yield StackLine(
            service=state.target.service,
            stack=stack,
            goroutines=int(history.last[row]),
            growth=judged.judgement.growth.rate if judged else slope,
            verdict=judged.judgement.verdict if judged else Verdict.NORMAL,
        )


def tenths(rate: float) -> float:
    """Return `rate` rounded to one decimal, never -0.0."""
    return round(rate, 1) + 0.0


def signed(growth: float | None, seconds: float = 1.0) -> str:
    """Return the growth per `seconds`, with its sign; "" if it is unknown."""
    return "" if growth is None else f"{tenths(seconds * growth):+.1f}"


def stack_table(
    states: Iterable[TargetState],
    rows: int,
    *,
    by_count: bool = False,
    first: Mapping[Fingerprint, int] | None = None,
) -> Table:
    """Return a table of the `rows` stacks that grow most, or are largest, over all targets.

    `first`: the counts at the start, for a column with the change since then.
    """
    states = list(states)
    before = first or {}
    lines = [line for state in states for line in stack_lines(state) if line.goroutines or line.verdict]
    lines.sort(
        key=lambda line: (
            0.0 if by_count else line.growth or 0.0,
            0 if by_count or first is None else line.goroutines - before.get(line.stack.fingerprint, 0),
            line.goroutines,
        ),
        reverse=True,
    )
    several = len(states) > 1
    table = _empty_table(with_change=first is not None, with_service=several)
    for line in lines[:rows]:
        style = COLOURS.get(line.verdict, "")
        cells: list[str | Text] = [Text(str(line.goroutines), style)]
        if first is not None:
            cells.append(f"{line.goroutines - before.get(line.stack.fingerprint, 0):+d}")
        cells.append(signed(line.growth, 60))
        cells += [Text(line.verdict.word, style) if line.verdict else "", short_cell(line.stack.wait)]
        table.add_row(
            *cells, *([short_cell(line.service)] if several else []), _function(line.stack.blamed, style)
        )
    return table


def _empty_table(*, with_change: bool, with_service: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("goroutines", *(["change"] if with_change else []), "per min"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("verdict", "wait"):
        table.add_column(column, no_wrap=True)
    for column in (*(["service"] if with_service else []), "function"):
        table.add_column(column, overflow="ellipsis")  # a narrow terminal cuts these columns
    return table


def _function(frame: Frame, style: str) -> Text:
    """Return the function of a frame and, dimmed, its file and line."""
    cell = short_cell(frame.function, style)
    if frame.file:
        cell.append(f"  {short_function(printable(file_and_line(frame)))}", "not bold dim")
    return cell
