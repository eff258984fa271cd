"""Runs `leakwatch diff`: reads two profiles, and prints the changes between them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from leakwatch.causes.normal.stacks import is_normal
from leakwatch.cli import terminal
from leakwatch.cli.compared import ComparedProfile, read_both
from leakwatch.cli.terminal import json_text, print_message, short_cell, styled, with_position
from leakwatch.leaks.wording import file_and_line, format_time, short_function
from leakwatch.model import Profile
from leakwatch.pasted.report import counted
from leakwatch.profile.diff import (
    GroupChange,
    StackChange,
    are_unrelated,
    as_json,
    changes,
    compare,
    folded,
    largest,
    summary,
)
from leakwatch.profile.escape import printable
from leakwatch.profile.grouping import KEYS, GroupBy
from leakwatch.profile.stacks import Identifier
from leakwatch.settings.units import format_duration

GREW, SHRANK = "red", "green"
NUMBERS = {"change", "old", "new"}
"""Columns that are aligned to the right."""
LISTED = 10  # groups in messages
YEAR_10000 = 253402300800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffOptions:
    """How to print a diff; `output`: "text", "json" or "folded"; `limit`: rows of the text, 0 for all.

    `fail_over`: the growth of a stack, or of another group of `by`, above which the comparison fails; None: never.
    """

    by: GroupBy
    output: str
    limit: int
    timeout: float
    own_code: tuple[str, ...] = ()
    fail_over: int | None = None


def run(sources: tuple[str, str | None], options: DiffOptions) -> int:
    """Print the changes between two sources, or in a series of profiles, and return the exit status.

    Raises ConfigError and ScrapeError.
    """
    old, new = read_both(sources, options.timeout, Identifier(options.own_code))
    if are_unrelated(compare(old.samples, new.samples)):
        print_message("no stack of own code is in both profiles: are they of the same service?")
    sys.stdout.buffer.write(_printed(old, new, options).encode("utf-8", "replace"))
    sys.stdout.buffer.flush()
    return _status(old, new, options)


def _status(old: ComparedProfile, new: ComparedProfile, options: DiffOptions) -> int:
    """Return 1, and print the groups, if some grew by more than the options allow; 0 otherwise."""
    if options.fail_over is None:
        return 0
    groups = changes(compare(old.samples, new.samples), options.by)
    failing = [group for group in groups if group.change > options.fail_over]
    for group in failing[:LISTED]:
        name = group.stacks[0].stack.blamed.function if options.by is GroupBy.STACK else group.key
        change = f"grew by {group.change:,}, which is more than {options.fail_over:,}"
        print_message(f"{printable(name)}: {change} (--fail-over)")
    if len(failing) > LISTED:
        print_message(f"{len(failing) - LISTED} more grew by more than {options.fail_over:,} (--fail-over)")
    return 1 if failing else 0


def _printed(old: ComparedProfile, new: ComparedProfile, options: DiffOptions) -> str:
    """Return the changes in the format of the options."""
    stacks = compare(old.samples, new.samples)
    by_group = changes(stacks, options.by)
    if options.output == "folded":
        return folded(stacks)
    if options.output == "json":
        return json_text(as_json(old.total, new.total, by_group))
    return text(old, new, by_group, stacks, options)


def difference(source: str, profile: Profile, options: DiffOptions) -> str:
    """Return the changes in a difference of two profiles."""
    identifier = Identifier(options.own_code)
    old, new = (
        ComparedProfile(name=f"{name} in {source}", time=None, total=part.total, samples=identifier.identify(part))
        for name, part in (("decreases", _part(profile, -1)), ("increases", _part(profile, 1)))
    )
    return _printed(old, new, options)


def _part(profile: Profile, sign: int) -> Profile:
    """Return the groups of a difference with counts of one sign, as positive counts."""
    groups = tuple((trace, sign * count) for trace, count in profile.groups if sign * count > 0)
    return Profile(sum(count for _, count in groups), groups)


def text(
    old: ComparedProfile,
    new: ComparedProfile,
    by_group: list[GroupChange],
    stacks: Sequence[StackChange],
    options: DiffOptions,
) -> str:
    """Return the profiles' names, the largest changes as a table, and a summary in one line."""
    console = terminal.recorder()
    console.print(_head("---", SHRANK, old), _head("+++", GREW, new), sep="\n", soft_wrap=True)
    by = options.by
    shown = largest(by_group, options.limit)
    if options.limit and by is GroupBy.STACK:
        shown = [row for row in shown if not _is_normal(row)]
    if shown:
        table = _stacks(shown) if by is GroupBy.STACK else _groups(shown, by)
        if not terminal.fits(console, table):
            table = _short_stacks(shown) if by is GroupBy.STACK else _groups(shown, by, narrow=True)
        console.print(table)
    if len(shown) < len(by_group):
        console.print(f"{len(by_group) - len(shown)} more; --limit 0 shows all")
    later = ""
    if old.time is not None and new.time is not None and new.time != old.time:
        direction = "later" if new.time > old.time else "earlier"
        later = f", {format_duration(abs(new.time - old.time))} {direction}"
    console.print("total ", _signed(new.total - old.total), f"{later}: {summary(stacks)}", sep="", soft_wrap=True)
    return terminal.recorded(console)


def _is_normal(row: GroupChange) -> bool:
    """Return whether a healthy process has the goroutines of a stack."""
    return is_normal(row.stacks[0].stack, max(row.old, row.new))


def _head(sign: str, style: str, profile: ComparedProfile) -> Text:
    facts = f"  {counted(profile.total, 'goroutine')} in {counted(len(profile.samples), 'stack')}"
    if profile.time is not None and profile.time < YEAR_10000:
        facts += f", {format_time(profile.time)}"
    return Text.assemble((f"{sign} ", style), (printable(profile.name), f"bold {style}"), facts)


def _signed(change: int) -> Text:
    if not change:
        return Text("0")
    return Text(f"{change:+,d}", GREW if change > 0 else SHRANK)


def _empty(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, justify="right" if name in NUMBERS else "left", overflow="fold")
    return table


def _number_cells(change: GroupChange) -> list[str | Text]:
    mark = {"new": Text("new", GREW), "gone": Text("gone", SHRANK)}.get(change.mark, "")
    return [_signed(change.change), f"{change.old:,}", f"{change.new:,}", mark]


def _stacks(shown: list[GroupChange]) -> Table:
    table = _empty("change", "old", "new", "", "stack", "wait", "function", "started in")
    for change in shown:
        stack = change.stacks[0].stack
        function = with_position(styled(stack.blamed.function, "bold"), file_and_line(stack.blamed))
        origin = styled(KEYS[GroupBy.ORIGIN](stack))
        table.add_row(*_number_cells(change), stack.fingerprint, stack.wait, function, origin)
    return table


def _short_stacks(shown: list[GroupChange]) -> Table:
    """Return two lines for each stack, without the paths of functions and files."""
    table = _empty("change", "old", "new", "stack", "function")
    for change in shown:
        stack = change.stacks[0].stack
        difference, old, new, mark = _number_cells(change)
        position = short_function(file_and_line(stack.blamed))
        function = with_position(short_cell(stack.blamed.function, "bold"), position)
        table.add_row(
            Text.assemble(difference, "\n", mark), old, new, f"{stack.fingerprint}\n{stack.wait}", function
        )
    return table


def _groups(shown: list[GroupChange], by: GroupBy, *, narrow: bool = False) -> Table:
    table = _empty("change", "old", "new", "", by.value)
    for change in shown:
        table.add_row(*_number_cells(change), short_cell(change.key) if narrow else styled(change.key))
    return table
