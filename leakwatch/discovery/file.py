"""`file_sd_configs`: target groups in YAML or JSON files, read again when they change.

A file is compared by size, inode and time of change, which works on every file system and through the symbolic
links of a Kubernetes ConfigMap. A file that cannot be read, or is half written, keeps its last groups and says so.
"""

import asyncio
import json
from pathlib import Path
from typing import Annotated, ClassVar

import yaml
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from leakwatch.discovery.status import progress
from leakwatch.discovery.target_group import CompleteGroup, TargetGroup, Update
from leakwatch.errors import ConfigError
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.file import load_yaml
from leakwatch.settings.messages import friendly_message
from leakwatch.settings.types import ConfigPath, Duration

CANNOT = "targets file cannot be used, its last target groups stay"

Version = tuple[int, int, int]


def _pattern(pattern: Path) -> Path:
    if pattern.suffix not in {".yml", ".yaml", ".json"}:
        raise ValueError(f"{str(pattern)!r} must end in .yml, .yaml or .json")
    return pattern


class FileConfig(BaseSettings):
    """Which files to read, and how often to look whether they changed."""

    files: Annotated[tuple[Annotated[ConfigPath, AfterValidator(_pattern)], ...], Field(min_length=1)]
    """Files in YAML or JSON that list target groups; * stands for any part of a file's name."""
    refresh_interval: Duration = 5.0
    """How often it is looked whether they changed."""

    group: ClassVar[type[TargetGroup]] = TargetGroup
    """What a group in these files must be."""

    async def run(self, update: Update) -> None:
        """Tell the groups of all files whenever one of them changed; never ends."""
        reader = Reader(self.files, self.group)
        while True:
            groups = reader.read()
            if groups is not None:
                update(groups)
            await asyncio.sleep(self.refresh_interval)


class CompleteFileConfig(FileConfig):
    """Files whose addresses are scraped as they stand, since no rule mends them."""

    group = CompleteGroup


class Reader:
    """Reads the files of some patterns, each only when it changed; `group`: what must be in them."""

    def __init__(self, patterns: tuple[Path, ...], group: type[TargetGroup] = CompleteGroup) -> None:
        self._patterns = patterns
        self._groups_type: TypeAdapter[tuple[TargetGroup, ...]] = TypeAdapter(tuple[group, ...])  # type: ignore[valid-type]  # a type that is chosen
        self._progress = progress()
        self._seen: set[str] = set()
        self._versions: dict[str, Version] = {}
        self._groups: dict[str, tuple[TargetGroup, ...]] = {}
        self._first = True

    def read(self) -> list[TargetGroup] | None:
        """Return the groups of all files, None if nothing changed since the last call."""
        paths = sorted({path for pattern in self._patterns for path in _matching(pattern)})
        changed = self._first
        if self._first and not paths:
            files = [str(pattern) for pattern in self._patterns]
            self._progress.log.warning("no file to read targets from yet", files=files)
        self._first = False
        for path in paths:
            changed |= self._read(path)
        for path in self._seen - set(paths):
            self._progress.forget(path)
            self._versions.pop(path, None)
            if self._groups.pop(path, None) is not None:
                self._progress.log.warning("targets file is gone: its targets go too", file=path)
                changed = True
        self._seen = set(paths)
        return [group for groups in self._groups.values() for group in groups] if changed else None

    def _read(self, path: str) -> bool:
        try:
            stat = Path(path).stat()
            version = (stat.st_size, stat.st_ino, stat.st_mtime_ns)
            if self._versions.get(path) == version:
                self._progress.works(path)
                return False
            groups = read_groups(Path(path), self._groups_type)
        except (OSError, ConfigError) as error:
            said = f"{path}: {error.strerror}" if isinstance(error, OSError) else str(error)
            kept = sum(len(group.targets) for group in self._groups.get(path, ()))
            self._progress.failed(path, said, kept=kept, event=CANNOT)
            return False
        self._versions[path] = version
        self._progress.works(path)
        groups = tuple(_named(group, path) for group in groups)
        changed = self._groups.get(path) != groups
        self._groups[path] = groups
        return changed


def _named(group: TargetGroup, path: str) -> TargetGroup:
    return group.model_copy(update={"labels": {**group.labels, "__meta_filepath": path}})


def _matching(pattern: Path) -> list[str]:
    return [str(path) for path in pattern.parent.glob(pattern.name)]


def read_groups(path: Path, groups: TypeAdapter[tuple[TargetGroup, ...]]) -> tuple[TargetGroup, ...]:
    """Return the target groups in one file; raises OSError and ConfigError."""
    try:
        text = path.read_text()
        data = json.loads(text) if path.suffix == ".json" else load_yaml(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
    try:
        return groups.validate_python(data, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {where or 'top level'}: {friendly_message(first)}") from error
