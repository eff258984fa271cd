"""Folders of bodies as `curl` saves them.

<unix seconds>[.fraction].txt|.pb[.gz]   a body; a folder of them is one target
<the same>.symbol                        beside a body: what /debug/pprof/symbol said, for its wait reasons
<the same>.json, .dump.gz                beside a body, as leakwatch keeps evidence: left alone
symbol[.txt]                             beside bodies: the same, for those that have none of their own
service/target/<body>                    a folder of targets is a service
any/service/target/<body>                a folder of services
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from leakwatch.cli.analyze.recordings import Observation, RecordedTarget, Say, unix
from leakwatch.errors import ProfileError
from leakwatch.evidence.file_names import decode_name
from leakwatch.model import Target
from leakwatch.profile import formats as saved
from leakwatch.profile import symbols as symbol
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.stacks import Identifier

BODY = re.compile(r"(\d{1,20}(?:\.\d{1,9})?)\.(?:txt|pb)(?:\.gz)?")
SYMBOLS = {"symbol", "symbol.txt"}
"""Files beside bodies that name what their text hides."""
BESIDE = re.compile(r"\d{1,20}(?:\.\d{1,9})?\.(?:json|symbol|dump|dump\.gz)")
"""What belongs to a body, or is a full dump: of no use to who judges counts."""
FORMAT = re.compile(r"\.(?:txt|pb)(?:\.gz)?$")


class Folder:
    """The bodies of one target, (time, path) in the order of time; `symbols`: address -> function."""

    def __init__(
        self,
        kept: RecordedTarget,
        bodies: Sequence[tuple[float, Path]],
        identifier: Identifier,
        say: Say,
        symbols: Mapping[int, str],
    ) -> None:
        self.kept = [kept]
        self.times = kept.times = [time for time, _ in bodies]
        self._bodies = bodies
        self._say = say
        self._symbols = symbols
        self._caches: dict[int, ParseCache] = {}
        """One per set of symbols, because cached traces depend on the symbols."""
        self._identifier = identifier

    def observations(self) -> Iterator[Observation | None]:
        """Yield what each body holds, None for one that cannot be read."""
        (kept,) = self.kept
        for time, path in self._bodies:
            try:
                profile = saved.parse(path.read_bytes(), self._cache(path))
            except (OSError, ProfileError) as error:
                kept.skipped += 1
                self._say(f"{path}: {error}")
                yield None
            else:
                kept.read(time)
                yield time, kept.target, profile.total, self._identifier.identify(profile)

    def _cache(self, path: Path) -> ParseCache:
        symbols = own_symbols(path, self._say) or self._symbols
        return self._caches.setdefault(hash(frozenset(symbols.items())), ParseCache(symbols=symbols))


def find(paths: Sequence[Path], identifier: Identifier, say: Say) -> list[Folder]:
    """Return the targets whose bodies are in the folders `paths` or are `paths` themselves."""
    found: list[tuple[Target, list[Path]]] = []
    loose: dict[Path, list[Path]] = {}
    for path in paths:
        if path.is_dir():
            found += _within(path, say)
        else:
            loose.setdefault(path.parent, []).append(path)
    found += [(Target(_name(parent), _name(parent)), files) for parent, files in loose.items()]
    folders = [_folder(target, files, identifier, say) for target, files in found]
    return [folder for folder in folders if folder.times]


def _within(path: Path, say: Say) -> list[tuple[Target, list[Path]]]:
    """Return the targets in a folder of bodies, of targets, or of services; say what has no place in there."""
    files, folders = _level(path, say)
    if not folders:
        return [(Target(_name(path), _name(path)), files)]
    found = []
    for one in folders:
        files, inner = _level(one, say)
        if not inner:
            found.append((Target(_name(path), _name(one)), files))
        for two in inner:
            files, deeper = _level(two, say)
            for extra in deeper:
                say(f"{extra}: left out: too deep, below a service ({one}) are targets, below a target bodies")
            if not deeper:
                found.append((Target(_name(one), _name(two)), files))
    return found


def _level(path: Path, say: Say) -> tuple[list[Path], list[Path]]:
    """Return the bodies, or else the folders, in a folder; say what lies beside."""
    files, folders = _listed(path, say)
    if not folders or _has_bodies(files):
        for extra in folders:
            say(f"{extra}: left out: bodies lie beside it, so {path} is one target")
        return files, []
    for extra in files:
        say(f"{extra}: left out: folders lie beside it, so {path} is no target")
    return [], folders


def _listed(path: Path, say: Say) -> tuple[list[Path], list[Path]]:
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    if not entries:
        say(f"{path}: empty")
    return [e for e in entries if not e.is_dir()], [e for e in entries if e.is_dir()]


def _has_bodies(files: Sequence[Path]) -> bool:
    return any(BODY.fullmatch(file.name) for file in files)


def _name(path: Path) -> str:
    return decode_name(path.resolve().name) or str(path)


def _folder(target: Target, files: Sequence[Path], identifier: Identifier, say: Say) -> Folder:
    """Return the bodies among `files`, in the order of the times that their names say."""
    bodies: dict[float, Path] = {}
    symbols: dict[int, str] = {}
    kept = RecordedTarget(target)
    for file in sorted(files):
        try:
            time = _time(file.name)
        except ValueError as error:
            if file.name in SYMBOLS:
                symbols |= read_symbols(file, say)
            elif not BESIDE.fullmatch(file.name):
                say(f"{file}: left out: {error}")
            continue
        if time in bodies:
            kept.skipped += 1
            say(f"{file}: left out: of the same time as {bodies[time].name}")
        else:
            bodies[time] = file
    return Folder(kept, sorted(bodies.items()), identifier, say, symbols)


def own_symbols(body: Path, say: Say) -> dict[int, str]:
    """Return address -> function, as the file `<name>.symbol` beside a body has it; {} if there is none."""
    file = body.with_name(f"{FORMAT.sub('', body.name)}.symbol")
    return read_symbols(file, say) if file.is_file() else {}


def read_symbols(file: Path, say: Say) -> dict[int, str]:
    """Return address -> function, as a file beside bodies has it; say what is wrong with it."""
    try:
        return symbol.parse(file.read_bytes())
    except (OSError, ProfileError) as error:
        say(f"{file}: left out: {error}")
        return {}


def _time(name: str) -> float:
    match = BODY.fullmatch(name)
    if match is None:
        raise ValueError("its name is not <unix seconds>.txt or .pb.gz")
    return unix(match[1])
