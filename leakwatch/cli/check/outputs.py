"""Outputs of a check: which formats it writes, and to which files."""

import os
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from leakwatch.cli.check.formats import to_github, to_json, to_junit
from leakwatch.cli.check.markdown import to_markdown
from leakwatch.cli.check.result import Outcome
from leakwatch.cli.check.text import text
from leakwatch.cli.terminal import print_message
from leakwatch.errors import UsageError, quote

FORMATS: Final = ("table", "json", "junit", "github", "markdown")
SHARED: Final = {"table", "github"}
"""Formats that may share standard output: GitHub removes its commands from the log."""
SUMMARY: Final = "GITHUB_STEP_SUMMARY"
"""Environment variable with the file to which a step appends its summary."""
DEPTH: Final = 12  # folders at the start of a path that may not be in the repository


@dataclass(frozen=True, slots=True)
class Output:
    """A format and its file, None for standard output; `appends`: whether the file keeps its content."""

    format: str
    file: Path | None = None
    appends: bool = False

    @property
    def option(self) -> str:
        """The output as the command line or the environment names it."""
        return SUMMARY if self.appends else f"--output {self.format}{f'={self.file}' if self.file else ''}"


def choose_outputs(single: str | None, texts: Sequence[str], environment: Mapping[str, str]) -> tuple[Output, ...]:
    """Return the outputs of --format `single` or of all --output `texts`; raises UsageError.

    With --output, there is also a table on standard output unless another format is written there, and with
    github also the summary of the step.
    """
    if not texts:
        return (Output(single or "table"),)
    if single is not None:
        raise UsageError(f"--format cannot be combined with --output: write --output {single}")
    outputs = [_parsed(text) for text in texts]
    shown = [output.format for output in outputs if output.file is None]
    if len(shown) > 1 and (set(shown) != SHARED or len(shown) != len(SHARED)):
        names = " and ".join(shown)
        raise UsageError(f"--output: {names} would be mixed on standard output: write {shown[-1]}=FILE")
    files = [os.path.realpath(output.file) for output in outputs if output.file is not None]
    for output in outputs:
        if output.file is not None and files.count(os.path.realpath(output.file)) > 1:
            raise UsageError(f"{output.option}: another --output has the same file")
    if not shown:
        outputs.append(Output("table"))
    if "github" in shown and environment.get(SUMMARY):
        outputs.append(Output("markdown", Path(environment[SUMMARY]), appends=True))
    return tuple(sorted(outputs, key=lambda output: output.format == "github"))  # annotations follow the table


def _parsed(text: str) -> Output:
    name, equals, file = text.partition("=")
    if name not in FORMATS:
        raise UsageError(f"--output {quote(text)}: {quote(name)} is not one of {', '.join(FORMATS)}")
    if equals and not file:
        raise UsageError(f"--output {quote(text)}: there is no file after the =")
    return Output(name, Path(file) if file else None)


def check_writable(outputs: Sequence[Output]) -> None:
    """Raise UsageError if a file of `outputs` cannot be written."""
    for output in outputs:
        if output.file is None:
            continue
        try:
            _check(output.file, appends=output.appends)
        except OSError as error:
            raise UsageError(f"{output.option}: cannot be written: {error.strerror or error}") from error


def _check(file: Path, *, appends: bool) -> None:
    if _is_replaced(file, appends=appends):
        if file.exists() and not os.access(file, os.W_OK):
            raise PermissionError(0, "the file is read-only")
        new = _new_file(file)
        with new.open("x"):
            pass
        new.unlink()
        return
    with file.open("ab"):  # also of a pipe or a device
        pass


def _is_replaced(file: Path, *, appends: bool) -> bool:
    """Return whether the file is replaced as a whole: devices, pipes and summaries are written in place."""
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        return not appends
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(0, "it is a folder")
    return stat.S_ISREG(mode) and not appends


def _new_file(file: Path) -> Path:
    """Return the name of a temporary file in the folder of `file`, or of the file to which it links."""
    target = Path(os.path.realpath(file))
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


def write(outcome: Outcome, outputs: Sequence[Output]) -> bool:
    """Write all outputs; return whether each one was written. A file that cannot be written is reported."""
    complete = True
    for output in outputs:
        data = formatted(outcome, output).encode("utf-8", "replace")
        if output.file is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            continue
        try:
            _write(output.file, data, appends=output.appends)
        except OSError as error:
            print_message(f"{output.option}: cannot be written: {error.strerror or error}")
            complete = False
    return complete


def _write(file: Path, data: bytes, *, appends: bool) -> None:
    """Write a file completely or not at all; raises OSError."""
    if not _is_replaced(file, appends=appends):
        with file.open("ab") as out:
            out.write(data)
        return
    new = _new_file(file)
    try:
        new.write_bytes(data)
        new.replace(os.path.realpath(file))
    except OSError:
        new.unlink(missing_ok=True)
        raise


def formatted(outcome: Outcome, output: Output) -> str:
    """Return the outcome in the format of an output."""
    match output.format:
        case "json":
            return to_json(outcome)
        case "junit":
            return to_junit(outcome)
        case "github":
            return to_github(outcome, repository_path)
        case "markdown":
            return to_markdown(outcome)
    return text(outcome, plain=output.file is not None)


def repository_path(file: str) -> str:
    """Return the part of a path that exists below the current folder, "" if none does.

    A build usually runs in another folder than the check.
    """
    parts = PurePosixPath(file.replace("\\", "/")).parts
    for start in range(min(len(parts), DEPTH)):
        path = PurePosixPath(*parts[start:])
        if not path.is_absolute() and ".." not in path.parts and Path(path).is_file():
            return str(path)
    return ""
