"""Runs `leakwatch scrape`: prints the profile of a service or the profiles of a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from leakwatch.causes.model import Cause
from leakwatch.cli.sources import report, report_missing_waits
from leakwatch.cli.terminal import json_text, print_message
from leakwatch.errors import UsageError
from leakwatch.model import Fingerprint, Profile, Samples
from leakwatch.pasted.report import SavedFile, SavedProfile, counted
from leakwatch.profile import pprof
from leakwatch.profile.dump import Dump
from leakwatch.profile.dump_stacks import DumpIndex, waiting
from leakwatch.profile.frameless import frameless, with_frameless
from leakwatch.profile.grouping import GroupBy, Waitings, as_json, group
from leakwatch.profile.proven import Proven, all_proven, folded, labelled, marked
from leakwatch.profile.stacks import Identifier

LEAST_EXPLAINED: Final = 30
"""Goroutines of a stack below which no cause is shown: a healthy process has some of each kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeOptions:
    """How to print a profile; `output`: "table", "json", "folded" or "pprof"; `limit`: rows, 0 for all."""

    by: GroupBy
    output: str
    limit: int
    own_code: tuple[str, ...] = ()


def printed(source: str, file: SavedFile, dump: str, options: ScrapeOptions) -> bytes:
    """Return one dump of a file, or all, in a format, after messages about how they were read.

    `dump`: a number from 1, "last" or "all". Raises UsageError.
    """
    indices = _indices(file, dump)
    for index in indices:
        report(source, file, index)
    report_missing_waits([file.profiles[index] for index in indices])
    if any(file.profiles[index].is_difference for index in indices):
        print_message(f"{source}: this is a difference of two profiles: counts are changes")
        return _difference(source, file.profiles[indices[0]].source, options)
    if options.output == "json":
        documents = [document(file, index, options.by, options.own_code) for index in indices]
        return json_text({"dumps": documents} if dump == "all" else documents[0]).encode()
    if len(indices) > 1 and options.output != "table":
        raise UsageError(f"--dump all cannot be combined with --format {options.output}: counts would be added up")
    return b"\n".join(
        render(
            file.profiles[index],
            options.by,
            options.output,
            options.limit,
            options.own_code,
            f"dump {index + 1} of {len(file.profiles)}: " if len(file.profiles) > 1 else "",
        )
        for index in indices
    )


def _difference(source: str, difference: Profile | Dump, options: ScrapeOptions) -> bytes:
    """Return the changes in a difference of two profiles, as `diff` prints them; raises UsageError."""
    if isinstance(difference, Dump) or options.output == "pprof":
        raise UsageError(f"{source}: a difference cannot be printed with --format pprof")
    from leakwatch.cli import diff

    shown = diff.DiffOptions(
        by=options.by,
        output="text" if options.output == "table" else options.output,
        limit=options.limit,
        timeout=0,
        own_code=options.own_code,
    )
    return diff.difference(source, difference, shown).encode("utf-8", "replace")


def _indices(file: SavedFile, dump: str) -> list[int]:
    """Return the indices of the dumps that an option selects; raises UsageError."""
    number = len(file.profiles)
    if dump == "all":
        return list(range(number))
    if dump == "last":
        return [number - 1]
    if not dump.isdecimal() or not 1 <= int(dump) <= number:
        raise UsageError(f"--dump {dump}: expected a number from 1 to {number}, all, or last")
    return [int(dump) - 1]


def render(
    saved: SavedProfile, by: GroupBy, output: str, limit: int, own_code: Sequence[str] = (), heading: str = ""
) -> bytes:
    """Return a profile or dump as "table", "folded" or "pprof".

    `limit`: rows of the table, 0 for all; `own_code`: prefixes of functions that are own code; `heading`: text
    before the title.
    """
    if output == "pprof":
        return pprof.encode(labelled(saved.source, is_proven=saved.is_proven))
    stacks = SavedStacks(saved, own_code)
    if output == "folded":
        return folded(stacks.samples.values(), stacks.proven).encode("utf-8", "replace")
    from leakwatch.cli.cause_text import likely_causes
    from leakwatch.cli.scrape_table import ScrapeTable

    rows = group(stacks.samples.values(), by)
    table = ScrapeTable(heading + stacks.title, by, stacks.waitings, stacks.proven).render(rows, limit)
    return (table + likely_causes(stacks.samples, stacks.causes)).encode("utf-8", "replace")


def document(file: SavedFile, index: int, by: GroupBy, own_code: Sequence[str] = ()) -> dict[str, object]:
    """Return the JSON of a profile of a file."""
    from leakwatch.leaks.leak_json import cause_json

    stacks = SavedStacks(file.profiles[index], own_code)
    shown = {key: cause_json(cause) for key, cause in stacks.causes.items()}
    rows = group(stacks.samples.values(), by)
    profile = as_json(stacks.total, rows, stacks.waitings, shown, stacks.proven, truncated=stacks.is_truncated)
    return profile | {"read": file.as_json(index)}


class SavedStacks:
    """The stacks of a profile or dump; `own_code`: prefixes of functions that are own code."""

    def __init__(self, saved: SavedProfile, own_code: Sequence[str]) -> None:
        source = saved.source
        profile = source.profile() if isinstance(source, Dump) else source
        self._saved = saved
        self._identifier = Identifier(own_code)
        self.total = profile.total
        self.frameless = frameless(profile)
        self.samples = with_frameless(self._identifier.identify(profile), self.frameless)
        self.is_truncated = isinstance(source, Dump) and source.truncated
        self.waitings: Waitings = {}
        self.proven: Proven = all_proven(self.samples) if saved.is_proven else {}
        if isinstance(source, Dump):
            index = DumpIndex(source, self._identifier)
            self.waitings = {key: waiting(goroutines) for key, goroutines in index.by_stack.items()}
            self.proven = marked(index)

    @property
    def title(self) -> str:
        """The numbers of goroutines and stacks, and what is missing."""
        stacks = len(self.samples) - (self.frameless > 0)
        title = f"{counted(self.total, 'goroutine')} in {counted(stacks, 'stack')}"
        title += f", {self.frameless} without frames" if self.frameless and self.frameless < self.total else ""
        title += f", a part of {self._saved.part_of}" if self._saved.part_of is not None else ""
        title += f"; Go's runtime proves that {sum(self.proven.values())} leak" if self.proven else ""
        return title + ("; the dump is truncated" if self.is_truncated else "")

    @property
    def causes(self) -> Mapping[Fingerprint, Cause]:
        """The likely causes of large stacks."""
        return _causes(self.samples, self._identifier)


def _causes(samples: Samples, identifier: Identifier) -> Mapping[Fingerprint, Cause]:
    """Return the likely causes of large stacks. A profile without them does not need the catalogue."""
    if all(sample.goroutines < LEAST_EXPLAINED for sample in samples.values()):
        return {}
    from leakwatch.causes.catalogue import Catalogue
    from leakwatch.causes.one_profile import explained

    return explained(samples.values(), Catalogue(), identifier.is_own, LEAST_EXPLAINED)
