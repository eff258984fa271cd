"""Measures how well leakwatch tells leaks from load, next to the rules that people use instead.

    python benchmarks/detection/run.py [--seed 1] [--traces 100] [--quick] [--jobs 1] [--only NAME...] [--write]
                                      [--hours 48] [--interval 15]
    python benchmarks/detection/run.py --quick --check

Plays simulated traces (scenarios.py, fleets.py) through leakwatch's own pipeline and prints Markdown tables.
--only selects studies by parts of their names ("leaks/pure", "healthy", "fleet/10"). --write writes the tables
into docs/detection.md and the numbers into docs/detection.json; with --quick only the numbers, into quick.json;
with --only it replaces only the selected studies. --quick --check prints what is clearly worse than in quick.json,
and then exits with 1. Seeds 1-99 are for tuning, seeds from 100 on for reporting.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from math import isfinite
from multiprocessing import Pool
from pathlib import Path
from typing import Final

import fleets
import studies
from check import worse
from report import tables
from scenarios import HEALTHY, LEAKS, MADE_TO_FAIL, RATES, Length
from studies import Numbers

HERE: Final = Path(__file__).parent
QUICK: Final = HERE / "quick.json"
PAGE: Final = HERE.parents[1] / "docs/detection.md"
NUMBERS: Final = PAGE.with_suffix(".json")
BEGIN: Final = "<!-- made by benchmarks/detection/run.py -->"
END: Final = "<!-- end -->"
QUICK_TRACES: Final = 24
QUICK_RATES: Final = (10.0, 60.0)
QUICK_LEFT_OUT: Final = {
    *(f"fleet/{name}" for name in ("4", "10 rolling", "10 joining", "20", "50")),
    *(f"lifetimes/{name}" for name in ("warm-up", "staircase", "sticky", "running-max pool")),
}

Study = Callable[[Length], Numbers]


def all_studies() -> dict[str, Study]:
    """Return every study by its name."""
    found: dict[str, Study] = {}
    for name in (*HEALTHY, *MADE_TO_FAIL):
        found[f"healthy/{name}"] = partial(studies.healthy, name)
    for name in LEAKS:
        for rate in RATES:
            found[f"leaks/{name}/{rate:g}"] = partial(studies.leak, name, rate)
    found["services"] = studies.services
    for number in (4, 10, 20, 50):
        found[f"fleet/{number}"] = partial(studies.fleet, number, "staggered")
    for variant in ("rolling", "joining"):
        found[f"fleet/10 {variant}"] = partial(studies.fleet, 10, variant)
    for name in ("pure 10/h", *fleets.LIFETIMES):
        found[f"lifetimes/{name}"] = partial(studies.lifetimes, name)
    return found


def chosen(only: Iterable[str], *, quick: bool) -> dict[str, Study]:
    """Return the studies that are asked for."""
    found = all_studies()
    if quick:
        rates = {f"/{rate:g}" for rate in RATES if rate not in QUICK_RATES}
        found = {
            name: study
            for name, study in found.items()
            if name not in QUICK_LEFT_OUT and not (name.startswith("leaks/") and any(map(name.endswith, rates)))
        }
    wanted = list(only)
    return {name: study for name, study in found.items() if not wanted or any(part in name for part in wanted)}


def measure(task: tuple[str, Study, Length]) -> tuple[str, Numbers]:
    """Do one study."""
    name, study, length = task
    return name, study(length)


def run(found: dict[str, Study], length: Length, jobs: int) -> dict[str, Numbers]:
    """Do the studies, in `jobs` processes, and say how far it is."""
    tasks = [(name, study, length) for name, study in found.items()]
    results: dict[str, Numbers] = {}
    if jobs > 1:
        with Pool(jobs) as pool:
            results.update(progress(pool.imap_unordered(measure, tasks), len(tasks)))
    else:
        results.update(progress(map(measure, tasks), len(tasks)))
    return {name: results[name] for name in found}


def progress(done: Iterable[tuple[str, Numbers]], number: int) -> Iterator[tuple[str, Numbers]]:
    """Pass on what is done, and show it on a terminal."""
    begin = time.monotonic()
    for i, (name, numbers) in enumerate(done, 1):
        if sys.stderr.isatty():
            print(f"\r\033[K{i}/{number}, {time.monotonic() - begin:.0f} s: {name}", end="", file=sys.stderr)
        yield name, numbers
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Print the tables, or what has become worse."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--traces", type=int)
    parser.add_argument("--hours", type=float, default=48.0)
    parser.add_argument("--interval", type=float, default=15.0, help="seconds between two scrapes")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    for flag in ("quick", "check", "write"):
        parser.add_argument(f"--{flag}", action="store_true")
    given = parser.parse_args()
    traces = given.traces or (QUICK_TRACES if given.quick else 100)
    length = Length(given.seed, traces, given.hours, given.interval)
    results = run(chosen(given.only, quick=given.quick), length, given.jobs)
    if given.check:
        expected = json.loads(QUICK.read_text())
        found = list(worse(expected["results"], results, length.traces))
        print("\n".join(found) or "nothing is worse than in quick.json")
        return int(bool(found))
    if given.write:
        results = keep(results, length, QUICK if given.quick else NUMBERS)
    text = "\n".join(tables(results))
    print(text)
    if given.write and not given.quick:
        publish(text, length)
    return 0


def keep(results: dict[str, Numbers], length: Length, path: Path) -> dict[str, Numbers]:
    """Write the numbers into the file at `path`; return them with those that it holds of the same length and seed.

    So a run of some studies replaces those only.
    """
    old = json.loads(path.read_text()) if path.exists() else {}
    same = all(old.get(key) == value for key, value in asdict(length).items())
    kept = old["results"] if same else {}
    new = {**kept, **{name: rounded(numbers) for name, numbers in results.items()}}
    ordered = {name: new[name] for name in all_studies() if name in new}
    path.write_text(json.dumps({**asdict(length), "results": ordered}, indent=1, allow_nan=False) + "\n")
    return ordered


def publish(text: str, length: Length) -> None:
    """Put the tables into the page."""
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    said = f"Seed {length.seed}, {length.traces} traces of each kind and rate.\n"
    PAGE.write_text("\n".join([before + BEGIN, said, text, END + after.removesuffix("\n")]) + "\n")


def rounded(value: object) -> object:
    """Return numbers with four significant digits, at any depth; None for those that are not finite."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if isfinite(value) else None
    return value


if __name__ == "__main__":
    sys.exit(main())
