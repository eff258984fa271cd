"""Runs `leakwatch test`: reads files of judge tests, plays each test, prints the results."""

import sys
from collections.abc import Sequence
from pathlib import Path

from leakwatch.cli.judge_tests.file import JudgeTestFile, read_tests
from leakwatch.cli.judge_tests.junit import to_junit
from leakwatch.cli.judge_tests.play import blamed_functions, play
from leakwatch.cli.judge_tests.result import JudgeOutcome, outcome_lines, outcome_of, summary
from leakwatch.cli.terminal import print_message
from leakwatch.config import read_config
from leakwatch.errors import ConfigError, quote
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.profile.escape import printable
from leakwatch.settings.globs import glob

FAILED, INVALID = 1, 2  # exit statuses


def run(paths: Sequence[Path], config: Path | None, *, as_junit: bool) -> int:
    """Print the results of all tests in the files at `paths`, and return the exit status; raises ConfigError.

    `config`: replaces the configuration files that the files name. An invalid file does not stop the others.
    """
    given = None if config is None else read_config(config).judging()
    outcomes: dict[str, list[JudgeOutcome]] = {}
    status = 0
    for path in paths:
        try:
            file = read_tests(path)
            settings = given or settings_of(file)
            check_functions(file, settings)
        except ConfigError as error:
            status = INVALID
            for line in str(error).splitlines():
                print_message(line)
            continue
        outcomes[str(path)] = _play_all(file, settings, is_printed=not as_junit)
    everything = [outcome for of_file in outcomes.values() for outcome in of_file]
    if as_junit:
        sys.stdout.write(to_junit(outcomes))
    elif everything:
        sys.stdout.write(f"{summary(everything)}\n")
    return status or (FAILED if any(outcome.failures for outcome in everything) else 0)


def _play_all(file: JudgeTestFile, settings: DetectionSettings, *, is_printed: bool) -> list[JudgeOutcome]:
    """Return the results of a file; print each as soon as it is known."""
    outcomes = []
    if is_printed:
        sys.stdout.write(f"{printable(str(file.path))}\n")
    for placed in file.tests:
        outcome = outcome_of(placed, play(placed.test, settings))
        outcomes.append(outcome)
        if is_printed:
            sys.stdout.write("".join(f"{line}\n" for line in outcome_lines(outcome)))
            sys.stdout.flush()
    return outcomes


def settings_of(file: JudgeTestFile) -> DetectionSettings:
    """Return the settings of the configuration file that a file names; raises ConfigError."""
    return read_config(file.config).judging() if file.config else DetectionSettings()


def check_functions(file: JudgeTestFile, settings: DetectionSettings) -> None:
    """Raise ConfigError if an expectation is about functions that no series blames."""
    messages = []
    for placed in file.tests:
        functions = blamed_functions(placed.test, settings.own_code)
        for expected, place in zip(placed.test.expect, placed.places, strict=True):
            if not any(map(glob(expected.function).fullmatch, functions)):
                names = ", ".join(sorted(set(functions)))
                messages.append(
                    f"{place}: function {quote(expected.function)} matches no series; their functions are {names}"
                )
    if messages:
        raise ConfigError("\n".join(messages))
