"""Formats the results as Markdown tables."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, isnan, prod
from typing import Final

from baselines import STACK_RULES, TOTAL_RULES
from fleets import EACH, ON_ONE
from scenarios import HEALTHY, LEAKS, MADE_TO_FAIL, RATES, SERVICE
from studies import COMPACT, LEAKWATCH, Numbers

Results = Mapping[str, Numbers]
"""Name of a study -> its numbers."""

OUTCOME: Final = "share found / median / 90th percentile of hours until found"


def tables(results: Results) -> Iterator[str]:
    """Return the lines of all tables that `results` has numbers for."""
    for table in (rules, kinds, false_alarms_by_kind, ratios, fleets, lifetimes, deploys):
        lines = list(table(results))
        if lines:
            yield from [*lines, ""]


def row(cells: Sequence[str]) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(cells) + " |"


def header(title: str, cells: Sequence[str]) -> list[str]:
    """Return the lines above a table."""
    return [title, "", row(cells), "|" + "---|" * len(cells)]


def outcome(numbers: Mapping[str, float]) -> str:
    """Return the share found, and the hours until then."""
    if not numbers["found"]:
        return "never"
    return f"{numbers['found']:.0%} / {hours(numbers['median'])} / {hours(numbers['p90'])}"


def hours(value: float | None) -> str:
    """Return a delay, or "-" if it was not reached: None, inf or nan."""
    return "-" if value is None or not isfinite(value) else f"{value:.1f}"


def rules(results: Results) -> Iterator[str]:
    """Return the table of all rules, if all kinds of a service were measured."""
    if "services" not in results or not all(f"healthy/{name}" in results for name in SERVICE):
        return
    yield from header(
        f"**Rule by rule.** A service of 60 stacks; {OUTCOME}; share in alarm before the leak began.",
        [
            "rule",
            "false alarms per service-day",
            "time in alarm",
            *[f"{name} {rate:g}/h" for name, rate in COMPACT],
        ],
    )
    for rule in (*TOTAL_RULES, *STACK_RULES, LEAKWATCH):
        if rule in TOTAL_RULES:
            numbers = results["services"][rule]
            per_day, in_alarm = numbers["false"]["per_day"], numbers["false"]["in_alarm"]
            outcomes = [numbers[f"{name}/{rate:g}"] for name, rate in COMPACT]
        else:
            per_day, in_alarm = per_service(results, rule)
            outcomes = [results.get(f"leaks/{name}/{rate:g}", {}).get(rule) for name, rate in COMPACT]
        cells = [f"{outcome(cell)} ({cell['before']:.0%} before)" if cell else "" for cell in outcomes]
        yield row([rule, f"{per_day:.2f}", f"{in_alarm:.1%}", *cells])


def per_service(results: Results, rule: str) -> tuple[float, float]:
    """Return incidents per day and share of time in alarm of a service of 60 stacks that fail independently."""
    stacks = {name: results[f"healthy/{name}"][rule] for name in SERVICE}
    per_day = sum(SERVICE[name] * numbers["per_day"] for name, numbers in stacks.items())
    quiet = prod((1 - numbers["in_alarm"]) ** SERVICE[name] for name, numbers in stacks.items())
    return per_day, 1 - quiet


def kinds(results: Results) -> Iterator[str]:
    """Return the table of leaks found by leakwatch."""
    lines = []
    for name in LEAKS:
        cells = [results.get(f"leaks/{name}/{rate:g}") for rate in RATES]
        if any(cells):
            lines.append(row([name, *[outcome(cell[LEAKWATCH]) if cell else "" for cell in cells]]))
    if lines:
        yield from header(f"**Leaks found**: {OUTCOME}.", ["leak", *[f"{rate:g}/h" for rate in RATES]])
        yield from lines


def false_alarms_by_kind(results: Results) -> Iterator[str]:
    """Return the table of false alarms per stack and day."""
    lines = []
    for name in (*HEALTHY, *MADE_TO_FAIL):
        numbers = results.get(f"healthy/{name}")
        if numbers:
            stack = f"*{name}*" if name in MADE_TO_FAIL else name
            own = numbers[LEAKWATCH]
            cells = [f"{own[key]:.4f}" for key in ("per_day", "first_day", "later")]
            others = [f"{numbers[rule]['per_day']:.2f}" for rule in STACK_RULES]
            lines.append(row([stack, *cells, f"{own['in_alarm']:.2%}", *others]))
    if lines:
        columns = ["per day", "on the first day", "per day afterwards", "time in alarm", *STACK_RULES]
        title = "**False alarms** per stack; kinds *designed to look like a leak* in italics."
        yield from header(title, ["stack", *columns])
        yield from lines


def ratios(results: Results) -> Iterator[str]:
    """Return the table of estimated over true rate."""
    lines = []
    for name in LEAKS:
        cells = [results.get(f"leaks/{name}/{rate:g}") for rate in RATES]
        if any(cells):
            spreads = [spread(cell["ratio"][when]) if cell else "" for cell in cells for when in ("at", "later")]
            lines.append(row([name, *spreads]))
    if lines:
        columns = [f"{rate:g}/h{when}" for rate in RATES for when in (" when detected", ", 4 h later")]
        yield from header("**Estimated over true rate**: median (10th-90th percentile).", ["leak", *columns])
        yield from lines


def spread(numbers: Sequence[float | None]) -> str:
    """Return a median with its band."""
    median, low, high = numbers
    return "" if median is None or isnan(median) else f"{median:.2f} ({low:.2f}-{high:.2f})"


def fleets(results: Results) -> Iterator[str]:
    """Return the table of services of many replicas."""
    lines = []
    for name, numbers in results.items():
        if name.startswith("fleet/"):
            outcomes = [outcome(numbers[leak]) for leak in (*EACH, ON_ONE)]
            lines.append(row([name.removeprefix("fleet/"), f"{numbers['per_day']:.2f}", *outcomes]))
    if lines:
        columns = ["replicas", "false alarms per stack of a service and day, summed over 12 kinds", *EACH, ON_ONE]
        yield from header(f"**Replicas** of one service; {OUTCOME}.", columns)
        yield from lines


def lifetimes(results: Results) -> Iterator[str]:
    """Return the table of processes that are restarted every 16 h."""
    lines = []
    for name, numbers in results.items():
        if name.startswith("lifetimes/"):
            cells = [f"{numbers['per_stack']:.2f}", hours(numbers["median"])]
            lines.append(row([name.removeprefix("lifetimes/"), *cells]))
    if lines:
        columns = ["stack", "alarms in lifetime 3 and later", "median hours after the restart"]
        yield from header("**Five days, a restart about every 16 h.**", columns)
        yield from lines


def deploys(results: Results) -> Iterator[str]:
    """Return the table of services that are deployed daily."""
    lines, days = [], 0
    for name, numbers in results.items():
        if name.startswith("deploys/"):
            days = numbers["days"]
            delays = f"{hours(numbers['median'])} / {hours(numbers['p90'])}"
            cells = [f"{numbers['false']}", f"{numbers['per_day']:.2f}", delays, hours(numbers["again"])]
            lines.append(row([name.removeprefix("deploys/"), *cells]))
    if lines:
        columns = [
            "leakwatch starts with",
            "false alarms",
            "per service-day",
            "60/h leak, begun on the second day: median / 90th percentile of hours until found",
            "median hours after each later deploy until it is reported",
        ]
        yield from header(f"**A deploy each day**, {days} service-days from the second day on.", columns)
        yield from lines
