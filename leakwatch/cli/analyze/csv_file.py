"""CSV files of counts: `time,target,stack,count` with an optional `service`, in any order of columns and rows.

A stack is its function names joined by ";", root first, as in folded stacks. A stack without a row at a time at
which its target has another one has no goroutines then.
"""

import csv
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from leakwatch.cli.analyze.recordings import Observation, RecordedTarget, Say, unix
from leakwatch.errors import ConfigError, quote
from leakwatch.model import Fingerprint, Frame, Sample, Stack, Target, Trace
from leakwatch.profile.stacks import Identifier

NEEDED = ("time", "target", "stack", "count")
MOST = 2**53
"""Larger counts are no counts."""

Ints = npt.NDArray[np.int64]


class Table:
    """The rows of one CSV file, sorted; bad ones are said by line and left out. Raises ConfigError, OSError."""

    def __init__(self, path: Path, identifier: Identifier, say: Say) -> None:
        self._path = path
        self._identifier = identifier
        self._say = say
        self._targets: dict[tuple[str, str], int] = {}
        self._names: dict[str, int] = {}
        times, numbers = array("d"), array("q")
        self.kept: list[RecordedTarget] = []
        with path.open(encoding="utf-8-sig", errors="backslashreplace") as file:
            for time, target, stack, count in self._rows(file):
                times.append(time)
                numbers.extend((target, stack, count))
        self._time = np.frombuffer(times, np.float64) if times else np.zeros(0)
        rows = np.frombuffer(numbers, np.int64).reshape(-1, 3) if numbers else np.zeros((0, 3), np.int64)
        order = np.lexsort((rows[:, 0], self._time))
        self._time, self._target, self._stack, self._count = self._time[order], *rows[order].T
        new = np.ones(len(order), bool)
        new[1:] = (np.diff(self._time) != 0) | (np.diff(self._target) != 0)
        self._starts: Ints = np.flatnonzero(new)
        self.times: Sequence[float] = self._time[self._starts].tolist()
        for at, number in zip(self.times, self._target[self._starts].tolist(), strict=True):
            self.kept[number].times.append(at)

    def observations(self) -> Iterator[Observation]:
        """Yield the samples of each target at each of its times."""
        stacks = [_stack(self._identifier, name) for name in self._names]
        ends = [*self._starts[1:].tolist(), len(self._time)]
        for start, end in zip(self._starts.tolist(), ends, strict=True):
            time, kept = float(self._time[start]), self.kept[int(self._target[start])]
            samples: dict[Fingerprint, Sample] = {}
            seen = set()
            for number, count in zip(
                self._stack[start:end].tolist(), self._count[start:end].tolist(), strict=True
            ):
                if number in seen:
                    self._say(
                        f"{self._path}: {kept.target.name} has two counts of one stack at {time:.15g}: added"
                    )
                seen.add(number)
                stack = stacks[number]
                before = samples.get(stack.fingerprint)
                samples[stack.fingerprint] = Sample(stack, count + (before.goroutines if before else 0))
            kept.read(time)
            yield time, kept.target, sum(sample.goroutines for sample in samples.values()), samples

    def _rows(self, file: Iterator[str]) -> Iterator[tuple[float, int, int, int]]:
        header = self._header(next(file, ""))
        missing = [name for name in NEEDED if name not in header]
        if missing:
            raise ConfigError(
                f"{self._path}:1: no column {', '.join(missing)}; the first line is {quote(','.join(header))}"
            )
        twice = sorted(name for name in {*NEEDED, "service"} if header.count(name) > 1)
        if twice:
            raise ConfigError(f"{self._path}:1: column {', '.join(twice)} is there twice")
        places = [header.index(name) for name in NEEDED]
        service_at = header.index("service") if "service" in header else None
        at_time, at_target, at_stack, at_count = places
        for number, line in enumerate(file, 2):
            if line == "\n":
                continue
            try:
                row = _fields(line.rstrip("\n"))
                _check_end(row[len(header) :])
                time, count = unix(row[at_time]), _count(row[at_count])
                target = self._target_number(row[at_target], row[service_at] if service_at is not None else None)
                yield time, target, self._names.setdefault(_named(row[at_stack]), len(self._names)), count
            except (ValueError, IndexError) as error:
                said = "too few columns" if isinstance(error, IndexError) else str(error)
                self._say(f"{self._path}:{number}: {said}: row left out")

    def _header(self, line: str) -> list[str]:
        try:
            return [name.strip() for name in _fields(line.rstrip("\n"))]
        except ValueError as error:
            raise ConfigError(f"{self._path}:1: {error}") from error

    def _target_number(self, name: str, service: str | None) -> int:
        key = (name if service is None else service, name)
        number = self._targets.get(key)
        if number is None:
            if not all(key):
                raise ValueError("no target" if not name else "no service")
            number = self._targets[key] = len(self._targets)
            self.kept.append(RecordedTarget(Target(*key)))
        return number


def _fields(line: str) -> list[str]:
    """Return the fields of a row, which is one line: no name in Go has a newline, so no quote goes on."""
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise ValueError(f"the quotes of {quote(line)} do not match") from error


def _check_end(rest: Sequence[str]) -> None:
    if any(rest):  # spreadsheets leave commas at the end
        raise ValueError("too many columns; a name with a comma needs quotes")


def _named(stack: str) -> str:
    if not stack:
        raise ValueError("no stack")
    return stack


def _count(text: str) -> int:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (0 <= number < MOST and number == int(number)):
        raise ValueError(f"count {quote(text)} is no number of goroutines")
    return int(number)


def _stack(identifier: Identifier, name: str) -> Stack:
    frames = tuple(Frame(function) for function in reversed(name.split(";")))
    return identifier.stack(Trace(frames))
