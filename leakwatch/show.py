"""Shows one look on the command line: reads a service or a file, prints a table or another format."""

import asyncio
import io
import json
import sys
from pathlib import Path

import httpx

from leakwatch.client import Client, Tls
from leakwatch.config import DEFAULT_SIZE, target_job, without_user
from leakwatch.discovery.resolve import endpoint
from leakwatch.errors import ConfigError, ScrapeError
from leakwatch.look import By, Row, as_json, folded, group
from leakwatch.model import Profile
from leakwatch.profile import pprof, saved, text
from leakwatch.scrape import Scraper
from leakwatch.stacks import Identifier


def read(source: str, timeout: float) -> Profile:
    """Return the profile at a URL or in a file ("-": standard input); raises ConfigError and ScrapeError."""
    try:
        if "://" in source:
            return text.parse(asyncio.run(_fetch(source, timeout)))
        body = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return saved.parse(body, pasted=True)
    except ScrapeError as error:
        raise ScrapeError(error.reason, f"{without_user(source)}: {error}") from error
    except OSError as error:
        raise ConfigError(f"{source}: {error}") from error


async def _fetch(url: str, timeout: float) -> bytes:  # noqa: ASYNC109  of the answer, not of this function
    job = target_job(url)
    (group,) = job.static_configs
    try:
        found = endpoint(group.targets[0], {}, job=job.job_name, scheme=job.scheme, path=job.profile_path)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ConfigError(f"{without_user(url)}: no such address is possible: {error}") from error
    tls = Tls(job.tls_config, secure=found.url.scheme == "https")
    client = Client(tls, timeout=timeout, socket=found.socket)
    body = bytearray()
    try:
        await Scraper(client, found.url, job, timeout=timeout, size_limit=DEFAULT_SIZE).fetch(body.extend)
    finally:
        await client.close()
    return bytes(body)


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
    """Return the largest rows as a table as wide as the terminal, or as wide as needed when piped."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=None if terminal else 160)
    shown = rows[:limit] if limit else rows
    stacks = sum(len(row.samples) for row in rows)
    printed = Table(box=box.SIMPLE_HEAD, title=f"{total} goroutines in {stacks} stacks", title_justify="left")
    printed.add_column("goroutines", justify="right")
    if by is By.STACK:
        for name in ("stack", "wait"):
            printed.add_column(name, no_wrap=True)
        for name in ("function", "started by"):
            printed.add_column(name, overflow="fold")
        for row in shown:
            stack = row.samples[0].stack
            at = Text(stack.blamed.function, "bold")
            if stack.blamed.file:
                at.append(f"\n{stack.blamed.file}:{stack.blamed.line}", "not bold dim")
            origin = stack.origin or "(cut off)"
            printed.add_row(str(row.goroutines), stack.fingerprint, stack.wait, at, Text(origin))
    else:
        printed.add_column("stacks", justify="right")
        printed.add_column(str(by.value), overflow="fold")
        for row in shown:
            printed.add_row(str(row.goroutines), str(len(row.samples)), Text(row.key))
    console.print(printed)
    if len(shown) < len(rows):
        console.print(f"{len(rows) - len(shown)} more; --limit 0 shows all")
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())
