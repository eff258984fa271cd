"""`file_sd_configs`: target groups in YAML or JSON files, which are read again when they change.

A change is a new size, inode or modification time of a file. This works on every file system, and through the
symbolic links of a Kubernetes ConfigMap. If a file is invalid or cannot be read, its last groups stay.
"""

import asyncio
import json
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from leakwatch.clock import Clock
from leakwatch.discovery.status import DiscoveryStatus
from leakwatch.discovery.target_group import CompleteGroup, TargetGroup, Update
from leakwatch.errors import ConfigError, redacted
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.messages import line_number, message
from leakwatch.settings.types import ConfigPath, Duration
from leakwatch.settings.yaml_file import load_yaml

FILE_FAILED = "targets file cannot be used, its last target groups stay"

FileVersion = tuple[int, int, int]
"""Size, inode, and modification time in nanoseconds."""


def _pattern(pattern: Path) -> Path:
    if pattern.suffix not in {".yml", ".yaml", ".json"}:
        raise ValueError(f"{redacted(str(pattern))!r} must end in .yml, .yaml or .json")
    return pattern


class FileConfig(BaseSettings):
    """Files with target groups."""

    files: Annotated[tuple[Annotated[ConfigPath, AfterValidator(_pattern)], ...], Field(min_length=1)]
    """YAML or JSON files that list target groups. `*` in a file name matches any text."""
    refresh_interval: Duration = 5.0
    """How often leakwatch checks whether the files changed."""

    group: ClassVar[type[TargetGroup]] = TargetGroup
    """The type that each group is validated as."""

    def unmatched(self) -> list[Path]:
        """Return the patterns that match no file now."""
        return [pattern for pattern in self.files if not _matching_paths(pattern)]

    def discoverer(self, status: DiscoveryStatus, clock: Clock) -> "FileDiscoverer":
        """Return the discoverer of these files."""
        return FileDiscoverer(self, status, clock)


class CompleteFileConfig(FileConfig):
    """Files for a job without relabel rules: each address must be host:port or a unix socket."""

    group = CompleteGroup


class FileDiscoverer:
    """Reads the files of a configuration, each only when it changed."""

    def __init__(self, config: FileConfig, status: DiscoveryStatus, clock: Clock) -> None:
        self._config = config
        self._status = status
        self._clock = clock
        group = config.group
        self._groups_type: TypeAdapter[tuple[TargetGroup, ...]] = TypeAdapter(tuple[group, ...])  # type: ignore[valid-type]  # a type chosen at run time
        self._paths: set[str] = set()
        self._versions: dict[str, FileVersion] = {}
        self._groups: dict[str, tuple[TargetGroup, ...]] = {}
        self._is_first_read = True

    async def run(self, update: Update) -> None:
        """Call `update` with the groups of all files after each change; never ends."""
        while True:
            groups = await self.read()
            if groups is not None:
                update(groups)
            await self._clock.sleep(self._config.refresh_interval)

    async def read(self) -> list[TargetGroup] | None:
        """Return the groups of all files, or None if they did not change since the last call."""
        paths = sorted({path for pattern in self._config.files for path in _matching_paths(pattern)})
        changed = self._is_first_read
        if self._is_first_read and not paths:
            self._status.log.warning(
                "no targets file exists yet", files=[str(path) for path in self._config.files]
            )
        self._is_first_read = False
        for path in paths:
            changed |= await self._read_file(path)
        for path in self._paths - set(paths):
            self._status.remove(path)
            self._versions.pop(path, None)
            if self._groups.pop(path, None) is not None:
                self._status.log.warning("targets file was deleted, its targets are removed", file=path)
                changed = True
        self._paths = set(paths)
        return [group for groups in self._groups.values() for group in groups] if changed else None

    async def _read_file(self, path: str) -> bool:
        """Return whether the groups of a file changed."""
        try:
            version = _version(path)
            if self._versions.get(path) == version:
                self._status.works(path)
                return False
            # In a thread, because parsing 10,000 groups took 3.1 s.
            groups = await asyncio.to_thread(read_groups, Path(path), self._groups_type)
        except (OSError, ConfigError) as error:
            message = f"{path}: {error.strerror}" if isinstance(error, OSError) else str(error)
            targets = sum(len(group.targets) for group in self._groups.get(path, ()))
            self._status.failed(path, message, targets=targets, event=FILE_FAILED)
            return False
        self._versions[path] = version
        self._status.works(path)
        changed = self._groups.get(path) != groups
        self._groups[path] = groups
        return changed


def _version(path: str) -> FileVersion:
    stat = Path(path).stat()
    return stat.st_size, stat.st_ino, stat.st_mtime_ns


def _with_path_label(group: TargetGroup, path: str) -> TargetGroup:
    return group.model_copy(update={"labels": {**group.labels, "__meta_filepath": path}})


def _matching_paths(pattern: Path) -> list[str]:
    try:
        return [str(path) for path in pattern.parent.glob(pattern.name)]
    except OSError:  # such as a name that is too long
        return []


def read_groups(path: Path, groups_type: TypeAdapter[tuple[TargetGroup, ...]]) -> tuple[TargetGroup, ...]:
    """Return the target groups of one file; raises OSError and ConfigError."""
    node = None
    try:
        text = path.read_text()
        if path.suffix == ".json":
            data = json.loads(text)
        else:
            node, data = load_yaml(text, str(path))
        groups = groups_type.validate_python(data, strict=False)
    except ValidationError as error:
        detail = error.errors()[0]
        place = f"{path}:{line_number(detail['loc'], node)}" if node else path
        raise ConfigError(f"{place}: {message(detail)}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return tuple(_with_path_label(group, str(path)) for group in groups)
