"""Soak test: run leakwatch for hours at many times the normal rate, and fail if it leaks or loses scrapes.

    python -m tests.soak [--minutes 120] [--speed 50] [--results build/soak]

Healthy and leaking Go services are scraped the whole time. Others are restarted and deployed, the configuration is
reloaded, and the kinds of the fault server come and go. The samples are in samples.csv, the plot in soak.svg.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.soak.plot import draw
from tests.soak.samples import Sample, SampleFile
from tests.soak.verdict import problems, summary
from tests.soak.world import World

SAMPLE, ROTATE, RELOAD, DEPLOY = 5.0, 10.0, 15.0, 20.0
"""Seconds between two samples, and between two changes of the world."""


def run(world: World, seconds: float, file: SampleFile) -> list[Sample]:
    """Change the world for a time; return the samples, which also go to `file`."""
    start = time.monotonic()
    samples: list[Sample] = []

    def take() -> None:
        samples.append(world.sample(start))
        file.add(samples[-1])

    actions: dict[Callable[[], None], float] = {
        take: SAMPLE,
        world.rotate: ROTATE,
        world.reload: RELOAD,
        world.deploy: DEPLOY,
    }
    due = {action: start + period for action, period in actions.items()}
    while (now := time.monotonic()) < start + seconds:
        action = min(due, key=lambda action: due[action])
        time.sleep(max(due[action] - now, 0.0))
        action()
        due[action] = max(due[action], time.monotonic() - actions[action]) + actions[action]
    take()
    return samples


def main() -> int:
    """Run, write the results, and return 1 if the run exceeds a limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--speed", type=float, default=50.0, help="multiple of the normal rate")
    parser.add_argument("--results", type=Path, default=Path("build/soak"))
    arguments = parser.parse_args()
    folder: Path = arguments.results.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    world = World(folder, arguments.speed)
    try:
        samples = run(world, 60 * arguments.minutes, SampleFile(folder / "samples.csv"))
    finally:
        status = world.stop()
    found = problems(samples) + world.problems()
    if status:
        found.append(f"leakwatch ended with status {status}")
    (folder / "soak.svg").write_text(draw(samples))
    sys.stdout.write("\n".join([summary(samples), *(f"PROBLEM {problem}" for problem in found)]) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
