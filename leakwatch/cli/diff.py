"""Runs `leakwatch diff`: reads two profiles, prints what changed between them."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from leakwatch.cli import terminal
from leakwatch.cli.analyze.folders import BODY
from leakwatch.cli.scrape_once import cut, is_service, read
from leakwatch.cli.terminal import styled
from leakwatch.clock import Clock
from leakwatch.errors import ConfigError, UsageError, without_user
from leakwatch.leaks.wording import format_time, short_function
from leakwatch.model import Samples
from leakwatch.profile.diff import Change, Move, as_json, changes, compare, folded, largest, strangers, summary
from leakwatch.profile.dump import Dump
from leakwatch.profile.escape import printable
from leakwatch.profile.grouping import KEYS, By
from leakwatch.profile.stacks import Identifier
from leakwatch.settings.units import format_duration

GREW, SHRANK = "red", "green"
YEAR_10000 = 253402300800.0


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two profiles: what it is called, when it was taken if that is known, what is in it."""

    name: str
    time: float | None
    total: int
    samples: Samples


def run(sources: tuple[str, str | None], by: By, output: str, limit: int, timeout: float) -> None:
    """Print what changed between two `sources`; raises ConfigError and ScrapeError.

    `output`: "text", "json" or "folded"; `limit`: rows of the text, 0 for all.
    """
    first, second = sources
    if second is None and not Path(first).is_dir():
        raise UsageError(f"{without_user(first)}: alone it must be a folder of profiles; else give OLD and NEW")
    if first == second == "-":
        raise UsageError("standard input can be one of the two only")
    identifier = Identifier()
    old = _side(_body(first, 0), timeout, identifier)
    new = _side(_body(second or first, -1), timeout, identifier)
    moves = compare(old.samples, new.samples)
    if strangers(moves):
        _say("no stack of own code is in both profiles: are they of the same service?")
    found = changes(moves, by)
    if output == "folded":
        printed = folded(moves)
    elif output == "json":
        printed = json.dumps(as_json(old.total, new.total, found), indent=2, ensure_ascii=False) + "\n"
    else:
        printed = text(old, new, found, moves, by, limit)
    sys.stdout.buffer.write(printed.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()


def _body(source: str, which: int) -> str:
    """Return a source that is no folder; of a folder its first (0) or its last (-1) body."""
    path = Path(source)
    if is_service(source) or not path.is_dir():
        return source
    try:
        bodies = [file for file in path.iterdir() if BODY.fullmatch(file.name)]
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror or error}") from error
    if not bodies:
        raise ConfigError(f"{source}: no file in it is called <unix seconds>.txt or .pb, .gz or not")
    return str(sorted(bodies, key=lambda file: _time(file.name) or 0.0)[which])


def _time(name: str) -> float | None:
    match = BODY.fullmatch(name)
    return float(match[1]) if match else None


def _side(source: str, timeout: float, identifier: Identifier) -> Side:
    found = read(source, timeout)
    profile = found.profile() if isinstance(found, Dump) else found
    if isinstance(found, Dump) and found.truncated:
        _say(f"{source}: the dump is cut, there were more goroutines")
    time = Clock().time() if is_service(source) else _time(Path(source).name)
    return Side(without_user(source), time, profile.total, identifier.identify(profile))


def _say(line: str) -> None:
    sys.stderr.write(f"leakwatch: {line}\n")


def text(old: Side, new: Side, found: list[Change], moves: list[Move], by: By, limit: int) -> str:
    """Return the difference to be read: which two, what changed most, and all in one line."""
    console = terminal.recorder()
    console.print(_head("---", SHRANK, old), _head("+++", GREW, new), sep="\n", soft_wrap=True)
    shown = largest(found, limit)
    if shown:
        table = _stacks(shown) if by is By.STACK else _groups(shown, by)
        if not terminal.fits(console, table):
            table = _stacks_short(shown) if by is By.STACK else _groups(shown, by, narrow=True)
        console.print(table)
    if len(shown) < len(found):
        console.print(f"{len(found) - len(shown)} more; --limit 0 shows all")
    later = ""
    if old.time is not None and new.time is not None and new.time != old.time:
        when = "later" if new.time > old.time else "earlier"
        later = f", {format_duration(abs(new.time - old.time))} {when}"
    console.print("total ", _signed(new.total - old.total), f"{later}: {summary(moves)}", sep="", soft_wrap=True)
    return terminal.recorded(console)


def _head(sign: str, style: str, side: Side) -> Text:
    about = f"  {side.total} goroutines in {len(side.samples)} stacks"
    if side.time is not None and side.time < YEAR_10000:
        about += f", {format_time(side.time)}"
    return Text.assemble((f"{sign} ", style), (printable(side.name), f"bold {style}"), about)


def _signed(change: int) -> Text:
    if not change:
        return Text("0")
    return Text(f"{change:+d}", GREW if change > 0 else SHRANK)


def _empty(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, justify="right" if name in {"change", "old", "new"} else "left", overflow="fold")
    return table


def _marked(one: Change) -> list[str | Text]:
    mark = {"new": Text("new", GREW), "gone": Text("gone", SHRANK)}.get(one.mark, "")
    return [_signed(one.change), str(one.old), str(one.new), mark]


def _stacks(found: list[Change]) -> Table:
    table = _empty("change", "old", "new", "", "stack", "wait", "function", "started in")
    for one in found:
        stack = one.moves[0].stack
        at = styled(stack.blamed.function, "bold")
        if stack.blamed.file:
            at.append(f"\n{printable(stack.blamed.file)}:{stack.blamed.line}", "not bold dim")
        table.add_row(*_marked(one), stack.fingerprint, stack.wait, at, styled(KEYS[By.ORIGIN](stack)))
    return table


def _stacks_short(found: list[Change]) -> Table:
    """Return two lines for each stack, with file and function without their paths."""
    table = _empty("change", "old", "new", "stack", "function")
    for one in found:
        stack = one.moves[0].stack
        change, old, new, mark = _marked(one)
        at = cut(stack.blamed.function, "bold")
        if stack.blamed.file:
            at.append(f"\n{short_function(printable(stack.blamed.file))}:{stack.blamed.line}", "not bold dim")
        table.add_row(Text.assemble(change, "\n", mark), old, new, f"{stack.fingerprint}\n{stack.wait}", at)
    return table


def _groups(found: list[Change], by: By, *, narrow: bool = False) -> Table:
    table = _empty("change", "old", "new", "", str(by.value))
    for one in found:
        table.add_row(*_marked(one), cut(one.key) if narrow else styled(one.key))
    return table
