"""Runs `leakwatch scrape`: reads the profile of a service or a file, and prints it.

A file needs none of the modules that scrape a service: importing them takes longer than reading a file (0.4 s).
"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from leakwatch.causes.model import Cause
from leakwatch.cli.symbol_files import recorded_symbols
from leakwatch.cli.terminal import json_text, print_message
from leakwatch.errors import ConfigError, ScrapeError, without_credentials
from leakwatch.model import Fingerprint, Profile, Samples
from leakwatch.profile import formats as profile_formats
from leakwatch.profile import pprof
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.dump import Dump
from leakwatch.profile.dump_stacks import DumpIndex, waiting
from leakwatch.profile.grouping import GroupBy, Waitings, as_json, folded, group
from leakwatch.profile.stacks import Identifier

ADDRESS = re.compile(r"[^/\s@]+:\d+(/|$)")
"""host:port, with or without a path."""
LEAST_EXPLAINED: Final = 30
"""Goroutines of a stack below which no cause is shown: a healthy process has some of each kind."""


def is_service(source: str) -> bool:
    """Return whether `source` is a service: a URL, or host:port unless a file has that name."""
    return "://" in source or (ADDRESS.match(source) is not None and not Path(source).exists())


def read(source: str, timeout: float, dump_limit: int | None = None) -> Profile | Dump:
    """Return the profile or dump of a service, of a file, or of standard input ("-").

    `dump_limit`: largest number of goroutines for a full dump, None to fetch a profile. Raises ConfigError,
    ScrapeError and UsageError.
    """
    try:
        if is_service(source):
            import asyncio

            from leakwatch.cli.scrape_service import fetch

            return asyncio.run(fetch(source, timeout, dump_limit))
        if source == "-":
            return profile_formats.read(sys.stdin.buffer.read(), pasted=True)
        path = Path(source)
        symbols = recorded_symbols(path, print_message)
        return profile_formats.read(path.read_bytes(), ParseCache(symbols=symbols), pasted=True)
    except ScrapeError as error:
        raise ScrapeError(error.reason, f"{without_credentials(source)}: {error}") from error
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror or error}") from error


def render(source: Profile | Dump, by: GroupBy, output: str, limit: int, own_code: Sequence[str] = ()) -> bytes:
    """Return a profile or dump as "table", "json", "folded" or "pprof".

    `limit`: rows of the table, 0 for all; `own_code`: prefixes of functions that are own code.
    """
    profile = source.profile() if isinstance(source, Dump) else source
    if output == "pprof":
        return pprof.encode(profile)
    identifier = Identifier(own_code)
    samples = identifier.identify(profile)
    if output == "folded":
        return folded(samples.values()).encode("utf-8", "replace")
    rows = group(samples.values(), by)
    truncated = isinstance(source, Dump) and source.truncated
    waitings: Waitings = {}
    if isinstance(source, Dump):
        waitings = {key: waiting(goroutines) for key, goroutines in DumpIndex(source, identifier).by_stack.items()}
    causes = _causes(samples, identifier)
    if output == "json":
        from leakwatch.leaks.leak_json import cause_json

        shown = {key: cause_json(cause) for key, cause in causes.items()}
        document = as_json(profile.total, rows, waitings, shown, truncated=truncated)
        return json_text(document).encode()
    from leakwatch.cli.cause_text import likely_causes
    from leakwatch.cli.scrape_table import ScrapeTable

    title = f"{profile.total} goroutines in {len(samples)} stacks"
    title += "; the dump is truncated" if truncated else ""
    table = ScrapeTable(title, by, waitings).render(rows, limit)
    return (table + likely_causes(samples, causes)).encode("utf-8", "replace")


def _causes(samples: Samples, identifier: Identifier) -> Mapping[Fingerprint, Cause]:
    """Return the likely causes of large stacks. A profile without them does not need the catalogue."""
    if all(sample.goroutines < LEAST_EXPLAINED for sample in samples.values()):
        return {}
    from leakwatch.causes.catalogue import Catalogue
    from leakwatch.causes.one_profile import explained

    return explained(samples.values(), Catalogue(), identifier.is_own, LEAST_EXPLAINED)
