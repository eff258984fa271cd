"""Runs `leakwatch analyze`: reads recordings, shows progress, prints the result."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from leakwatch.cli import terminal
from leakwatch.cli.analyze.replay import Advance, Analysis, Analyzer, read, to_json
from leakwatch.cli.analyze.spacing import DEFAULT_BLOCK, Spacing, choose_block
from leakwatch.cli.archives import unpacked
from leakwatch.cli.leak_text import leak_lines
from leakwatch.cli.symbol_files import Warn
from leakwatch.cli.terminal import print_message
from leakwatch.config import Config, read_config
from leakwatch.detect.columns import MIN_STEPS, SCRAPES_PER_BLOCK
from leakwatch.errors import ConfigError, UsageError
from leakwatch.leaks.wording import format_time
from leakwatch.model import Verdict
from leakwatch.settings.units import format_duration, parse_duration

FAILED, UNREADABLE = 1, 2  # exit statuses
PRINTED = 20  # warnings of one kind
STEP = 100  # profiles between two updates of the progress bar


class WarningLimit:
    """Prints the first warnings of a kind, and counts the others."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, line: str) -> None:
        """Print or count a warning."""
        self._count += 1
        if self._count <= PRINTED:
            print_message(line)

    def close(self) -> None:
        """Print the number of warnings that were not printed."""
        if self._count > PRINTED:
            print_message(f"and {self._count - PRINTED} more of this kind")


@contextmanager
def _warnings() -> Iterator[Warn]:
    """Return a function that prints warnings of one kind."""
    limit = WarningLimit()
    yield limit
    limit.close()


def run(
    paths: Sequence[Path], block: str | None, config_file: Path | None, *, as_json: bool, fail_on: str | None
) -> int:
    """Print the leaks in the recordings at `paths`, and return the exit status; raises ConfigError."""
    with _warnings() as warn, unpacked(paths) as folders:
        config = read_config(config_file) if config_file else Config()
        settings = config.judging()
        recordings = read(folders, settings.own_code, warn)
        spacings = [target.spacing for recording in recordings for target in recording.targets]
        block_is_given = block is not None or "block" in config.detection.model_fields_set
        if block is not None:
            settings = replace(settings, block=_duration(block))
        elif not block_is_given:
            settings = replace(settings, block=choose_block(spacings))
        _check_block(settings.block, spacings)
        with _progress(sum(len(recording.times) for recording in recordings)) as advance:
            analysis = Analyzer(recordings, settings).run(advance)
    _print_gaps(analysis)
    for rule in analysis.unmatched:
        print_message(f"ignore: {rule} matches no stack")
    _print_unjudged(analysis, settings.series_limit)
    _print_sparse(analysis)
    sys.stdout.write(to_json(analysis) if as_json else text(analysis, block_is_given=block_is_given))
    if not analysis.is_judged:
        return UNREADABLE
    worst = max((leak.highest for leak in analysis.leaks), default=Verdict.NORMAL)
    return FAILED if fail_on and worst >= Verdict[fail_on.upper()] else 0


def _print_gaps(analysis: Analysis) -> None:
    """Print the longest gap of each target, if it is longer than two blocks."""
    with _warnings() as warn:
        for target in analysis.targets:
            gaps = [(after - before, before) for before, after in target.spacing.gaps]
            gaps = [gap for gap in gaps if gap[0] > 2 * analysis.block]
            if gaps:
                longest, before = max(gaps)
                more = f", and {len(gaps) - 1} more such gaps" if len(gaps) > 1 else ""
                gap = f"no profiles for {format_duration(longest)} after {format_time(before)}"
                warn(f"{target.name}: {gap}{more}")


def _print_unjudged(analysis: Analysis, limit: int) -> None:
    """Print which targets were not judged, or not in full, and why."""
    if not analysis.targets:
        print_message("nothing could be read")
    with _warnings() as warn:
        for target, why in analysis.unjudged:
            warn(f"{target.name}: not judged: {why}")
        for target in analysis.targets:
            if stacks := analysis.folded.get(target.target):
                warn(
                    f"{target.name}: the smallest of its stacks, up to {stacks}, were not judged:"
                    f" detection.series_limit is {limit}"
                )


def _print_sparse(analysis: Analysis) -> None:
    """Print the number of targets with too few profiles per block to see departures."""
    unjudged = {target.target for target, _ in analysis.unjudged}
    steps = [target.spacing.step for target in analysis.targets if target.target not in unjudged]
    sparse = sum(MIN_STEPS * step > analysis.block for step in steps)
    if sparse:
        print_message(
            f"blocks of {format_duration(analysis.block)} hold fewer than {MIN_STEPS} profiles of {sparse}"
            f" {'target' if sparse == 1 else 'targets'}: only stacks without departures could be judged there"
        )


def _check_block(block: float, spacings: Sequence[Spacing]) -> None:
    """Raise UsageError if more blocks would be empty than any window allows, whatever the target."""
    step = min((spacing.step for spacing in spacings if spacing.step), default=0.0)
    if block < step / 2:
        raise UsageError(
            f"blocks of {format_duration(block)} are too short for profiles {format_duration(step)} apart;"
            f" {format_duration(SCRAPES_PER_BLOCK * step)} is long enough for every window"
        )


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"--block: {error}") from error


@contextmanager
def _progress(total: int) -> Iterator[Advance]:
    """Show a progress bar on a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    columns = (
        TextColumn("judging"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("profiles"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            if done % STEP == 0 or done == total:
                progress.update(task, completed=done)

        yield advance


def text(analysis: Analysis, *, block_is_given: bool) -> str:
    """Return the numbers of profiles and targets, each leak with its stack, and the number of ignored leaks."""
    console = terminal.recorder(160)
    console.print(_summary(analysis, block_is_given=block_is_given))
    for leak in analysis.leaks:
        console.print()
        for line in leak_lines(leak, leak.highest):
            console.print(line, soft_wrap=True)
    if analysis.is_judged and not analysis.leaks:
        judged, targets = len(analysis.targets) - len(analysis.unjudged), len(analysis.targets)
        scope = f" on the {judged} of {targets} targets that could be judged" if analysis.unjudged else ""
        console.print(f"No stack leaks{scope}{', except ignored ones:' if analysis.ignored else '.'}")
    for rule, leaks in analysis.ignored.items():
        console.print(
            f"{leaks} {'leak' if leaks == 1 else 'leaks'} ignored by the rule for {rule}", soft_wrap=True
        )
    return terminal.recorded(console)


def _summary(analysis: Analysis, *, block_is_given: bool) -> str:
    profiles = sum(target.profiles for target in analysis.targets)
    skipped = sum(target.skipped for target in analysis.targets)
    targets = len({target.target for target in analysis.targets})
    times = [time for target in analysis.targets for time in (target.first, target.last) if time is not None]
    span = format_duration(max(times) - min(times)) if times and max(times) > min(times) else "no time"
    parts = f"{profiles} profiles of {targets} {'target' if targets == 1 else 'targets'} over {span}"
    if skipped:
        parts += f", {skipped} could not be read"
    parts += f"; {'judged' if analysis.is_judged else 'not judged'} in blocks of {format_duration(analysis.block)}"
    is_short = not block_is_given and analysis.block < DEFAULT_BLOCK
    return f"{parts}, because the recording is short" if is_short else parts
