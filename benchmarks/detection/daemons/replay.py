"""Judge the recordings of watch.py again and print all verdicts, with minutes since the start.

`--old` judges as if the processes had run for 16 hours: without the limits of the window W for young processes.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

from leakwatch.cli.analyze.folders import find
from leakwatch.detect import stuck
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Target
from leakwatch.pipeline import Pipeline
from leakwatch.profile.stacks import Identifier


def spaced(dumps: Sequence[Path], seconds: float) -> Iterator[Path]:
    """Yield the dumps that are at least `seconds` apart, none if that is 0."""
    last = 0.0
    for path in dumps:
        time = float(path.name.partition(".")[0])
        if seconds and time - last >= seconds - 5:
            yield path
            last = time


def verdicts(paths: Sequence[Path], name: str, block: float) -> Iterator[str]:
    """Yield the verdicts on one process; `paths`: its profiles and dumps."""
    pipeline = Pipeline(DetectionSettings(block=block))
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            (Path(folder) / path.name).symlink_to(path)
        (recording,) = find([Path(folder)], Identifier(), print)
        state = pipeline.add_target(Target(name, name))
        for observation in recording.observations():
            if observation is None:
                continue
            events = list(pipeline.observe(state, observation.time, observation.total, observation.samples))
            for time, stacks in observation.dumps:
                events += pipeline.observe_dump(state, time, stacks)
            for event in events:
                minutes = (observation.time - recording.times[0]) / 60
                function = event.leak.stack.blamed.function
                yield f"{name} | {minutes:.0f} min | {event.leak.verdict.word} | {function} | {event.leak.reason}"


def main() -> None:
    """Judge all recordings of a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder that watch.py filled")
    parser.add_argument("--block", type=float, default=300, help="seconds")
    parser.add_argument("--dumps", type=float, default=300, help="seconds between two dumps; 0: without dumps")
    parser.add_argument("--old", action="store_true", help="judge as if the processes were old")
    options = parser.parse_args()
    folder = options.folder.resolve()
    with patch.object(stuck, "YOUNG", ((0.0, 1.0),)) if options.old else nullcontext():
        for home in sorted((folder / "profiles").iterdir()):
            dumps = spaced(sorted((folder / "dumps" / home.name).iterdir()), options.dumps)
            for line in verdicts([*home.iterdir(), *dumps], home.name, options.block):
                print(line)


if __name__ == "__main__":
    main()
