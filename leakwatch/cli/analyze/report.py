"""Runs `leakwatch analyze`: reads recordings, shows progress, prints what they say."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from leakwatch.cli import terminal
from leakwatch.cli.analyze.replay import Analysis, Complaints, analyze, read, to_json
from leakwatch.cli.analyze.spacing import DEFAULT_BLOCK, Spacing, choose_block
from leakwatch.cli.leak_text import about
from leakwatch.config import Config, read_config
from leakwatch.detect.columns import SCRAPES_PER_BLOCK
from leakwatch.errors import ConfigError, UsageError
from leakwatch.leaks.wording import format_time
from leakwatch.model import Verdict
from leakwatch.settings.units import format_duration, parse_duration

FAILED, UNREADABLE = 1, 2
NAMED = 5  # targets of a leak
STEP = 100  # profiles between two steps of the progress bar


class Advance(Protocol):
    """Is called after each profile."""

    def __call__(self) -> None:
        """Go on by one."""


def run(
    paths: Sequence[Path], block: str | None, config: Path | None, *, as_json: bool, fail_on: str | None
) -> int:
    """Print what the recordings at `paths` say; return the exit status. Raises ConfigError."""
    complaints = Complaints(_say)
    given = read_config(config) if config else Config()
    settings = given.judging()
    recordings = read(paths, settings.own_code, complaints)
    spacings = [kept.spacing for one in recordings for kept in one.kept]
    said = block is not None or "block" in given.detection.model_fields_set
    if block is not None:
        settings = replace(settings, block=_duration(block))
    elif not said:
        settings = replace(settings, block=choose_block(spacings))
    _check(settings.block, spacings)
    with _progress(sum(len(one.times) for one in recordings)) as advance:
        found = analyze(recordings, settings, advance)
    complaints.close()
    _say_gaps(found)
    for rule in found.unmatched:
        _say(f"ignore: {rule} matches no stack")
    _say_unjudged(found, settings.series_limit)
    _say_sparse(found)
    sys.stdout.write(to_json(found) if as_json else table(found, given=said))
    if not found.judged:
        return UNREADABLE
    worst = max((leak.highest for leak in found.leaks), default=Verdict.NORMAL)
    return FAILED if fail_on and worst >= Verdict[fail_on.upper()] else 0


def _say(line: str) -> None:
    sys.stderr.write(f"leakwatch: {line}\n")


def _say_gaps(found: Analysis) -> None:
    """Say where nothing was recorded for longer than two blocks."""
    complaints = Complaints(_say)
    for kept in found.kept:
        gaps = [(after - before, before) for before, after in kept.spacing.gaps]
        gaps = [gap for gap in gaps if gap[0] > 2 * found.block]
        if gaps:
            longest, before = max(gaps)
            more = f", and {len(gaps) - 1} more such gaps" if len(gaps) > 1 else ""
            complaints(
                f"{kept.name}: no profiles for {format_duration(longest)} after {format_time(before)}{more}"
            )
    complaints.close()


def _say_unjudged(found: Analysis, limit: int) -> None:
    """Say which targets could not be judged, or not in full, and why."""
    if not found.kept:
        _say("nothing could be read")
    complaints = Complaints(_say)
    for kept, why in found.unjudged:
        complaints(f"{kept.name}: not judged: {why}")
    for kept in found.kept:
        if stacks := found.folded.get(kept.target):
            complaints(
                f"{kept.name}: the smallest of its stacks, up to {stacks}, were not judged:"
                f" detection.series_limit is {limit}"
            )
    complaints.close()


def _say_sparse(found: Analysis) -> None:
    """Say of how many targets the profiles are too few for the windows that look at departures."""
    unjudged = {kept.target for kept, _ in found.unjudged}
    steps = [kept.spacing.step for kept in found.kept if kept.target not in unjudged]
    sparse = sum(SCRAPES_PER_BLOCK * step > found.block for step in steps)
    if sparse:
        _say(
            f"blocks of {format_duration(found.block)} hold fewer than {SCRAPES_PER_BLOCK} profiles of {sparse}"
            f" {'target' if sparse == 1 else 'targets'}: only stacks that nobody leaves could be judged there"
        )


def _check(block: float, spacings: Sequence[Spacing]) -> None:
    """Raise UsageError where more blocks would be empty than any window allows, whatever the target."""
    step = min((one.step for one in spacings if one.step), default=0.0)
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
    """Show on a terminal how far it is."""
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


def table(found: Analysis, *, given: bool) -> str:
    """Return what a person wants to read: what was looked at, and each leak with its reason and its stack."""
    console = terminal.recorder(160)
    profiles, skipped = (sum(getattr(kept, name) for kept in found.kept) for name in ("profiles", "skipped"))
    targets = len({kept.target for kept in found.kept})
    times = [t for kept in found.kept for t in (kept.first, kept.last) if t is not None]
    span = format_duration(max(times) - min(times)) if times and max(times) > min(times) else "no time"
    console.print(
        f"{profiles} profiles of {targets} {'target' if targets == 1 else 'targets'} over {span}"
        + (f", {skipped} could not be read" if skipped else "")
        + (f"; {'judged' if found.judged else 'not judged'} in blocks of {format_duration(found.block)}")
        + ("" if given or found.block >= DEFAULT_BLOCK else ", because the recording is short")
    )
    for leak in found.leaks:
        console.print()
        for line in about(leak, leak.highest):
            console.print(line, soft_wrap=True)
    if found.judged and not found.leaks:
        judged, targets = len(found.kept) - len(found.unjudged), len(found.kept)
        where = f" on the {judged} of {targets} targets that could be judged" if found.unjudged else ""
        console.print(f"No stack leaks{where}{', but for what is ignored:' if found.ignored else '.'}")
    for rule, leaks in found.ignored.items():
        console.print(
            f"{leaks} {'leak' if leaks == 1 else 'leaks'} ignored by the rule for {rule}", soft_wrap=True
        )
    return terminal.recorded(console)
