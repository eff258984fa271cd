"""Folders of bodies, as `curl` saves them.

<unix seconds>[.fraction].txt|.pb[.gz]   a body; a folder of bodies is one target
<the same>.symbol                        beside a body: the response of /debug/pprof/symbol, for its wait reasons
<unix seconds>.debug2.txt, .dump[.gz]    a full dump, beside bodies of about that time
<the same>.json                          beside a body of leakwatch's evidence: not read
symbol[.txt]                             beside bodies: the same, for bodies without a file of their own
service/target/<body>                    a folder of targets is a service
any/service/target/<body>                a folder of services
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from leakwatch.cli.analyze.bundles import Bundle, BundleRecording, find_bundles, is_profile
from leakwatch.cli.analyze.recordings import Observation, ProfileRecording, RecordedTarget, parse_time
from leakwatch.cli.symbol_files import SYMBOLS, Warn, own_symbols, read_symbols
from leakwatch.detect.dumped import DumpedStacks
from leakwatch.errors import ProfileError, TruncatedProfile
from leakwatch.evidence.file_names import decode_name
from leakwatch.leaks.dump_reader import dumped_stacks
from leakwatch.model import Profile, Target
from leakwatch.pasted import reader
from leakwatch.profile import formats
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.dump import Dump
from leakwatch.profile.dump_stacks import DumpIndex
from leakwatch.profile.stacks import Identifier

BODY = re.compile(r"(\d{1,20}(?:\.\d{1,9})?)\.(?:txt|pb)(?:\.gz)?")
DUMP = re.compile(r"(\d{1,20}(?:\.\d{1,9})?)\.(?:debug2\.txt|dump)(?:\.gz)?")
BESIDE = re.compile(r"\d{1,20}(?:\.\d{1,9})?\.(?:json|symbol)")
"""Files that belong to a body."""

TimedFile = tuple[float, Path]
"""The time in the name of a file, in unix seconds, and the file."""
TargetFiles = tuple[Target, list[Path]]


class FolderRecording:
    """The bodies and the full dumps of one target: (time, path), ascending; `symbols`: address -> function."""

    def __init__(
        self,
        target: RecordedTarget,
        bodies: Sequence[TimedFile],
        dumps: Sequence[TimedFile],
        *,
        identifier: Identifier,
        warn: Warn,
        symbols: Mapping[int, str],
    ) -> None:
        self.targets = [target]
        self.times = target.times = [time for time, _ in bodies]
        self._bodies = bodies
        self._dumps = dumps
        self._warn = warn
        self._symbols = symbols
        self._caches: dict[int, ParseCache] = {}
        """One per set of symbols, because cached traces depend on the symbols."""
        self._identifier = identifier

    def observations(self) -> Iterator[Observation | None]:
        """Yield the samples of each body, None if it cannot be read."""
        (recorded,) = self.targets
        ends = [*self.times[1:], float("inf")]
        for (time, path), end in zip(self._bodies, ends, strict=True):
            try:
                body = _complete(path.read_bytes(), self._cache(path))
            except (OSError, ProfileError) as error:
                recorded.skipped += 1
                self._warn(f"{path}: {error}")
                yield None
                continue
            recorded.count_profile(time)
            profile = body.profile() if isinstance(body, Dump) else body
            yield Observation(
                time=time,
                target=recorded.target,
                total=profile.total,
                samples=self._identifier.identify(profile),
                dumps=[(time, self._stacks(body))] if isinstance(body, Dump) else self._dumps_between(time, end),
            )

    def _dumps_between(self, begin: float, end: float) -> list[tuple[float, DumpedStacks]]:
        """Return the full dumps between two times; reports those that cannot be read."""
        dumps = []
        for time, path in self._dumps:
            if begin <= time < end:
                try:
                    body = _complete(path.read_bytes())
                except (OSError, ProfileError) as error:
                    self._warn(f"{path}: left out: {error}")
                    continue
                if isinstance(body, Dump):
                    dumps.append((time, self._stacks(body)))
                else:
                    self._warn(f"{path}: left out: it is not a full dump (debug=2)")
        return dumps

    def _stacks(self, dump: Dump) -> DumpedStacks:
        return dumped_stacks(DumpIndex(dump, self._identifier))

    def _cache(self, path: Path) -> ParseCache:
        symbols = own_symbols(path, self._warn) or self._symbols
        return self._caches.setdefault(hash(frozenset(symbols.items())), ParseCache(symbols=symbols))


def _complete(body: bytes, cache: ParseCache | None = None) -> Profile | Dump:
    """Return the only profile in `body`, repaired if nothing is missing; raises ProfileError."""
    try:
        saved = reader.read(body, cache)
    except ProfileError:
        return formats.read_complete(body, cache)
    profile, *others = saved.profiles
    if not others and profile.is_complete and not profile.is_proven:
        return profile.source
    formats.read_complete(body, cache)  # its error names the line
    raise TruncatedProfile(saved.sentence(-1))


def is_body(name: str) -> bool:
    """Return whether a file with this name belongs to a recording, of leakwatch or of another tool."""
    return _is_own(name) or is_profile(name)


def _is_own(name: str) -> bool:
    return name in SYMBOLS or any(pattern.fullmatch(name) for pattern in (BODY, DUMP, BESIDE))


def _has_bodies(path: Path) -> bool:
    """Return whether a folder, of up to three levels, has bodies with the names of leakwatch."""
    return any(BODY.fullmatch(file.name) for level in ("*", "*/*", "*/*/*") for file in path.glob(level))


def bundles_at(path: Path, warn: Warn) -> list[Bundle]:
    """Return the targets that another tool recorded in a folder; none if the folder has leakwatch's own names."""
    return [] if _has_bodies(path) else find_bundles(path, warn)


def find_all(paths: Sequence[Path], identifier: Identifier, warn: Warn) -> list[ProfileRecording]:
    """Return a recording for each target in folders and files; reports the targets in those of other tools."""
    own: list[Path] = []
    files: dict[Path, list[Path]] = {}
    bundles: list[Bundle] = []
    for path in paths:
        if path.is_dir():
            found = bundles_at(path, warn)
            bundles += found
            own += [] if found else [path]
        elif _is_own(path.name):
            own.append(path)
        else:
            files.setdefault(path.parent, []).append(path)
    for parent, members in files.items():
        bundles += find_bundles(parent, warn, members)
    for bundle in bundles:
        warn(bundle.description)
    return [*find(own, identifier, warn), *(BundleRecording(bundle, identifier, warn) for bundle in bundles)]


def find(paths: Sequence[Path], identifier: Identifier, warn: Warn) -> list[FolderRecording]:
    """Return a recording for each target with bodies in the folders `paths`, or among the files `paths`."""
    targets: list[TargetFiles] = []
    files: dict[Path, list[Path]] = {}
    for path in paths:
        if path.is_dir():
            targets += _targets(path, warn)
        else:
            files.setdefault(path.parent, []).append(path)
    targets += [(Target(_name(parent), _name(parent)), paths) for parent, paths in files.items()]
    recordings = [_recording(target, files, identifier, warn) for target, files in targets]
    return [recording for recording in recordings if recording.times]


def _targets(path: Path, warn: Warn) -> list[TargetFiles]:
    """Return the targets in a folder of bodies, of targets, or of services; report files at a wrong level."""
    files, folders = _bodies_or_folders(path, warn)
    if not folders:
        return [(Target(_name(path), _name(path)), files)]
    targets = []
    for folder in folders:
        files, subfolders = _bodies_or_folders(folder, warn)
        if not subfolders:
            targets.append((Target(_name(path), _name(folder)), files))
        for subfolder in subfolders:
            files, deeper = _bodies_or_folders(subfolder, warn)
            for extra in deeper:
                warn(f"{extra}: left out: too deep: a service ({folder}) contains targets, and a target bodies")
            if not deeper:
                targets.append((Target(_name(folder), _name(subfolder)), files))
    return targets


def _bodies_or_folders(path: Path, warn: Warn) -> tuple[list[Path], list[Path]]:
    """Return the files of a folder that has bodies, or else its folders; report the entries of the other kind."""
    files, folders = _entries(path, warn)
    if not folders or any(BODY.fullmatch(file.name) for file in files):
        for extra in folders:
            warn(f"{extra}: left out: bodies lie beside it, so {path} is one target")
        return files, []
    for extra in files:
        warn(f"{extra}: left out: folders lie beside it, so {path} is not a target")
    return [], folders


def _entries(path: Path, warn: Warn) -> tuple[list[Path], list[Path]]:
    """Return the files and the folders in a folder, without hidden ones."""
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    if not entries:
        warn(f"{path}: empty")
    return [e for e in entries if not e.is_dir()], [e for e in entries if e.is_dir()]


def _name(path: Path) -> str:
    return decode_name(path.resolve().name) or str(path)


def _recording(target: Target, files: Sequence[Path], identifier: Identifier, warn: Warn) -> FolderRecording:
    """Return the bodies among `files`, with the times in their names."""
    bodies: dict[float, Path] = {}
    dumps: list[TimedFile] = []
    symbols: dict[int, str] = {}
    recorded = RecordedTarget(target=target)
    for file in sorted(files):
        try:
            if match := DUMP.fullmatch(file.name):
                dumps.append((parse_time(match[1]), file))
                continue
            time = _time(file.name)
        except ValueError as error:
            if file.name in SYMBOLS:
                symbols |= read_symbols(file, warn)
            elif not BESIDE.fullmatch(file.name):
                warn(f"{file}: left out: {error}")
            continue
        if time in bodies:
            recorded.skipped += 1
            warn(f"{file}: left out: it has the same time as {bodies[time].name}")
        else:
            bodies[time] = file
    for time, file in dumps:
        if time < min(bodies, default=0.0) and ".debug2." in file.name:  # evidence has dumps before its first body
            warn(f"{file}: left out: there is no body before it")
    return FolderRecording(
        recorded, sorted(bodies.items()), sorted(dumps), identifier=identifier, warn=warn, symbols=symbols
    )


def _time(name: str) -> float:
    match = BODY.fullmatch(name)
    if match is None:
        raise ValueError("its name is not <unix seconds>.txt or .pb.gz")
    return parse_time(match[1])
