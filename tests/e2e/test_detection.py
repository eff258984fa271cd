"""The benchmark of detection, with fewer runs: no figure is clearly worse than the recorded one."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_detection_is_as_good_as_recorded() -> None:
    """The runs of `make detection` find no figure that is clearly worse than in quick.json."""
    # It needs no services, so the tests beside it go first. At 19, two busy loops leave it 5 % of a core.
    command = [
        "nice",
        "-n",
        "5",
        sys.executable,
        "benchmarks/detection/run.py",
        "--quick",
        "--check",
        "--jobs",
        "1",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
