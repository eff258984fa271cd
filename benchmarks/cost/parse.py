"""How fast leakwatch parses debug=1, next to google/pprof's Go parser in the same run; and debug=0 next to that.

    python benchmarks/cost/parse.py [--rounds 3]

Prints a Markdown table: MB/s of a first ("cold") and of a repeated parse, counts changed, and their ratios to
google/pprof's `profile.ParseData`, which skips the names. Best of the rounds each, since the machine is shared.
Then a second table: the same profile of a real program in both formats.
"""

import argparse
import json
import random
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from leakwatch.profile import proto, text
from leakwatch.profile.cache import ParseCache

HERE = Path(__file__).parent
RECORDED = HERE.parents[1] / "tests" / "profiles" / "1.27" / "goroutine.debug1.txt"
PROTOBUF = RECORDED.with_name("goroutine.debug0.pb.gz")
ENOUGH = 0.3  # seconds per measurement


def generated(groups: int, depth: int = 10) -> bytes:
    """Return a body of `groups` different stacks, named and laid out as Go does."""
    rng = random.Random(groups)  # noqa: S311  test data
    blocks = []
    for number in range(groups):
        path = [rng.randrange(400) for _ in range(depth)]
        counters = [0x480000 + 0x40 * f + level for level, f in enumerate(path)]
        lines = [
            f"1 @ 0x43a0ce 0x{0x40A000 + number:x} " + " ".join(f"{c + 1:#x}" for c in counters) + " 0x46e9c1"
        ]
        for counter, function in zip(counters, path, strict=True):
            name = f"example.com/shop/internal/service{function % 40}.(*Handler).Method{function}"
            place = f"/src/shop/internal/service{function % 40}/handler.go:{100 + function}"
            lines.append(f"#\t{counter:#x}\t{name}+0x{function:x}\t\t{place}")
        blocks.append("\n".join(lines))
    return (f"goroutine profile: total {groups}\n" + "\n\n".join(blocks) + "\n\n").encode()


def changed(body: bytes) -> bytes:
    """Return `body` with each count raised by one: what the next scrape looks like."""
    groups = body.count(b" @")
    body = re.sub(rb"^(\d+) @", lambda m: b"%d @" % (int(m[1]) + 1), body, flags=re.MULTILINE)
    return re.sub(rb"total (\d+)", lambda m: b"total %d" % (int(m[1]) + groups), body, count=1)


def best(run: Callable[[], object]) -> float:
    """Return the shortest time of `run`, in seconds, of as many as fit."""
    fastest, end = float("inf"), time.perf_counter() + ENOUGH
    while True:
        begin = time.perf_counter()
        run()
        now = time.perf_counter()
        fastest = min(fastest, now - begin)
        if now > end:
            return fastest


def measure(name: str, body: bytes, go: Path, folder: Path, rounds: int) -> str:
    """Return one row of the table."""
    file = folder / f"{name}.txt"
    file.write_bytes(body)
    later = changed(body)
    cache = ParseCache()
    text.parse(body, cache)
    cold, warm, other = float("inf"), float("inf"), float("inf")
    for _ in range(rounds):  # in turn, so that a busy neighbour disturbs all alike
        cold = min(cold, best(lambda: text.parse(body)))
        warm = min(warm, best(lambda: text.parse(later, cache)))
        said = subprocess.run([go, file], check=True, capture_output=True).stdout
        other = min(other, json.loads(said)["ns_per_op"] / 1e9)
    size = len(body) / 1e6
    return (
        f"| {name} | {len(body):,} | {size / other:.0f} | {size / cold:.0f} | {other / cold:.2f} "
        f"| {size / warm:.0f} | {other / warm:.2f} |"
    )


def formats(rounds: int) -> list[str]:
    """Return a row of the second table for each format."""
    printed, packed = RECORDED.read_bytes(), PROTOBUF.read_bytes()
    texts, protos = ParseCache(), ParseCache()
    runs: dict[str, tuple[bytes, Callable[[], object], Callable[[], object]]] = {
        "text": (printed, lambda: text.parse(printed), lambda: text.parse(printed, texts)),
        "proto": (packed, lambda: proto.parse(packed), lambda: proto.parse(packed, cache=protos)),
    }
    took = {name: [float("inf"), float("inf")] for name in runs}
    for _ in range(rounds):
        for name, (_, cold, warm) in runs.items():
            warm()
            took[name] = [min(took[name][0], best(cold)), min(took[name][1], best(warm))]
    return [
        f"| {name} | {len(body):,} | {took[name][0] * 1e3:.2f} ms | {took[name][1] * 1e3:.2f} ms |"
        for name, (body, *_) in runs.items()
    ]


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    rounds = arguments.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        go = folder / "goparse"
        subprocess.run(["go", "build", "-o", go, "."], check=True, cwd=HERE / "goparse")
        print("| body | bytes | google/pprof MB/s | cold MB/s | ratio | repeat MB/s | ratio |")
        print("|---|---|---|---|---|---|---|")
        print(measure("recorded, Go 1.27", RECORDED.read_bytes(), go, folder, rounds), flush=True)
        for groups in (100, 2_000, 20_000):
            print(measure(f"{groups:,} groups", generated(groups), go, folder, rounds), flush=True)
    print("\n| profile_format | bytes | cold | repeat |\n|---|---|---|---|")
    print("\n".join(formats(rounds)))


if __name__ == "__main__":
    main()
