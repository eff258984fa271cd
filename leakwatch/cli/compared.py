"""Reads the two profiles that `leakwatch diff` compares, from services, files, folders and archives."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from leakwatch.cli.analyze.bundles import Bundle
from leakwatch.cli.analyze.folders import BODY, bundles_at
from leakwatch.cli.archives import is_archive, unpacked
from leakwatch.cli.sources import is_service, load, report, report_missing_waits
from leakwatch.cli.terminal import print_message
from leakwatch.clock import Clock
from leakwatch.errors import ConfigError, UsageError, without_credentials
from leakwatch.model import Samples
from leakwatch.pasted.report import SavedProfile, counted
from leakwatch.profile.dump import Dump
from leakwatch.profile.stacks import Identifier

LISTED = 10
"""Targets that a message lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedProfile:
    """One of the two profiles; `time` in unix seconds, None if it is unknown."""

    name: str
    time: float | None
    total: int
    samples: Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """A profile of a source, before its stacks are identified."""

    name: str
    time: float | None
    profile: SavedProfile


def read_both(
    sources: tuple[str, str | None], timeout: float, identifier: Identifier
) -> tuple[ComparedProfile, ComparedProfile]:
    """Return the old and the new profile; raises ConfigError and ScrapeError."""
    first, second = sources
    if first == second == "-":
        raise UsageError("only one of OLD and NEW can be standard input")
    both = [_pick(first, timeout, 0), _pick(second, timeout, -1)] if second else _series(first, timeout)
    for picked in both:
        if picked.profile.is_difference:
            raise UsageError(f"{picked.name}: this is already a difference; print it with `leakwatch scrape`")
    report_missing_waits([picked.profile for picked in both])
    old, new = (_compared(picked, identifier) for picked in both)
    return old, new


def _series(source: str, timeout: float) -> list[Picked]:
    """Return the first and the last profile of a folder, an archive, or a file with several."""
    if is_service(source):
        raise UsageError(f"{without_credentials(source)}: without NEW, OLD must be a folder, an archive or a file")
    if _is_folder(source):
        first, last = (_pick(source, timeout, index) for index in (0, -1))
        if (first.name, first.time) == (last.name, last.time):
            raise UsageError(f"{source}: has only one profile, or several with the same time: pass two files")
        return [first, last]
    file = load(source, timeout)
    if len(file.profiles) < 2:
        raise UsageError(f"{source}: without NEW, OLD must be a folder of profiles, or a file with several dumps")
    print_message(f"{source}: comparing the first and the last of {len(file.profiles)} dumps")
    for index in (0, -1):
        if file.profiles[index].repairs:
            report(source, file, index)
    numbers = (1, len(file.profiles))
    return [
        Picked(name=f"{source} dump {number}", time=profile.time, profile=profile)
        for number, profile in zip(numbers, (file.profiles[0], file.profiles[-1]), strict=True)
    ]


def _is_folder(source: str) -> bool:
    return source != "-" and (Path(source).is_dir() or is_archive(Path(source)))


def _pick(source: str, timeout: float, index: int) -> Picked:
    """Return the first (0) or last (-1) profile of a folder or archive, or the last of a file or service."""
    if is_service(source):
        file = load(source, timeout)
        return Picked(name=without_credentials(source), time=Clock().time(), profile=file.profiles[-1])
    if not _is_folder(source):
        return _from_file(source, source, timeout, -1)
    with _folder(source) as folder:
        path, position, time = _body(source, folder, index)
        shown = f"{source}/{path.relative_to(folder)}" if folder != Path(source) else str(path)
        picked = _from_file(str(path), shown, timeout, position)
    return Picked(name=picked.name, time=time, profile=picked.profile)


@contextmanager
def _folder(source: str) -> Iterator[Path]:
    with unpacked([Path(source)]) as (folder,):
        yield folder


def _from_file(source: str, name: str, timeout: float, index: int) -> Picked:
    file = load(source, timeout)
    report(name, file, index)
    match = BODY.fullmatch(Path(source).name)
    profile = file.profiles[index]
    return Picked(name=name, time=float(match[1]) if match else profile.time, profile=profile)


def _body(source: str, folder: Path, index: int) -> tuple[Path, int, float]:
    """Return the path, the position in the file, and the time of the first or last profile in a folder."""
    try:
        bodies = [file for file in folder.iterdir() if BODY.fullmatch(file.name)]
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror or error}") from error
    if bodies:
        times = sorted((_seconds(file.name), file) for file in bodies)
        return times[index][1], -1, times[index][0]
    warn = print_message if index == 0 else _omit
    profile = _only(source, bundles_at(folder, warn)).profiles[index]
    return profile.path, profile.index, profile.time


def _omit(_: str) -> None:
    """Omit a warning that the first profile of a folder has already printed."""


def _only(source: str, bundles: Sequence[Bundle]) -> Bundle:
    """Return the only target of a bundle; raises ConfigError."""
    if not bundles:
        raise ConfigError(
            f"{source}: has no file named <unix seconds>.txt or .pb, with or without .gz, and no goroutine profile"
        )
    if len(bundles) > 1:
        names = ", ".join(bundle.target.name for bundle in bundles[:LISTED])
        raise ConfigError(
            f"{source}: has {counted(len(bundles), 'target')} ({names}): give the folder of one, or two files"
        )
    return bundles[0]


def _seconds(name: str) -> float:
    match = BODY.fullmatch(name)
    return float(match[1]) if match else 0.0


def _compared(picked: Picked, identifier: Identifier) -> ComparedProfile:
    source = picked.profile.source
    profile = source.profile() if isinstance(source, Dump) else source
    if isinstance(source, Dump) and source.truncated and picked.profile.is_intact:
        print_message(f"{picked.name}: the dump is truncated")
    return ComparedProfile(
        name=picked.name, time=picked.time, total=profile.total, samples=identifier.identify(profile)
    )
