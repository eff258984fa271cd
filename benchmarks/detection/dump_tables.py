"""Formats the results of the studies with full dumps as Markdown tables."""

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Final

from dumped import RATES, WITHOUT, Wake
from fleets import ONE_PER_HOUR, SESSIONS
from report import OUTCOME, Results, header, hours, row
from scenarios import HEALTHY, LEAKS, MADE_TO_FAIL, SERVICE
from studies import Numbers

SHARES: Final = (0.0, 0.05, 0.1, 0.15, 0.3, 1.0)
"""Shares of the healthy stacks with goroutines that wait for ever."""


def dump_tables(results: Results) -> Iterator[str]:
    """Return the lines of all tables that `results` has numbers for."""
    for table in (by_share, by_kind, leaks, processes, fleets, lifetimes):
        lines = list(table(results))
        if lines:
            yield from [*lines, ""]


def outcome(numbers: Mapping[str, float | None]) -> str:
    """Return the share found, and the hours until then with two digits, because many are less than one."""
    if not numbers["found"]:
        return "never"
    delays = (numbers["median"], numbers["p90"])
    shown = ["-" if delay is None or not isfinite(delay) else f"{delay:#.2g}".rstrip(".") for delay in delays]
    return " / ".join([f"{numbers['found']:.0%}", *shown])


def by_share(results: Results) -> Iterator[str]:
    """Return the table of false alarms by the share of silent stacks, if all kinds of a service were measured."""
    names = [name for name in SERVICE if name != "const"]
    if not all(f"dumps/healthy/{name}" in results for name in names):
        return
    yield from header(
        "**False alarms per service-day**, by the share of healthy stacks with goroutines that never wake up.",
        ["the other goroutines wake up", *[f"{share:.0%}" for share in SHARES]],
    )
    numbers = {name: results[f"dumps/healthy/{name}"] for name in names}
    without = sum(SERVICE[name] * numbers[name][WITHOUT]["per_day"] for name in names)
    yield row(["without dumps", *[f"{without:.3f}"] * len(SHARES)])
    for wake in (Wake.OFTEN, Wake.SELDOM, Wake.HALF):
        awake, silent = (
            sum(SERVICE[name] * per_day(numbers[name], each) for name in names) for each in (wake, Wake.NEVER)
        )
        yield row([wake.value, *[f"{(1 - share) * awake + share * silent:.3f}" for share in SHARES]])


def per_day(numbers: Numbers, wake: Wake) -> float:
    """Return the false alarms per stack and day; the same for all if no goroutine of the kind waits for work."""
    cell = numbers[wake.value if wake.value in numbers else Wake.OFTEN.value]
    return float(cell["per_day"])


def by_kind(results: Results) -> Iterator[str]:
    """Return the table of false alarms per stack."""
    lines = []
    for name in (*HEALTHY, *MADE_TO_FAIL):
        numbers = results.get(f"dumps/healthy/{name}")
        if numbers:
            cells = [f"{numbers[wake.value]['per_day']:.4f}" if wake.value in numbers else "" for wake in Wake]
            dumps = [f"{numbers[Wake.OFTEN.value]['dumps']:.0f}"]
            stack = f"*{name}*" if name in MADE_TO_FAIL else name
            lines.append(row([stack, f"{numbers[WITHOUT]['per_day']:.4f}", *cells, *dumps]))
    if lines:
        columns = ["stack", "without dumps", *[wake.value for wake in Wake], "dumps per process and day"]
        yield from header("**False alarms per stack and day**, by how often the goroutines wake up.", columns)
        yield from lines


def leaks(results: Results) -> Iterator[str]:
    """Return the table of leaks found."""
    lines = []
    for name in LEAKS:
        for key in (WITHOUT, "soft", "hard"):
            cells = [results.get(f"dumps/leaks/{name}/{rate:g}", {}).get(key) for rate in RATES]
            if any(cells):
                titles = {WITHOUT: "without dumps", "soft": "with dumps", "hard": "with dumps, waiting for a lock"}
                lines.append(row([name, titles[key], *[outcome(cell) if cell else "" for cell in cells]]))
    for name, rate in [key.rsplit("/", 1) for key in results if key.startswith("dumps/no minutes/")]:
        found = ["" if float(rate) != each else outcome(results[f"{name}/{rate}"]) for each in RATES]
        title = "with dumps, garbage is never collected"
        lines.append(row([name.removeprefix("dumps/no minutes/"), title, *found]))
    if lines:
        yield from header(f"**Leaks found**: {OUTCOME}.", ["leak", "judged", *[f"{rate:g}/h" for rate in RATES]])
        yield from lines


def processes(results: Results) -> Iterator[str]:
    """Return the table of processes of several kinds of stacks."""
    lines = []
    for size, numbers in results.get("dumps/processes", {}).items():
        cells: list[str] = []
        for part in numbers.values():
            if isinstance(part, dict):
                cells += [f"{part['false']['per_day']:.2f}", outcome(part["60/h"])]
                dumps = f"{part['dumps']:.0f}"
        lines.append(row([size, f"{numbers['stacks']:.0f}", *cells, dumps]))
    if lines:
        played = ["without dumps", "with dumps", "with dumps, 15 % never wake up"]
        columns = [f"{what}, {how}" for how in played for what in ("false alarms per day", "60/h")]
        yield from header(
            f"**Processes with several kinds of stacks**, from their start; one leak of 60/h: {OUTCOME}.",
            ["goroutines", "stacks", *columns, "dumps per day"],
        )
        yield from lines


def fleets(results: Results) -> Iterator[str]:
    """Return the table of services of ten replicas."""
    numbers = results.get("dumps/fleet/10")
    if numbers is None:
        return
    columns = [*(f"false alarms per stack and day: {name}" for name in SESSIONS), *ONE_PER_HOUR]
    yield from header(
        f"**Ten replicas**, each restarted every 10 to 14 h; {OUTCOME}.",
        ["goroutines wake up", *columns, "dumps per replica and day"],
    )
    for name, cells in numbers.items():
        false = [f"{cells[stack]['per_day']:.2f}" for stack in SESSIONS]
        found = [outcome(cells[leak]) for leak in ONE_PER_HOUR]
        title = "without dumps" if name == WITHOUT else name
        yield row([title, *false, *found, f"{cells['dumps']:.0f}"])


def lifetimes(results: Results) -> Iterator[str]:
    """Return the table of processes that are restarted every 16 h."""
    lines = []
    ways = (WITHOUT, Wake.OFTEN.value, Wake.NEVER.value)
    for name, numbers in results.items():
        if name.startswith("dumps/lifetimes/"):
            cells = [f"{numbers[way]['per_stack']:.2f} / {hours(numbers[way]['median'])}" for way in ways]
            lines.append(row([name.removeprefix("dumps/lifetimes/"), *cells]))
    if lines:
        yield from header(
            "**Five days, a restart about every 16 h**: alarms per stack in lifetime 3 and later / median hours "
            "after the restart.",
            ["stack", "without dumps", *[f"goroutines wake up {way}" for way in ways[1:]]],
        )
        yield from lines
