"""Lines of source around a frame, from a checkout on the machine of leakwatch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from leakwatch.leaks.ownership.go_modules import Repository, version_of
from leakwatch.model import Frame

AROUND: Final = 5
"""Lines before and after that of the frame."""
LARGEST: Final = 2 << 20
"""Bytes of a source file; larger files are generated."""
LONGEST: Final = 200
"""Characters of a line."""


@dataclass(frozen=True, slots=True)
class SourceLines:
    """Lines of a file by their numbers; `marked`: the number of the frame's line."""

    path: str
    lines: Mapping[int, str]
    marked: int


def read_source(checkouts: Mapping[str, Path], frame: Frame, frames: Sequence[Frame] = ()) -> SourceLines | None:
    """Return the lines around a frame, None if no checkout has them.

    `checkouts`: module -> directory of its go.mod; `frames`: other frames of the same build. A frame from the
    module cache has no lines: the checkout has another version. The name of a file comes from the service, so a
    file outside of the checkout is never read.
    """
    if not frame.line or version_of(frame):
        return None
    for module, directory in sorted(checkouts.items(), key=lambda item: -len(item[0])):
        relative = Repository(module=module).path(frame, frames)
        if relative.endswith(".go"):
            try:
                text = _read(directory, relative)
            except (OSError, ValueError):  # a NUL in a name raises ValueError
                return None
            return _around(text, relative, frame.line)
    return None


def _read(directory: Path, relative: str) -> str:
    """Return the text of a file; raises OSError, also for a file outside of the directory."""
    path = (directory / relative).resolve(strict=True)
    if not path.is_relative_to(directory.resolve()) or not path.is_file() or path.stat().st_size > LARGEST:
        raise OSError(f"{relative} is not a source file in {directory}")
    return path.read_text("utf-8", "replace")


def _around(text: str, path: str, line: int) -> SourceLines | None:
    """Return the lines around a line, None if the file is shorter or the line is blank: it is another version."""
    lines = text.split("\n")
    if line > len(lines) or not lines[line - 1].strip():
        return None
    first = max(line - AROUND, 1)
    shown = lines[first - 1 : line + AROUND]
    return SourceLines(path, {first + i: shown[i][:LONGEST] for i in range(len(shown))}, line)
