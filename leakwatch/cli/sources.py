"""Reads the sources of commands: services, saved files, and standard input.

A file needs none of the modules that scrape a service: importing them takes longer than reading a file (0.4 s).
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from leakwatch.cli.symbol_files import recorded_symbols
from leakwatch.cli.terminal import print_message
from leakwatch.errors import ConfigError, ScrapeError, TruncatedProfile, without_credentials
from leakwatch.model import Profile
from leakwatch.pasted import reader
from leakwatch.pasted.report import SavedFile, SavedProfile
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.dump import Dump
from leakwatch.profile.formats import MAX_SIZE

ADDRESS = re.compile(r"[^/\s@]+:\d+(/|$)")
"""host:port, with or without a path."""
HOST_NAME = re.compile(r"[A-Za-z0-9-]+|[0-9.]+|\[[0-9A-Fa-f:]+\]")
"""A host without a port. Names with dots are not included: most are names of files."""


def is_service(source: str) -> bool:
    """Return whether `source` is a service: a URL, or host:port unless a file has that name."""
    return "://" in source or (ADDRESS.match(source) is not None and not Path(source).exists())


def load(source: str, timeout: float, dump_limit: int | None = None) -> SavedFile:
    """Return the profile or dump of a service, or all in a file or in standard input ("-").

    `dump_limit`: largest number of goroutines for a full dump, None to fetch a profile. Raises ConfigError,
    ScrapeError and UsageError.
    """
    try:
        if is_service(source):
            import asyncio

            from leakwatch.cli.scrape_service import fetch

            fetched = asyncio.run(fetch(source, timeout, dump_limit))
            return SavedFile((SavedProfile(source=fetched, kind="a service", has_waits=True),))
        if source == "-":
            return reader.read(_read(sys.stdin.buffer))
        path = Path(source)
        symbols = recorded_symbols(path, print_message)
        with path.open("rb") as file:
            return reader.read(_read(file), ParseCache(symbols=symbols))
    except ScrapeError as error:
        raise ScrapeError(error.reason, f"{without_credentials(source)}: {error}") from error
    except OSError as error:
        is_missing_host = isinstance(error, FileNotFoundError) and HOST_NAME.fullmatch(source)
        hint = f"; for a service, add its port: {source}:6060" if is_missing_host else ""
        raise ConfigError(f"{source}: {error.strerror or error}{hint}") from error


def _read(file: BinaryIO) -> bytes:
    body = file.read(MAX_SIZE + 1)
    if len(body) > MAX_SIZE:
        raise TruncatedProfile(f"the file is larger than {MAX_SIZE >> 20} MB")
    return body


def read(source: str, timeout: float, dump_limit: int | None = None) -> Profile | Dump:
    """Return the profile or dump of a service, or the last of a file, after a message about how it was read.

    Raises ConfigError, ScrapeError and UsageError.
    """
    file = load(source, timeout, dump_limit)
    report(source, file, -1)
    return file.profiles[-1].source


def report(source: str, file: SavedFile, index: int) -> None:
    """Print how a profile was read, unless it is exactly what Go prints."""
    if sentence := file.sentence(index):
        print_message(f"{source}: {sentence}")


def report_missing_waits(profiles: Iterable[SavedProfile]) -> None:
    """Print once how to get wait reasons, if a saved profile does not have them."""
    if not all(profile.has_waits for profile in profiles):
        print_message(
            "debug=1 does not have wait reasons: save debug=0 or debug=2 instead,"
            " or beside FILE.txt the response of /debug/pprof/symbol as FILE.symbol"
        )
