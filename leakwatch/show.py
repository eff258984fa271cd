"""Shows one look on the command line: reads a service or a file, prints a table or another format."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from leakwatch.client import Client, Tls
from leakwatch.discovery.resolve import Job, endpoint
from leakwatch.errors import ConfigError, DiscoveryError, ScrapeError, without_user
from leakwatch.look import KEYS, By, Row, as_json, folded, group, short
from leakwatch.model import Profile
from leakwatch.profile import pprof, saved, text
from leakwatch.recordings.folders import SYMBOLS, read_symbols
from leakwatch.scrape import Scraper
from leakwatch.scraping import DEFAULT_SIZE
from leakwatch.stacks import Identifier
from leakwatch.symbols import SIZE_LIMIT, Symbols
from leakwatch.target_option import target_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table
    from rich.text import Text

ADDRESS = re.compile(r"[^/\s]+:\d+(/|$)")
"""What looks like host:port, with a path perhaps."""
WIDEST = 240  # columns of a table that is piped


def read(source: str, timeout: float) -> Profile:
    """Return the profile at a URL or in a file ("-": standard input); raises ConfigError and ScrapeError."""
    try:
        if "://" in source:
            return asyncio.run(_fetch(source, timeout))
        if source == "-":
            return saved.parse(sys.stdin.buffer.read(), pasted=True)
        return saved.parse(Path(source).read_bytes(), text.Memory(symbols=_beside(Path(source))), pasted=True)
    except ScrapeError as error:
        raise ScrapeError(error.reason, f"{without_user(source)}: {error}") from error
    except OSError as error:
        hint = f"; a service is http://{source}" if ADDRESS.match(source) else ""
        raise ConfigError(f"{source}: {error.strerror or error}{hint}") from error


def _beside(path: Path) -> dict[int, str]:
    """Return address -> function, from what was recorded beside a body."""
    symbols: dict[int, str] = {}
    for file in sorted(path.with_name(name) for name in SYMBOLS):
        if file.is_file():
            symbols |= read_symbols(file, _say)
    return symbols


def _say(line: str) -> None:
    sys.stderr.write(f"leakwatch: {line}\n")


async def _fetch(url: str, timeout: float) -> Profile:  # noqa: ASYNC109  of the answer, not of this function
    job = target_job(url)
    (group,) = job.static_configs
    try:
        found = endpoint({"__address__": group.targets[0]}, Job(job.job_name, job.scheme, job.profile_path))
    except DiscoveryError as error:
        raise ConfigError(f"{without_user(url)}: {error}") from error
    tls = Tls(job.tls_config, secure=found.url.scheme == "https")
    client = Client(tls, timeout=timeout, socket=found.socket)
    scraper = Scraper(client, found.url, job, timeout=timeout, size_limit=DEFAULT_SIZE)
    body = bytearray()
    try:
        await scraper.fetch(body.extend)
        profile = text.parse(bytes(body))
        symbols = Symbols(scraper.beside("symbol", SIZE_LIMIT))
        traces = symbols.wanted(Identifier().identify(profile), (), 0.0)
        refusal = await symbols.ask(traces, 0.0) if traces else None
        if refusal:
            _say(f"wait reasons of channels stay unknown: {refusal}")
    finally:
        await client.close()
    return text.parse(bytes(body), text.Memory(symbols=symbols.names))


def render(profile: Profile, by: By, output: str, limit: int) -> bytes:
    """Return `profile` as "table", "json", "folded" or "pprof"; a table has `limit` rows, 0 for all."""
    if output == "pprof":
        return pprof.encode(profile)
    samples = Identifier().identify(profile).values()
    if output == "folded":
        return folded(samples).encode("utf-8", "replace")
    rows = group(samples, by)
    if output == "json":
        return (json.dumps(as_json(profile.total, rows), indent=2, ensure_ascii=False) + "\n").encode()
    return table(profile.total, rows, by, limit).encode("utf-8", "replace")


def table(total: int, rows: list[Row], by: By, limit: int) -> str:
    """Return the largest rows as a table: as wide as the terminal, or as needed when piped."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=None if terminal else WIDEST, highlight=False)
    shown = rows[:limit] if limit else rows
    stacks = sum(len(row.samples) for row in rows)
    title = f"{total} goroutines in {stacks} stacks"
    printed = _stacks(shown, title) if by is By.STACK else _groups(shown, title, by)
    needed = console.measure(printed, options=console.options.update(max_width=WIDEST)).maximum
    if terminal and needed > console.width:
        printed = _stacks_short(shown, title) if by is By.STACK else _groups(shown, title, by, cell=cut)
    console.print(printed)
    if len(shown) < len(rows):
        console.print(f"{len(rows) - len(shown)} more; --limit 0 shows all")
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def _styled(text: str, style: str = "") -> Text:
    """Return a cell in which brackets are no markup."""
    from rich.text import Text

    return Text(text, style)


def cut(text: str, style: str = "") -> Text:
    """Return a cell for a narrow table: short, and … where it still is too long, as nobody reads half a name."""
    from rich.text import Text

    return Text(short(text), style, no_wrap=True, overflow="ellipsis")


def _empty(title: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for name in columns:
        table.add_column(name, justify="right" if name in {"goroutines", "stacks"} else "left", overflow="fold")
    return table


def _stacks(rows: list[Row], title: str) -> Table:
    table = _empty(title, "goroutines", "stack", "wait", "function", "started by")
    for row in rows:
        stack = row.samples[0].stack
        at = _styled(stack.blamed.function, "bold")
        if stack.blamed.file:
            at.append(f"\n{stack.blamed.file}:{stack.blamed.line}", "not bold dim")
        names = (_styled(stack.wait), at, _styled(KEYS[By.ORIGIN](stack)))
        table.add_row(str(row.goroutines), stack.fingerprint, *names)
    return table


def _stacks_short(rows: list[Row], title: str) -> Table:
    """Return two lines for each stack, with file and function without their paths."""
    table = _empty(title, "goroutines", "stack", "function")
    for row in rows:
        stack = row.samples[0].stack
        at = cut(stack.blamed.function, "bold")
        if stack.blamed.file:
            at.append(f"\n{short(stack.blamed.file)}:{stack.blamed.line}", "not bold dim")
        table.add_row(str(row.goroutines), f"{stack.fingerprint}\n{stack.wait}".strip(), at)
    return table


def _groups(rows: list[Row], title: str, by: By, cell: Callable[[str], Text] = _styled) -> Table:
    table = _empty(title, "goroutines", "stacks", str(by.value))
    for row in rows:
        table.add_row(str(row.goroutines), str(len(row.samples)), cell(row.key))
    return table
