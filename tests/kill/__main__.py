"""Kills a process many times, and compares it with one that was not killed: python -m tests.kill --kills 50."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.kill.compare import differences
from tests.kill.run import run


def main() -> int:
    """Run both; return the number of differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--minutes", type=int, default=480)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        steady = run(Path(folder) / "steady", options.minutes)
        every = options.minutes // (options.kills + options.kills // 4)
        killed = run(Path(folder) / "killed", options.minutes, kills=options.kills, every=every, seed=options.seed)
    found = differences(steady, killed)
    leaks = ", ".join(
        f"{service} {function} {leak['verdict']}" for (service, function), leak in killed.leaks.items()
    )
    sys.stdout.write(f"killed {killed.kills} times; open leaks: {leaks}\n")
    sys.stdout.write("".join(f"different: {difference}\n" for difference in found) or "no difference\n")
    return len(found)


if __name__ == "__main__":
    sys.exit(main())
