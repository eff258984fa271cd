"""Table of the stacks of one profile, for `leakwatch scrape`."""

from collections.abc import Callable, Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from leakwatch.causes.normal.stacks import is_normal
from leakwatch.cli import terminal
from leakwatch.cli.terminal import short_cell, styled, with_position
from leakwatch.leaks.wording import file_and_line, short_function
from leakwatch.model import Frame, Waiting
from leakwatch.profile.grouping import KEYS, GroupBy, Row, Waitings
from leakwatch.profile.proven import Proven
from leakwatch.profile.wait_times import ages
from leakwatch.settings.units import format_duration

RIGHT = {"goroutines", "proven", "stacks", "oldest", "median"}
"""Columns that are aligned to the right."""
NO_WAITING = Waiting({}, {}, {})
"""Of goroutines without frames."""


class ScrapeTable:
    """A table of groups of stacks; `waitings`: from a full dump, {} for a profile; `proven`: proven goroutines."""

    def __init__(self, title: str, by: GroupBy, waitings: Waitings, proven: Proven) -> None:
        self._title = title
        self._by = by
        self._waitings = waitings
        self._proven = proven

    def render(self, rows: Sequence[Row], limit: int) -> str:
        """Return the first `limit` rows, in a shorter form if the terminal is too narrow.

        Stacks among them that a healthy process has are counted in one line. A limit of 0 shows all rows.
        """
        console = terminal.recorder()
        by_stack = self._by is GroupBy.STACK
        shown, normal = list[Row](), list[Row]()
        for row in rows:  # to look up 50,000 small stacks would take seconds
            if limit and len(shown) == limit:
                break
            is_hidden = limit and by_stack and is_normal(row.samples[0].stack, row.goroutines)
            (normal if is_hidden else shown).append(row)
        more = len(rows) - len(shown) - len(normal)
        table = self._stacks(shown) if by_stack else self._groups(shown, styled)
        if not terminal.fits(console, table):
            table = self._short_stacks(shown) if by_stack else self._groups(shown, short_cell)
        console.print(Text(self._title, "italic"), soft_wrap=True)  # a title of the table would be wrapped
        console.print(table)
        if more:
            console.print(f"{more} more; --limit 0 shows all")
        if normal:
            goroutines = sum(row.goroutines for row in normal)
            hidden = f"{goroutines} goroutines that a healthy process has are hidden, in {len(normal)} stacks"
            console.print(f"{hidden}; --limit 0 shows all")
        return terminal.recorded(console)

    def _empty(self, *columns: str) -> Table:
        table = Table(box=box.SIMPLE_HEAD)
        for name in columns:
            table.add_column(name, justify="right" if name in RIGHT else "left", overflow="fold")
        return table

    def _stacks(self, rows: Sequence[Row]) -> Table:
        columns = ("oldest", "median", "function", "created by") if self._waitings else ("function", "started in")
        table = self._empty(*self._count_columns, "stack", "wait", *columns)
        for row in rows:
            stack = row.samples[0].stack
            cells = [*self._counts(row), stack.fingerprint, styled(stack.wait)]
            starter = styled(KEYS[GroupBy.ORIGIN](stack))
            if self._waitings:
                waiting = self._waitings.get(stack.fingerprint, NO_WAITING)
                times = ages(waiting)
                cells += [_minutes(times.oldest), _minutes(times.median)]
                starter = _creator(waiting.creators)
            table.add_row(*cells, _frame(stack.blamed, "bold"), starter)
        return table

    def _short_stacks(self, rows: Sequence[Row]) -> Table:
        """Return two lines for each stack, without the paths of functions and files."""
        table = self._empty(*self._count_columns, "stack", *(["oldest"] if self._waitings else []), "function")
        for row in rows:
            stack = row.samples[0].stack
            cells = [*self._counts(row), f"{stack.fingerprint}\n{stack.wait}".strip()]
            if self._waitings:
                cells.append(_minutes(ages(self._waitings.get(stack.fingerprint, NO_WAITING)).oldest))
            function = short_cell(stack.blamed.function, "bold")
            table.add_row(*cells, with_position(function, short_function(file_and_line(stack.blamed))))
        return table

    def _groups(self, rows: Sequence[Row], cell: Callable[[str], Text]) -> Table:
        table = self._empty(*self._count_columns, "stacks", self._by.value)
        for row in rows:
            table.add_row(*self._counts(row), str(len(row.samples)), cell(row.key))
        return table

    @property
    def _count_columns(self) -> list[str]:
        return ["goroutines", "proven"] if self._proven else ["goroutines"]

    def _counts(self, row: Row) -> list[str | Text]:
        """Return the cells of `_count_columns`."""
        if not self._proven:
            return [str(row.goroutines)]
        proven = sum(self._proven.get(sample.stack.fingerprint, 0) for sample in row.samples)
        return [str(row.goroutines), Text(str(proven), "bold red") if proven else ""]


def _frame(frame: Frame, style: str = "") -> Text:
    return with_position(styled(frame.function, style), file_and_line(frame))


def _creator(creators: Mapping[Frame, int]) -> Text:
    """Return the frame that created most goroutines of a stack."""
    if not creators:
        return styled("")
    cell = _frame(next(iter(creators)))
    if len(creators) > 1:
        cell.append(f"\nand {len(creators) - 1} more", "not bold dim")
    return cell


def _minutes(minutes: int | None) -> str:
    return "" if minutes is None else format_duration(60 * minutes)
