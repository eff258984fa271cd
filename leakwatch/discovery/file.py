"""`file_sd_configs`: target groups in YAML or JSON files, read again when they change.

A file is compared by size, inode and time of change, which works on every file system and through the symbolic
links of a Kubernetes ConfigMap. A file that cannot be read, or is half written, keeps its last groups and says so.
"""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import structlog
import yaml
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from leakwatch.client import Settings
from leakwatch.discovery import TargetGroup, Update
from leakwatch.errors import ConfigError
from leakwatch.mistakes import reworded
from leakwatch.units import ConfigPath, Duration

log = structlog.get_logger()

GROUPS = TypeAdapter(tuple[TargetGroup, ...])
Version = tuple[int, int, int]


def _pattern(pattern: Path) -> Path:
    if pattern.suffix not in {".yml", ".yaml", ".json"}:
        raise ValueError(f"{str(pattern)!r} must end in .yml, .yaml or .json")
    return pattern


class FileConfig(Settings):
    """Which files to read, and how often to look whether they changed."""

    files: Annotated[tuple[Annotated[ConfigPath, AfterValidator(_pattern)], ...], Field(min_length=1)]
    refresh_interval: Duration = 5.0

    async def run(self, update: Update) -> None:
        """Tell the groups of all files whenever one of them changed; never ends."""
        reader = Reader(self.files)
        while True:
            groups = reader.read()
            if groups is not None:
                update(groups)
            await asyncio.sleep(self.refresh_interval)


class Reader:
    """Reads the files of some patterns, each only when it changed."""

    def __init__(self, patterns: tuple[Path, ...]) -> None:
        self._patterns = patterns
        self._versions: dict[str, Version] = {}
        self._said: dict[str, str] = {}
        self._groups: dict[str, tuple[TargetGroup, ...]] = {}
        self._first = True

    def read(self) -> list[TargetGroup] | None:
        """Return the groups of all files, None if nothing changed since the last call."""
        paths = sorted({path for pattern in self._patterns for path in _matching(pattern)})
        changed = self._first
        if self._first and not paths:
            log.warning("no file to read targets from yet", files=[str(pattern) for pattern in self._patterns])
        self._first = False
        for path in paths:
            changed |= self._read(path)
        for path in self._groups.keys() - set(paths):
            log.warning("targets file is gone: its targets go too", file=path)
            del self._groups[path]
            self._versions.pop(path, None)
            changed = True
        return [group for groups in self._groups.values() for group in groups] if changed else None

    def _read(self, path: str) -> bool:
        try:
            stat = Path(path).stat()
            version = (stat.st_size, stat.st_ino, stat.st_mtime_ns)
            if self._versions.get(path) == version:
                return False
            groups = read_groups(Path(path))
        except (OSError, ConfigError) as error:
            said = f"{path}: {error.strerror}" if isinstance(error, OSError) else str(error)
            if self._said.get(path) == said:
                return False
            self._said[path] = said
            kept = len(self._groups.get(path, ()))
            log.error(  # noqa: TRY400  the message says it all, a traceback says less
                "targets file cannot be used, its last target groups stay", file=path, kept=kept, error=said
            )
            return False
        self._versions[path] = version
        self._said.pop(path, None)
        changed = self._groups.get(path) != groups
        self._groups[path] = groups
        return changed


def _matching(pattern: Path) -> list[str]:
    return [str(path) for path in pattern.parent.glob(pattern.name)]


def read_groups(path: Path) -> tuple[TargetGroup, ...]:
    """Return the target groups in one file; raises OSError and ConfigError."""
    try:
        text = path.read_text()
        data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
    try:
        return GROUPS.validate_python(data, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {where or 'top level'}: {reworded(first)}") from error
