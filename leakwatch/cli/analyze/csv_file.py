"""CSV files of counts: `time,target,stack,count` and optionally `service`, with columns and rows in any order.

A stack is its function names joined by ";", root first, as in folded stacks. A stack without a row has no
goroutines at the times of its target's other rows.
"""

import csv
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from leakwatch.cli.analyze.recordings import Observation, RecordedTarget, parse_time
from leakwatch.cli.symbol_files import Warn
from leakwatch.errors import ConfigError, quote
from leakwatch.model import Fingerprint, Frame, Sample, Stack, Target, Trace
from leakwatch.profile.stacks import Identifier

NEEDED = ("time", "target", "stack", "count")
LARGEST_COUNT = 2**53
"""Larger counts are not exact as float."""

Ints = npt.NDArray[np.int64]


class CsvRecording:
    """The rows of one CSV file, sorted. Invalid rows are reported and left out. Raises ConfigError and OSError."""

    def __init__(self, path: Path, identifier: Identifier, warn: Warn) -> None:
        self._path = path
        self._identifier = identifier
        self._warn = warn
        self._target_numbers: dict[tuple[str, str], int] = {}
        self._stack_numbers: dict[str, int] = {}
        self.targets: list[RecordedTarget] = []
        self._read()
        new = np.ones(len(self._time), bool)
        new[1:] = (np.diff(self._time) != 0) | (np.diff(self._target) != 0)
        self._starts: Ints = np.flatnonzero(new)
        """Row of each first count of a target at a time."""
        self.times: Sequence[float] = self._time[self._starts].tolist()
        for time, number in zip(self.times, self._target[self._starts].tolist(), strict=True):
            self.targets[number].times.append(time)

    def _read(self) -> None:
        times, numbers = array("d"), array("q")
        with self._path.open(encoding="utf-8-sig", errors="backslashreplace") as file:
            for time, target, stack, count in self._rows(file):
                times.append(time)
                numbers.extend((target, stack, count))
        unsorted = np.frombuffer(times, np.float64) if times else np.zeros(0)
        rows = np.frombuffer(numbers, np.int64).reshape(-1, 3) if numbers else np.zeros((0, 3), np.int64)
        order = np.lexsort((rows[:, 0], unsorted))
        self._time, self._target, self._stack, self._count = unsorted[order], *rows[order].T

    def observations(self) -> Iterator[Observation]:
        """Yield the samples of each target at each of its times."""
        stacks = [_stack(self._identifier, name) for name in self._stack_numbers]
        ends = [*self._starts[1:].tolist(), len(self._time)] if len(self._starts) else []
        for start, end in zip(self._starts.tolist(), ends, strict=True):
            time, recorded = float(self._time[start]), self.targets[int(self._target[start])]
            samples: dict[Fingerprint, Sample] = {}
            seen = set()
            for number, count in zip(
                self._stack[start:end].tolist(), self._count[start:end].tolist(), strict=True
            ):
                if number in seen:
                    self._warn(
                        f"{self._path}: {recorded.target.name} has two counts of one stack at {time:.15g}: added"
                    )
                seen.add(number)
                stack = stacks[number]
                before = samples.get(stack.fingerprint)
                samples[stack.fingerprint] = Sample(stack, count + (before.goroutines if before else 0))
            recorded.count_profile(time)
            total = sum(sample.goroutines for sample in samples.values())
            yield Observation(time=time, target=recorded.target, total=total, samples=samples)

    def _rows(self, file: Iterator[str]) -> Iterator[tuple[float, int, int, int]]:
        """Yield time, target number, stack number and count of each valid row."""
        header = self._header(next(file, ""))
        time_at, target_at, stack_at, count_at = (header.index(name) for name in NEEDED)
        service_at = header.index("service") if "service" in header else None
        for number, line in enumerate(file, 2):
            if line == "\n":
                continue
            try:
                row = _fields(line.rstrip("\n"))
                _check_end(row[len(header) :])
                time, count = parse_time(row[time_at]), _parse_count(row[count_at])
                target = self._target_number(row[target_at], None if service_at is None else row[service_at])
                yield time, target, self._stack_number(row[stack_at]), count
            except (ValueError, IndexError) as error:
                message = "too few columns" if isinstance(error, IndexError) else str(error)
                self._warn(f"{self._path}:{number}: {message}: row left out")

    def _header(self, line: str) -> list[str]:
        """Return the names of the columns; raises ConfigError."""
        try:
            header = [name.strip() for name in _fields(line.rstrip("\n"))]
        except ValueError as error:
            raise ConfigError(f"{self._path}:1: {error}") from error
        missing = [name for name in NEEDED if name not in header]
        if missing:
            raise ConfigError(
                f"{self._path}:1: no column {', '.join(missing)}; the first line is {quote(','.join(header))}"
            )
        repeated = sorted(name for name in {*NEEDED, "service"} if header.count(name) > 1)
        if repeated:
            raise ConfigError(f"{self._path}:1: column {', '.join(repeated)} appears twice")
        return header

    def _target_number(self, name: str, service: str | None) -> int:
        key = (name if service is None else service, name)
        number = self._target_numbers.get(key)
        if number is None:
            if not all(key):
                raise ValueError("no target" if not name else "no service")
            number = self._target_numbers[key] = len(self._target_numbers)
            self.targets.append(RecordedTarget(target=Target(*key)))
        return number

    def _stack_number(self, name: str) -> int:
        if not name:
            raise ValueError("no stack")
        return self._stack_numbers.setdefault(name, len(self._stack_numbers))


def _fields(line: str) -> list[str]:
    """Return the fields of a row. A row is one line, because names in Go have no line ends."""
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise ValueError(f"the quotes of {quote(line)} do not match") from error


def _check_end(rest: Sequence[str]) -> None:
    if any(rest):  # spreadsheets leave empty fields at the end
        raise ValueError("too many columns; a name with a comma needs quotes")


def _parse_count(text: str) -> int:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (0 <= number < LARGEST_COUNT and number == int(number)):
        raise ValueError(f"count {quote(text)} is not a number of goroutines")
    return int(number)


def _stack(identifier: Identifier, name: str) -> Stack:
    frames = tuple(Frame(function) for function in reversed(name.split(";")))
    return identifier.stack(Trace(frames))
