"""Folders of profiles that other tools recorded, and files with several profiles.

consul/1743066480/goroutine.prof                      consul debug: folders named by unix seconds
vault/2025-03-27T09-08-00Z/goroutine.prof             vault debug
nomad/server/leader/goroutine_0000.prof               nomad operator debug: the time is in the protobuf
goroutine_dump.2025-03-27T09_08_00.000.x.133.txt      CockroachDB
pprof.shop.goroutine.001.pb.gz                        `go tool pprof` keeps these in ~/pprof

A profile has the time in its file name, else in the name of its folder, else in the protobuf or the log around it,
else of the file. A target is a folder, without the folders that are named by a time; in ~/pprof it is the program.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from leakwatch.cli.analyze.recordings import YEAR_10000, Observation, RecordedTarget
from leakwatch.cli.symbol_files import Warn
from leakwatch.errors import ProfileError
from leakwatch.leaks.dump_reader import dumped_stacks
from leakwatch.model import Target
from leakwatch.pasted import reader
from leakwatch.pasted.report import SavedFile, counted
from leakwatch.profile.dump import Dump
from leakwatch.profile.dump_stacks import DumpIndex
from leakwatch.profile.frameless import frameless
from leakwatch.profile.stacks import Identifier

NAME: Final = re.compile(r"(?:^|[._-])(?:goroutines?|stacks)(?:[._-]|$)", re.IGNORECASE)
"""Names of goroutine profiles, without those of leakwatch's own recordings."""
SUFFIX: Final = re.compile(r"\.(?:txt|log|out|prof|pprof|pb|dump|debug[012])(?:\.gz)?$")
PPROF: Final = re.compile(r"pprof\.(.+?)\.goroutine\.\d+\.pb\.gz")
SECONDS: Final = re.compile(r"(?<!\d)(1\d{9})(?:\.\d+)?(?!\d)")
DATE: Final = re.compile(r"(?<!\d)(20\d\d)-?(\d\d)-?(\d\d)[T_ -]?(\d\d)[_:.-]?(\d\d)[_:.-]?(\d\d)(?:\.(\d{1,6}))?")
NUMBERS: Final = re.compile(r"\d+")
MAX_FILES: Final = 100_000
MAX_FOLDERS: Final = 8
"""Levels of folders that are searched."""
FIRST: Final = 1_000_000_000.0
"""Unix seconds. An earlier time is not the time of a profile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedAt:
    """One profile of a file: its time in unix seconds, and where the time is."""

    time: float
    path: Path
    index: int
    origin: str


@dataclass(slots=True, kw_only=True)
class Bundle:
    """The profiles of one target; `files`: the pattern of their names."""

    target: Target
    files: str
    profiles: list[SavedAt] = field(default_factory=list)

    @property
    def description(self) -> str:
        """The target with its profiles, and how it was found."""
        origins = " and ".join(sorted({profile.origin for profile in self.profiles}))
        return (
            f"took {self.target.service}/{self.target.name} as a target:"
            f" {counted(len(self.profiles), 'profile')} named {self.files}, with times from {origins}"
        )


def is_profile(name: str) -> bool:
    """Return whether a file with this name may be a goroutine profile."""
    return NAME.search(name) is not None and ("." not in name or may_be_profile(name))


def may_be_profile(name: str) -> bool:
    """Return whether a file with this name may be a profile, if there is none with the name of one."""
    return SUFFIX.search(name) is not None


def time_in(name: str) -> float | None:
    """Return the time in the name of a file or folder, in unix seconds; None if there is none."""
    if match := DATE.search(name):
        try:
            moment = datetime.strptime("".join(match.groups()[:6]), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return None
        return moment.timestamp() + float(f"0.{match[7] or 0}")
    match = SECONDS.search(name)
    return float(match[0]) if match else None


def find_bundles(root: Path, warn: Warn, files: Sequence[Path] = ()) -> list[Bundle]:
    """Return the targets in a folder of another tool; `files`: those of the folder to read, without it all."""
    files = files or list(_files(root, warn, is_profile)) or list(_files(root, warn, may_be_profile))
    groups: dict[tuple[str, str], list[Path]] = {}
    for file in files:
        groups.setdefault((_target_name(root, file), _pattern(file.name)), []).append(file)
    best: dict[str, str] = {}
    for (name, pattern), members in groups.items():  # a tool may save each profile in several formats
        others = groups.get((name, best.get(name, "")), [])
        if (len(members), _rank(pattern)) > (len(others), _rank(best.get(name, ""))):
            best[name] = pattern
    bundles = []
    service = _stem(root)
    for (name, pattern), members in groups.items():
        if best[name] != pattern:
            warn(f"{name}: left out {counted(len(members), 'file')} named {pattern} beside {best[name]}")
            continue
        bundle = Bundle(target=Target(service, name), files=pattern)
        for file in members:
            bundle.profiles += _profiles(root, file, warn)
        bundle.profiles = _distinct(bundle.profiles, warn)
        if bundle.profiles:
            bundles.append(bundle)
    return bundles


def _files(root: Path, warn: Warn, is_wanted: Callable[[str], bool]) -> Iterator[Path]:
    number, root_depth = 0, len(root.parts)
    for folder, subfolders, names in os.walk(root):
        subfolders.sort()
        if len(Path(folder).parts) - root_depth >= MAX_FOLDERS:
            subfolders.clear()
        for name in sorted(names):
            number += 1
            if number > MAX_FILES:
                warn(f"{root}: has more than {MAX_FILES} files; the others are left out")
                return
            if is_wanted(name):
                yield Path(folder) / name


def _target_name(root: Path, file: Path) -> str:
    """Return the name of the target of a file: its program, or its folders without times."""
    if match := PPROF.fullmatch(file.name):
        return match[1]
    parts = file.relative_to(root).parts[:-1]
    return "/".join(part for part in parts if time_in(part) is None) or _stem(root)


def _stem(root: Path) -> str:
    name = root.resolve().name
    return name.partition(".")[0] or name


def _pattern(name: str) -> str:
    """Return a name with an asterisk for its numbers, and for its time and all that follows."""
    date = DATE.search(name)
    return f"{name[: date.start()]}*" if date else NUMBERS.sub("*", name.removesuffix(".gz"))


def _rank(pattern: str) -> tuple[bool, str]:
    """Return the order of formats: protobuf has wait reasons and counts, and comes before text."""
    return pattern.endswith((".prof", ".pb", ".pprof")), pattern


def _profiles(root: Path, file: Path, warn: Warn) -> list[SavedAt]:
    """Return the profiles of a file with their times; reports a file that cannot be read."""
    folders = reversed(file.relative_to(root).parts[:-1])
    try:
        saved = reader.read(file.read_bytes())
        modified = file.stat().st_mtime
    except (OSError, ProfileError) as error:
        warn(f"{file}: left out: {error}")
        return []
    if len(saved.profiles) > 1:
        return _series(file, saved, warn)
    candidates = (
        (time_in(file.name), "the names of files"),
        (next(filter(None, map(time_in, folders)), None), "the names of folders"),
        (saved.profiles[0].time, "the contents"),
        (modified, "the times of files"),
    )
    time, origin = next((time, origin) for time, origin in candidates if time and FIRST <= time < YEAR_10000)
    return [SavedAt(time=time, path=file, index=0, origin=origin)]


def _series(file: Path, saved: SavedFile, warn: Warn) -> list[SavedAt]:
    """Return the profiles of a file that has several, if the log around them has their times."""
    timed = [(profile.time, index) for index, profile in enumerate(saved.profiles)]
    known = [SavedAt(time=time, path=file, index=i, origin="the log lines") for time, i in timed if time]
    if len(known) < len(timed):
        warn(
            f"{file}: {len(timed) - len(known)} of its {len(timed)} dumps have no time and are left out;"
            f" `leakwatch diff {file}` compares the first with the last"
        )
    return known


def _distinct(profiles: Sequence[SavedAt], warn: Warn) -> list[SavedAt]:
    """Return profiles by time; reports those that have the same time as another."""
    times = Counter(profile.time for profile in profiles)
    by_time = {profile.time: profile for profile in profiles}
    for time, number in times.items():
        if number > 1:
            warn(f"{by_time[time].path}: {number} profiles have this time; the last is used")
    return [by_time[time] for time in sorted(by_time)]


class BundleRecording:
    """The profiles of one target in a bundle. Repairs of a profile are reported."""

    def __init__(self, bundle: Bundle, identifier: Identifier, warn: Warn) -> None:
        self._recorded = RecordedTarget(target=bundle.target)
        self.targets = [self._recorded]
        self._profiles = bundle.profiles
        self._identifier = identifier
        self._warn = warn
        self.times = self._recorded.times = [profile.time for profile in bundle.profiles]

    def observations(self) -> Iterator[Observation | None]:
        """Yield the samples of each profile, None if it cannot be used."""
        path, saved = Path(), SavedFile(())
        for profile in self._profiles:
            try:
                if profile.path != path:
                    path, saved = profile.path, reader.read(profile.path.read_bytes())
                problem = self._problem(saved, profile.index)
            except (OSError, ProfileError) as error:
                problem = str(error)
            if problem:
                self._recorded.skipped += 1
                self._warn(f"{profile.path}: left out: {problem}")
                yield None
            else:
                yield self._observation(saved, profile)

    def _problem(self, saved: SavedFile, index: int) -> str:
        """Return why the counts of a profile would be too low, or ""; reports other repairs."""
        profile, sentence = saved.profiles[index], saved.sentence(index)
        if profile.is_difference:
            return "it is a difference of two profiles"
        if profile.part_of is not None or (isinstance(profile.source, Dump) and profile.source.truncated):
            return sentence or "it is incomplete"
        if profile.skipped:
            self._warn(f"{self._recorded.name}: {sentence}")
        return ""

    def _observation(self, saved: SavedFile, profile: SavedAt) -> Observation:
        source = saved.profiles[profile.index].source
        counts = source.profile() if isinstance(source, Dump) else source
        self._recorded.count_profile(profile.time)
        dumps = []
        if isinstance(source, Dump) and frameless(counts) < counts.total:
            dumps = [(profile.time, dumped_stacks(DumpIndex(source, self._identifier)))]
        return Observation(
            time=profile.time,
            target=self._recorded.target,
            total=counts.total,
            samples=self._identifier.identify(counts),
            dumps=dumps,
        )
