"""Runs `leakwatch diff`: reads two profiles, and prints the changes between them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from leakwatch.causes.normal.stacks import is_normal
from leakwatch.cli import terminal
from leakwatch.cli.analyze.folders import BODY
from leakwatch.cli.scrape_once import is_service, read
from leakwatch.cli.terminal import json_text, print_message, short_cell, styled, with_position
from leakwatch.clock import Clock
from leakwatch.errors import ConfigError, UsageError, without_credentials
from leakwatch.leaks.wording import file_and_line, format_time, short_function
from leakwatch.model import Samples
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
from leakwatch.profile.dump import Dump
from leakwatch.profile.escape import printable
from leakwatch.profile.grouping import KEYS, GroupBy
from leakwatch.profile.stacks import Identifier
from leakwatch.settings.units import format_duration

GREW, SHRANK = "red", "green"
NUMBERS = {"change", "old", "new"}
"""Columns that are aligned to the right."""
YEAR_10000 = 253402300800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedProfile:
    """One of the two profiles; `time` in unix seconds, None if it is unknown."""

    name: str
    time: float | None
    total: int
    samples: Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffOptions:
    """How to print a diff; `output`: "text", "json" or "folded"; `limit`: rows of the text, 0 for all."""

    by: GroupBy
    output: str
    limit: int
    timeout: float
    own_code: tuple[str, ...] = ()


def run(sources: tuple[str, str | None], options: DiffOptions) -> None:
    """Print the changes between two sources, or in a folder of profiles; raises ConfigError and ScrapeError."""
    first, second = sources
    if second is None and not Path(first).is_dir():
        raise UsageError(f"{without_credentials(first)}: without NEW, OLD must be a folder of profiles")
    if first == second == "-":
        raise UsageError("only one of OLD and NEW can be standard input")
    identifier = Identifier(options.own_code)
    old = _read(_body(first, 0), options.timeout, identifier)
    new = _read(_body(second or first, -1), options.timeout, identifier)
    stacks = compare(old.samples, new.samples)
    if are_unrelated(stacks):
        print_message("no stack of own code is in both profiles: are they of the same service?")
    by_group = changes(stacks, options.by)
    if options.output == "folded":
        printed = folded(stacks)
    elif options.output == "json":
        printed = json_text(as_json(old.total, new.total, by_group))
    else:
        printed = text(old, new, by_group, stacks, options)
    sys.stdout.buffer.write(printed.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()


def _body(source: str, index: int) -> str:
    """Return the first (0) or last (-1) body of a folder; return any other source unchanged."""
    path = Path(source)
    if is_service(source) or not path.is_dir():
        return source
    try:
        bodies = [file for file in path.iterdir() if BODY.fullmatch(file.name)]
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror or error}") from error
    if not bodies:
        raise ConfigError(f"{source}: has no file named <unix seconds>.txt or .pb, with or without .gz")
    return str(sorted(bodies, key=lambda file: _time(file.name) or 0.0)[index])


def _time(name: str) -> float | None:
    match = BODY.fullmatch(name)
    return float(match[1]) if match else None


def _read(source: str, timeout: float, identifier: Identifier) -> ComparedProfile:
    body = read(source, timeout)
    profile = body.profile() if isinstance(body, Dump) else body
    if isinstance(body, Dump) and body.truncated:
        print_message(f"{source}: the dump is truncated")
    time = Clock().time() if is_service(source) else _time(Path(source).name)
    return ComparedProfile(
        name=without_credentials(source), time=time, total=profile.total, samples=identifier.identify(profile)
    )


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
    facts = f"  {profile.total} goroutines in {len(profile.samples)} stacks"
    if profile.time is not None and profile.time < YEAR_10000:
        facts += f", {format_time(profile.time)}"
    return Text.assemble((f"{sign} ", style), (printable(profile.name), f"bold {style}"), facts)


def _signed(change: int) -> Text:
    if not change:
        return Text("0")
    return Text(f"{change:+d}", GREW if change > 0 else SHRANK)


def _empty(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, justify="right" if name in NUMBERS else "left", overflow="fold")
    return table


def _number_cells(change: GroupChange) -> list[str | Text]:
    mark = {"new": Text("new", GREW), "gone": Text("gone", SHRANK)}.get(change.mark, "")
    return [_signed(change.change), str(change.old), str(change.new), mark]


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
