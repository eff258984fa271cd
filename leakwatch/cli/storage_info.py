"""Output of `leakwatch storage`."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from rich import box
from rich.table import Table

from leakwatch.cli import terminal
from leakwatch.cli.leak_text import COLOURS
from leakwatch.cli.terminal import fits, json_text, print_message, short_cell, styled
from leakwatch.config import EVIDENCE
from leakwatch.leaks.model import Leak
from leakwatch.leaks.wording import format_time
from leakwatch.notify.saved_alerts import SavedAlerts
from leakwatch.profile.escape import printable
from leakwatch.settings.units import format_size
from leakwatch.storage.rows import ALERTS, CLOCK
from leakwatch.storage.transfer import Imported, ServiceSummary, Summary

NAMED: Final = 10  # services of one line


@dataclass(frozen=True, slots=True)
class EvidenceSummary:
    """The stored bodies beside a database, and the bytes of all their files."""

    folder: Path
    bodies: int
    size: int


def evidence_beside(database: Path) -> EvidenceSummary:
    """Return what the folder of evidence beside a database has. A daemon may change it meanwhile."""
    folder, bodies, size = database.parent / EVIDENCE, 0, 0
    for file in folder.glob("*/*/[0-9]*"):
        with contextlib.suppress(FileNotFoundError):
            size += file.stat().st_size
            bodies += file.suffix == ".json"
    return EvidenceSummary(folder, bodies, size)


def warn(service: ServiceSummary) -> None:
    """Print why the state of a service is invalid, if it is."""
    if service.error:
        print_message(f"service {service.name!r} cannot be restored: {service.error}")


def text(summary: Summary, evidence: EvidenceSummary) -> str:
    """Return a summary as lines, and a table of the open leaks."""
    console = terminal.recorder()
    for line in _lines(summary, evidence):
        console.print(printable(line), markup=False, soft_wrap=True)
    leaks = _leaks(summary)
    if leaks:
        table = _leak_table(leaks, short=False)
        console.print(table if fits(console, table) else _leak_table(leaks, short=True))
    return terminal.recorded(console)


def to_json(summary: Summary, evidence: EvidenceSummary) -> str:
    """Return a summary as JSON; times in unix seconds."""
    first, last = _range(summary)
    document = {
        "path": str(summary.path),
        "version": summary.version,
        "bytes": summary.size,
        "saved": _saved_at(summary),
        "first_profile": first,
        "last_profile": last,
        "services": [_service_json(service) for service in summary.services],
        "firing_alerts": _firing_alerts(summary),
        "evidence": {"path": str(evidence.folder), "profiles": evidence.bodies, "bytes": evidence.size},
    }
    return json_text(document)


def imported_lines(imported: Imported) -> Iterator[str]:
    """Yield what an import has done, in a line per outcome."""
    outcomes = (("added", imported.added), ("replaced", imported.replaced))
    for outcome, names in (
        *outcomes,
        ("kept, because its state was saved later or at the same time", imported.kept),
    ):
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            yield f"{outcome}: {printable(', '.join(names[:NAMED]))}{more}"
    if not any((imported.added, imported.replaced, imported.kept)):
        yield "the file has no services"


def _lines(summary: Summary, evidence: EvidenceSummary) -> Iterator[str]:
    saved, (first, last) = _saved_at(summary), _range(summary)
    line = f"{summary.path}: version {summary.version}, {format_size(summary.size)}"
    yield f"{line}, saved {format_time(saved)}" if saved is not None else line
    services = summary.services
    counts = (
        (len(services), "service"),
        (sum(service.targets for service in services), "target"),
        (sum(service.stacks for service in services), "stack"),
        (len(_leaks(summary)), "open leak"),
        (_firing_alerts(summary), "firing alert"),
    )
    yield ", ".join(f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in counts)
    if first is not None and last is not None:
        yield f"profiles from {format_time(first)} to {format_time(last)}"
    if evidence.bodies:
        profiles = "1 profile" if evidence.bodies == 1 else f"{evidence.bodies} profiles"
        yield f"evidence: {profiles}, {format_size(evidence.size)} in {evidence.folder}"


def _leaks(summary: Summary) -> list[Leak]:
    leaks = [leak for service in summary.services for leak in service.leaks]
    return sorted(leaks, key=lambda leak: (-leak.verdict, leak.first_seen))


def _leak_table(leaks: list[Leak], *, short: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("service", "function", "verdict", "first seen"):
        table.add_column(name, overflow="fold")
    cell = short_cell if short else styled
    for leak in leaks:
        verdict = styled(leak.verdict.word, COLOURS.get(leak.verdict, ""))
        function = cell(leak.stack.blamed.function, "bold")
        table.add_row(cell(leak.service), function, verdict, format_time(leak.first_seen))
    return table


def _service_json(service: ServiceSummary) -> dict[str, Any]:
    leaks = [
        {
            "stack": leak.stack.fingerprint,
            "function": leak.stack.blamed.function,
            "verdict": leak.verdict.word,
            "goroutines": leak.goroutines,
            "first_seen": leak.first_seen,
        }
        for leak in service.leaks
    ]
    return {
        "service": service.name,
        "saved": service.saved,
        "targets": service.targets,
        "stacks": service.stacks,
        "first_profile": service.first,
        "last_profile": service.last,
        "leaks": leaks,
        "error": service.error,
    }


def _saved_at(summary: Summary) -> float | None:
    """Return the time of the last save. The clock is saved each time, a service only if it has changed."""
    clock = summary.values.get(CLOCK)
    times = [service.saved for service in summary.services]
    if isinstance(clock, dict) and isinstance(clock.get("time"), float):
        times.append(clock["time"])
    return max(times, default=None)


def _range(summary: Summary) -> tuple[float | None, float | None]:
    """Return the times of the first and of the last profile of all services."""
    firsts = [service.first for service in summary.services if service.first is not None]
    lasts = [service.last for service in summary.services if service.last is not None]
    return min(firsts, default=None), max(lasts, default=None)


def _firing_alerts(summary: Summary) -> int:
    try:
        saved = SavedAlerts.model_validate(
            summary.values.get(ALERTS, {"alerts": [], "leaked_at": []}), strict=False
        )
    except ValidationError:
        return 0
    return sum(alert.fired_at is not None and alert.resolved_at is None for alert in saved.alerts)
