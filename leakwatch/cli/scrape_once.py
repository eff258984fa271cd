"""Shows one look on the command line: reads a service or a file, prints a table or another format."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from leakwatch.cli.analyze.folders import SYMBOLS, own_symbols, read_symbols
from leakwatch.discovery.target_builder import TargetDefaults, endpoint
from leakwatch.errors import ConfigError, DiscoveryError, ScrapeError, UsageError, without_user
from leakwatch.http.client import Client, Tls
from leakwatch.http.fetch import Fetcher
from leakwatch.model import Frame, Profile
from leakwatch.profile import dump, pprof, text
from leakwatch.profile import formats as saved
from leakwatch.profile.dump import Dump
from leakwatch.profile.dump_stacks import Waits, waiting
from leakwatch.profile.escape import printable
from leakwatch.profile.grouping import KEYS, By, Row, Waitings, as_json, folded, group, short
from leakwatch.profile.stacks import Identifier
from leakwatch.profile.wait_times import ages
from leakwatch.scrape.config import DEFAULT_SIZE
from leakwatch.scrape.probes.symbols import SIZE_LIMIT, SymbolProbe
from leakwatch.scrape.target_url import target_job
from leakwatch.settings.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.table import Table
    from rich.text import Text

ADDRESS = re.compile(r"[^/\s@]+:\d+(/|$)")
"""What looks like host:port, with a path perhaps."""
NUMBERS = {"goroutines", "stacks", "oldest", "median"}


def is_service(source: str) -> bool:
    """Tell whether `source` is a service: a URL, or host:port where no file is called so."""
    return "://" in source or (ADDRESS.match(source) is not None and not Path(source).exists())


def read(source: str, timeout: float, dump_limit: int | None = None) -> Profile | Dump:
    """Return what a service says, or what is in a file ("-": standard input).

    `dump_limit`: of a service take a full dump, if it has no more goroutines. Raises ConfigError, ScrapeError
    and UsageError.
    """
    try:
        if is_service(source):
            return asyncio.run(_fetch(source, timeout, dump_limit))
        if source == "-":
            return saved.read(sys.stdin.buffer.read(), pasted=True)
        return saved.read(Path(source).read_bytes(), text.TextCache(symbols=_beside(Path(source))), pasted=True)
    except ScrapeError as error:
        raise ScrapeError(error.reason, f"{without_user(source)}: {error}") from error
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror or error}") from error


def _beside(path: Path) -> dict[int, str]:
    """Return address -> function, from what was recorded beside a body, for it alone if there is such a file."""
    own = own_symbols(path, _say)
    if own:
        return own
    symbols: dict[int, str] = {}
    for file in sorted(path.with_name(name) for name in SYMBOLS):
        if file.is_file():
            symbols |= read_symbols(file, _say)
    return symbols


def _say(line: str) -> None:
    sys.stderr.write(f"leakwatch: {line}\n")


async def _dump(fetcher: Fetcher, total: int, limit: int) -> Dump:
    """Return a full dump, of a process that is not too large: it stands still meanwhile."""
    if total > limit:
        raise UsageError(
            f"the service has {total:,} goroutines, and would stand still for a full dump of them;"
            f" if that is all right, allow it with --full-dump-limit {total}"
        )
    body = bytearray()
    await fetcher.with_profile("goroutine", DEFAULT_SIZE, debug="2").fetch(body.extend)
    return dump.parse(bytes(body))


async def _fetch(url: str, timeout: float, dump_limit: int | None) -> Profile | Dump:  # noqa: ASYNC109  of the answer
    job = target_job(url)
    (group,) = job.static_configs
    try:
        found = endpoint(
            {"__address__": group.targets[0]},
            TargetDefaults(job=job.job_name, scheme=job.scheme, path=job.profile_path),
        )
    except DiscoveryError as error:
        raise ConfigError(f"{without_user(url)}: {error}") from error
    tls = Tls(job.tls_config, secure=found.url.scheme == "https")
    client = Client(tls, timeout=timeout, socket=found.socket)
    fetcher = Fetcher(client, found.url, job, timeout=timeout, size_limit=DEFAULT_SIZE)
    body = bytearray()
    try:
        await fetcher.fetch(body.extend)
        profile = text.parse(bytes(body))
        if dump_limit is not None:
            return await _dump(fetcher, profile.total, dump_limit)
        symbols = SymbolProbe(fetcher.with_profile("symbol", SIZE_LIMIT))
        traces = symbols.wanted(Identifier().identify(profile), (), 0.0)
        refusal = await symbols.ask(traces, 0.0) if traces else None
        if refusal:
            _say(f"wait reasons of channels stay unknown: {refusal}")
    finally:
        await client.close()
    return text.parse(bytes(body), text.TextCache(symbols=symbols.names))


def render(found: Profile | Dump, by: By, output: str, limit: int) -> bytes:
    """Return `found` as "table", "json", "folded" or "pprof"; a table has `limit` rows, 0 for all."""
    profile = found.profile() if isinstance(found, Dump) else found
    if output == "pprof":
        return pprof.encode(profile)
    identifier = Identifier()
    samples = identifier.identify(profile).values()
    if output == "folded":
        return folded(samples).encode("utf-8", "replace")
    rows = group(samples, by)
    truncated = isinstance(found, Dump) and found.truncated
    waitings: Waitings = {}
    if isinstance(found, Dump):
        waitings = {key: waiting(goroutines) for key, goroutines in Waits(found, identifier).by_stack.items()}
    if output == "json":
        said = as_json(profile.total, rows, waitings, truncated=truncated)
        return (json.dumps(said, indent=2, ensure_ascii=False) + "\n").encode()
    title = f"{profile.total} goroutines in {len(samples)} stacks"
    title += "; the dump is cut, there were more" if truncated else ""
    return table(title, rows, waitings, by, limit).encode("utf-8", "replace")


def table(title: str, rows: list[Row], waitings: Waitings, by: By, limit: int) -> str:
    """Return the largest rows as a table: as wide as the terminal, or as needed when piped."""
    from leakwatch.cli import terminal

    console = terminal.recorder()
    shown = rows[:limit] if limit else rows
    printed = _stacks(shown, title, waitings) if by is By.STACK else _groups(shown, title, by)
    if not terminal.fits(console, printed):
        narrow = by is By.STACK
        printed = _stacks_short(shown, title, waitings) if narrow else _groups(shown, title, by, cell=cut)
    console.print(printed)
    if len(shown) < len(rows):
        console.print(f"{len(rows) - len(shown)} more; --limit 0 shows all")
    return terminal.recorded(console)


def _styled(text: str, style: str = "") -> Text:
    from leakwatch.cli.terminal import styled

    return styled(text, style)


def cut(text: str, style: str = "") -> Text:
    """Return a cell for a narrow table: short, and … where it still is too long, as nobody reads half a name."""
    from rich.text import Text

    return Text(short(printable(text)), style, no_wrap=True, overflow="ellipsis")


def _empty(title: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for name in columns:
        table.add_column(name, justify="right" if name in NUMBERS else "left", overflow="fold")
    return table


def _stacks(rows: list[Row], title: str, waitings: Waitings) -> Table:
    aged = ("oldest", "median", "function", "created by")
    columns = aged if waitings else ("function", "started in")
    table = _empty(title, "goroutines", "stack", "wait", *columns)
    for row in rows:
        stack = row.samples[0].stack
        cells: list[str | Text] = [str(row.goroutines), stack.fingerprint, _styled(stack.wait)]
        starter = _styled(KEYS[By.ORIGIN](stack))
        if waitings:
            told = waitings[stack.fingerprint]
            found = ages(told)
            cells += [_minutes(found.oldest), _minutes(found.median)]
            starter = _creator(told.creators)
        table.add_row(*cells, _placed(stack.blamed, "bold"), starter)
    return table


def _stacks_short(rows: list[Row], title: str, waitings: Waitings) -> Table:
    """Return two lines for each stack, with file and function without their paths."""
    table = _empty(title, "goroutines", "stack", *(["oldest"] if waitings else []), "function")
    for row in rows:
        stack = row.samples[0].stack
        at = cut(stack.blamed.function, "bold")
        if stack.blamed.file:
            at.append(f"\n{short(printable(stack.blamed.file))}:{stack.blamed.line}", "not bold dim")
        cells = [str(row.goroutines), f"{stack.fingerprint}\n{stack.wait}".strip()]
        if waitings:
            cells.append(_minutes(ages(waitings[stack.fingerprint]).oldest))
        table.add_row(*cells, at)
    return table


def _placed(frame: Frame, style: str = "") -> Text:
    at = _styled(frame.function, style)
    if frame.file:
        at.append(f"\n{printable(frame.file)}:{frame.line}", "not bold dim")
    return at


def _creator(creators: Mapping[Frame, int]) -> Text:
    """Return who created most of a stack's goroutines."""
    if not creators:
        return _styled("")
    cell = _placed(next(iter(creators)))
    if len(creators) > 1:
        cell.append(f"\nand {len(creators) - 1} more", "not bold dim")
    return cell


def _minutes(minutes: int | None) -> str:
    return "" if minutes is None else format_duration(60 * minutes)


def _groups(rows: list[Row], title: str, by: By, cell: Callable[[str], Text] = _styled) -> Table:
    table = _empty(title, "goroutines", "stacks", str(by.value))
    for row in rows:
        table.add_row(str(row.goroutines), str(len(row.samples)), cell(row.key))
    return table
