"""Fuzzes the parsers of foreign input with atheris, guided by coverage.

    make fuzz ARGS="--seconds 600 text proto"

Each target runs in its own process, because libFuzzer ends the process. An input that fails is stored in the
corpus of the target: fix the parser, and commit the input.
"""

import argparse
import gzip
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["leakwatch"], enable_loader_override=False):
    from leakwatch.profile.parts import GZIP
    from tests.fuzz.targets import TARGETS, check, seeds

CORPUS = Path(__file__).parent / "corpus"
MEMORY_LIMIT = 1024  # MiB; a process begins with 150 MiB


def fuzz(name: str, seconds: int, length: int, folder: str) -> None:
    """Fuzz one target for `seconds` with inputs of up to `length` bytes; ends the process."""
    options = {
        "max_total_time": seconds,
        "max_len": length,
        "rss_limit_mb": MEMORY_LIMIT,
        "timeout": 600,  # seconds of the wall clock; `check` limits the CPU time
        "print_final_stats": 1,
        "artifact_prefix": f"{CORPUS / name}/",
    }
    arguments = [sys.argv[0], *(f"-{option}={value}" for option, value in options.items()), folder]
    atheris.Setup(arguments, lambda data: check(name, data))
    atheris.Fuzz()


def _plain(data: bytes, length: int) -> bytes:
    """Return `data` without gzip, which fails after any change; b"" if it is longer than `length`."""
    plain = gzip.decompress(data) if data.startswith(GZIP) else data
    return plain if len(plain) <= length else b""


def main() -> int:
    """Fuzz the given targets, by default all, one after another; return 1 if an input failed."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    options.add_argument("--seconds", type=int, default=60, help="time per target (default: %(default)s)")
    options.add_argument(
        "--length", type=int, default=16_384, help="bytes of the longest input (default: %(default)s)"
    )
    options.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = options.parse_args()
    unknown = set(arguments.targets) - TARGETS.keys()
    if unknown:
        options.error(f"unknown target {', '.join(sorted(unknown))}; the targets are {', '.join(TARGETS)}")
    if arguments.folder:
        fuzz(arguments.targets[0], arguments.seconds, arguments.length, arguments.folder)
    failed = []
    for name in arguments.targets or TARGETS:
        with TemporaryDirectory() as folder:
            for number, seed in enumerate(seeds(name)):
                (Path(folder) / str(number)).write_bytes(_plain(seed.read_bytes(), arguments.length))
            limits = ("--seconds", str(arguments.seconds), "--length", str(arguments.length))
            command = [sys.executable, "-m", "tests.fuzz.run", *limits, "--folder", folder, name]
            if subprocess.run(command, check=False).returncode:
                failed.append(name)
    sys.stderr.write(f"failed: {' '.join(failed)}\n" if failed else "no input failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
