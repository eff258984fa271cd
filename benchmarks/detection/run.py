"""Measures how well leakwatch distinguishes leaks from load, and the rules that people use instead.

    python benchmarks/detection/run.py [--seed 1] [--traces 100] [--dumps] [--quick] [--jobs 1] [--only NAME...]
                                      [--write] [--hours 48] [--interval 15]
    python benchmarks/detection/run.py --quick --check

Plays simulated traces (scenarios.py, fleets.py) through leakwatch's own pipeline and prints Markdown tables.
--only selects studies by parts of their names ("leaks/pure", "healthy", "fleet/10"). --dumps runs the studies
with full dumps instead (dumped.py, processes.py). --write writes the tables into docs/detection.md and the numbers
into docs/detection.json, with --dumps into docs/detection-dumps.json; with --quick only the numbers, into
quick.json; with --only it replaces only the selected studies. --quick --check prints what is clearly worse than in
quick.json, and then exits with 1. Seeds 1-99 are for tuning, seeds from 100 on for reporting.
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

import dumped
import fleets
import processes
import studies
from check import worse
from deploys import Start
from dump_tables import dump_tables
from report import tables
from scenarios import HEALTHY, LEAKS, MADE_TO_FAIL, RATES, Length
from studies import Numbers

HERE: Final = Path(__file__).parent
QUICK: Final = HERE / "quick.json"
PAGE: Final = HERE.parents[1] / "docs/detection.md"
NUMBERS: Final = PAGE.with_suffix(".json")
DUMP_NUMBERS: Final = PAGE.with_name("detection-dumps.json")
BEGIN: Final = "<!-- made by benchmarks/detection/run.py -->"
BEGIN_DUMPS: Final = "<!-- made by benchmarks/detection/run.py --dumps -->"
END: Final = "<!-- end -->"
DUMPS: Final = "dumps/"
"""Prefix of the studies with full dumps."""
QUICK_TRACES: Final = 12
QUICK_RATES: Final = (10.0, 60.0)
QUICK_INTERVAL: Final = 30.0
QUICK_LEFT_OUT: Final = ("fleet/", "lifetimes/", "deploys/")
"""Prefixes of studies that take longest: 280 s of 540 s, when --quick had some of them."""
QUICK_DUMPS: Final = frozenset(
    {
        "dumps/leaks/pure/60",
        "dumps/leaks/in a diurnal stack/60",
        "dumps/leaks/fresh, pure/60",
    }
)

Study = Callable[[Length], Numbers]


def all_studies() -> dict[str, Study]:
    """Return every study by its name."""
    by_name: dict[str, Study] = {}
    for name in (*HEALTHY, *MADE_TO_FAIL):
        by_name[f"healthy/{name}"] = partial(studies.healthy, name)
    for name in LEAKS:
        for rate in RATES:
            by_name[f"leaks/{name}/{rate:g}"] = partial(studies.leak, name, rate)
    by_name["services"] = studies.services
    for number in (4, 10, 20, 50):
        by_name[f"fleet/{number}"] = partial(studies.fleet, number, "staggered")
    for variant in ("rolling", "joining"):
        by_name[f"fleet/10 {variant}"] = partial(studies.fleet, 10, variant)
    for name in ("pure 10/h", *fleets.LIFETIMES):
        by_name[f"lifetimes/{name}"] = partial(studies.lifetimes, name)
    for start in Start:
        by_name[f"deploys/{start.value}"] = partial(studies.deploys, start)
    return by_name | dumped_studies()


def dumped_studies() -> dict[str, Study]:
    """Return the studies with full dumps by their names."""
    by_name: dict[str, Study] = {}
    for name in (*HEALTHY, *MADE_TO_FAIL):
        by_name[f"dumps/healthy/{name}"] = partial(dumped.healthy, name)
    for name in LEAKS:
        for rate in dumped.RATES:
            by_name[f"dumps/leaks/{name}/{rate:g}"] = partial(dumped.leak, name, rate)
    for name, rate in studies.COMPACT:
        by_name[f"dumps/no minutes/{name}/{rate:g}"] = partial(dumped.without_collections, name, rate)
    by_name["dumps/fleet/10"] = partial(dumped.fleet, 10)
    for name in ("pure 10/h", "sticky", "staircase"):
        by_name[f"dumps/lifetimes/{name}"] = partial(dumped.lifetimes, name)
    by_name["dumps/processes"] = processes.mixed
    return by_name


def selected(only: Iterable[str], *, quick: bool, dumps: bool) -> dict[str, Study]:
    """Return the selected studies; `only`: parts of names, empty for all. `quick` includes a few with dumps."""
    candidates = all_studies()
    if quick:
        candidates = {name: study for name, study in candidates.items() if is_quick(name)}
    else:
        candidates = {name: study for name, study in candidates.items() if name.startswith(DUMPS) == dumps}
    parts = list(only)
    return {name: study for name, study in candidates.items() if not parts or any(part in name for part in parts)}


def is_quick(name: str) -> bool:
    """Return whether --quick runs a study."""
    if name.startswith(DUMPS):
        return name in QUICK_DUMPS
    is_other_rate = name.startswith("leaks/") and float(name.rsplit("/", 1)[1]) not in QUICK_RATES
    return not name.startswith(QUICK_LEFT_OUT) and not is_other_rate


def measure(task: tuple[str, Study, Length]) -> tuple[str, Numbers]:
    """Run one study; return its name and numbers."""
    name, study, length = task
    return name, study(length)


def run(by_name: dict[str, Study], length: Length, jobs: int) -> dict[str, Numbers]:
    """Run the studies in `jobs` processes, and show the progress."""
    tasks = [(name, study, length) for name, study in by_name.items()]
    results: dict[str, Numbers] = {}
    if jobs > 1:
        with Pool(jobs) as pool:
            results.update(progress(pool.imap_unordered(measure, tasks), len(tasks)))
    else:
        results.update(progress(map(measure, tasks), len(tasks)))
    return {name: results[name] for name in by_name}


def progress(done: Iterable[tuple[str, Numbers]], number: int) -> Iterator[tuple[str, Numbers]]:
    """Yield the results in `done`, and show their number on a terminal."""
    begin = time.monotonic()
    for i, (name, numbers) in enumerate(done, 1):
        if sys.stderr.isatty():
            print(f"\r\033[K{i}/{number}, {time.monotonic() - begin:.0f} s: {name}", end="", file=sys.stderr)
        yield name, numbers
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Print the tables, or the numbers that have become worse."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--traces", type=int)
    parser.add_argument("--hours", type=float, default=48.0)
    parser.add_argument("--interval", type=float, help="seconds between two scrapes")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    for flag in ("dumps", "quick", "check", "write"):
        parser.add_argument(f"--{flag}", action="store_true")
    given = parser.parse_args()
    traces = given.traces or (QUICK_TRACES if given.quick else 100)
    interval = given.interval or (QUICK_INTERVAL if given.quick else 15.0)
    length = Length(given.seed, traces, given.hours, interval)
    results = run(selected(given.only, quick=given.quick, dumps=given.dumps), length, given.jobs)
    if given.check:
        expected = json.loads(QUICK.read_text())
        lines = list(worse(expected["results"], results, length.traces))
        print("\n".join(lines) or "nothing is worse than in quick.json")
        return int(bool(lines))
    if given.write:
        numbers = DUMP_NUMBERS if given.dumps else NUMBERS
        results = store(results, length, QUICK if given.quick else numbers)
    text = "\n".join(dump_tables(results) if given.dumps else tables(results))
    print(text)
    if given.write and not given.quick:
        publish(text, length, BEGIN_DUMPS if given.dumps else BEGIN)
    return 0


def store(results: dict[str, Numbers], length: Length, path: Path) -> dict[str, Numbers]:
    """Write the numbers into the file at `path`, and return the numbers that the file then has.

    Numbers of other studies stay in the file if it has the same length and seed.
    """
    old = json.loads(path.read_text()) if path.exists() else {}
    same = all(old.get(key) == value for key, value in asdict(length).items())
    others = old["results"] if same else {}
    new = {**others, **{name: rounded(numbers) for name, numbers in results.items()}}
    ordered = {name: new[name] for name in all_studies() if name in new}
    path.write_text(json.dumps({**asdict(length), "results": ordered}, indent=1, allow_nan=False) + "\n")
    return ordered


def publish(text: str, length: Length, begin: str) -> None:
    """Replace the tables of the page that follow `begin`."""
    before, rest = PAGE.read_text().split(begin)
    _, after = rest.split(END, 1)
    size = f"Seed {length.seed}, {length.traces} traces of each kind and rate.\n"
    PAGE.write_text("\n".join([before + begin, size, text, END + after]))


def rounded(value: object) -> object:
    """Return numbers with four significant digits, at any depth, and None instead of inf and nan."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if isfinite(value) else None
    return value


if __name__ == "__main__":
    sys.exit(main())
