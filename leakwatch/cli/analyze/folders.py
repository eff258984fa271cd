"""Folders of bodies, as `curl` saves them.

<unix seconds>[.fraction].txt|.pb[.gz]   a body; a folder of bodies is one target
<the same>.symbol                        beside a body: the response of /debug/pprof/symbol, for its wait reasons
<the same>.json, .dump.gz                beside a body of leakwatch's evidence: not read
symbol[.txt]                             beside bodies: the same, for bodies without a file of their own
service/target/<body>                    a folder of targets is a service
any/service/target/<body>                a folder of services
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from leakwatch.cli.analyze.recordings import Observation, RecordedTarget, parse_time
from leakwatch.cli.symbol_files import SYMBOLS, Warn, own_symbols, read_symbols
from leakwatch.errors import ProfileError
from leakwatch.evidence.file_names import decode_name
from leakwatch.model import Target
from leakwatch.profile import formats
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.stacks import Identifier

BODY = re.compile(r"(\d{1,20}(?:\.\d{1,9})?)\.(?:txt|pb)(?:\.gz)?")
BESIDE = re.compile(r"\d{1,20}(?:\.\d{1,9})?\.(?:json|symbol|dump|dump\.gz)")
"""Files that belong to a body, and full dumps of evidence: `analyze` does not count them."""

TargetFiles = tuple[Target, list[Path]]


class FolderRecording:
    """The bodies of one target: (time, path), ascending; `symbols`: address -> function."""

    def __init__(
        self,
        target: RecordedTarget,
        bodies: Sequence[tuple[float, Path]],
        identifier: Identifier,
        warn: Warn,
        symbols: Mapping[int, str],
    ) -> None:
        self.targets = [target]
        self.times = target.times = [time for time, _ in bodies]
        self._bodies = bodies
        self._warn = warn
        self._symbols = symbols
        self._caches: dict[int, ParseCache] = {}
        """One per set of symbols, because cached traces depend on the symbols."""
        self._identifier = identifier

    def observations(self) -> Iterator[Observation | None]:
        """Yield the samples of each body, None if it cannot be read."""
        (recorded,) = self.targets
        for time, path in self._bodies:
            try:
                profile = formats.parse(path.read_bytes(), self._cache(path))
            except (OSError, ProfileError) as error:
                recorded.skipped += 1
                self._warn(f"{path}: {error}")
                yield None
            else:
                recorded.count_profile(time)
                yield time, recorded.target, profile.total, self._identifier.identify(profile)

    def _cache(self, path: Path) -> ParseCache:
        symbols = own_symbols(path, self._warn) or self._symbols
        return self._caches.setdefault(hash(frozenset(symbols.items())), ParseCache(symbols=symbols))


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
    symbols: dict[int, str] = {}
    recorded = RecordedTarget(target=target)
    for file in sorted(files):
        try:
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
    return FolderRecording(recorded, sorted(bodies.items()), identifier, warn, symbols)


def _time(name: str) -> float:
    match = BODY.fullmatch(name)
    if match is None:
        raise ValueError("its name is not <unix seconds>.txt or .pb.gz")
    return parse_time(match[1])
