"""Comparison of two processes under the same load: which stacks grow more on the new process."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from leakwatch.detect.comparison import ComparedGrowth, Comparison, compare
from leakwatch.detect.history import History
from leakwatch.model import Fingerprint
from tests.support.simulated import START, samples, stack

BLOCK = 25.0
SECONDS = 650
Count = Callable[[float], float]
"""Seconds since the start -> expected count."""


def history(counts: Mapping[str, Count], *, seed: int = 0, late: float = 0.0, skip: range = range(0)) -> History:
    """Return the history of a process; the counts of a stack with a name that begins with "busy" are random.

    `late`: of the first scrape; `skip`: missed scrapes.
    """
    dice, recorded = np.random.default_rng(seed), History(BLOCK)
    for second in range(SECONDS):
        numbers = {
            name: int(dice.poisson(count(second)) if name.startswith("busy") else count(second))
            for name, count in counts.items()
        }
        if second not in skip:
            recorded.record(START + late + second, samples(numbers))
    return recorded


def key(name: str) -> Fingerprint:
    """Return the fingerprint of a stack."""
    return stack(name, f"main.go{name}").fingerprint


def compared(new: Count, old: Count | None, name: str = "quiet") -> Comparison | None:
    """Return the comparison of one stack; `old`: None if the baseline does not have it."""
    baseline = {"const": lambda _: 5.0} | ({name: old} if old else {})
    return compare(history({name: new}, seed=1), history(baseline, seed=2)).get(key(name))


def swing(second: float) -> float:
    """Return a load that swings between 20 and 180 in 200 s."""
    return 100 + 80 * float(np.sin(second / 200 * 2 * np.pi))


def rising(level: float, per_minute: float) -> Count:
    """Return a count that begins at `level` and grows."""
    return lambda second: level + per_minute * second / 60


def flat(level: float) -> Count:
    """Return a constant count."""
    return lambda _: level


def scaled(count: Count, share: float) -> Count:
    """Return a share of a count."""
    return lambda second: share * count(second)


@pytest.mark.parametrize(
    ("name", "new", "old", "result"),
    [
        ("quiet", rising(3, 5), flat(3), ComparedGrowth.MORE),
        ("quiet", rising(3, 5), None, ComparedGrowth.MORE),
        ("quiet", rising(3, 15), rising(3, 5), ComparedGrowth.MORE),
        ("quiet", rising(3, 6), rising(3, 5), ComparedGrowth.BOTH),
        ("quiet", rising(3, 6), rising(900, 5), ComparedGrowth.BOTH),
        ("quiet", rising(0, 5), flat(100), ComparedGrowth.BELOW),
        ("quiet", lambda second: 3.0 + 40 * (second > 300), flat(3), ComparedGrowth.UNCLEAR),
        ("busy", lambda second: swing(second) + second / 4, swing, ComparedGrowth.MORE),
        ("busy", lambda second: swing(second) / 10 + second / 6, swing, ComparedGrowth.MORE),
        ("busy", lambda second: 100 + second / 4, None, ComparedGrowth.UNCLEAR),
    ],
)
def test_the_result(name: str, new: Count, old: Count | None, result: ComparedGrowth) -> None:
    """A leak that the baseline lacks, or has more slowly, grows more, also beside a load that swings.

    Similar rates are growth on both; a count below the baseline's is a pool that fills. A single step is unclear,
    and so is a busy stack that the baseline lacks, because its load is unknown.
    """
    comparison = compared(new, old, name)
    assert comparison is not None
    assert comparison.result is result


def test_load_is_not_growth() -> None:
    """A busy stack does not grow more with its load: at equal load, at a tenth, or if its requests take longer."""
    ramp = rising(100, 20)
    for load in (swing, ramp):
        for share in (1.0, 0.1, 2.0):
            names = [f"busy{number}" for number in range(20)]
            new = history(dict.fromkeys(names, scaled(load, share)), seed=3)
            old = history(dict.fromkeys(names, load), seed=4)
            results = {comparison.result for comparison in compare(new, old).values()}
            assert ComparedGrowth.MORE not in results


def test_the_figures() -> None:
    """A comparison has the counts of the first and the last quarter, the rates of both, and the span."""
    comparison = compared(rising(4, 30), flat(7))
    assert comparison is not None
    first, last = comparison.counts
    assert first == pytest.approx(4 + 30 / 60 * 100, abs=10)
    assert last == pytest.approx(4 + 30 / 60 * 525, abs=15)
    assert list(comparison.baseline_counts) == [7, 7]
    assert comparison.growth.rate * 60 == pytest.approx(30, rel=0.02)
    assert comparison.baseline_growth.rate == 0
    assert comparison.span == 23 * BLOCK


def test_blocks_need_not_begin_at_the_same_time() -> None:
    """Blocks that begin later, and a gap of some blocks, do not change the result."""
    new = history({"busy": lambda second: swing(second) + second / 4}, seed=1)
    old = history({"busy": swing}, seed=2, late=10.0, skip=range(200, 260))
    assert compare(new, old)[key("busy")].result is ComparedGrowth.MORE


def test_nothing_is_compared_without_a_common_time() -> None:
    """Without blocks, or with less than two thirds of them in common, there is no comparison."""
    new = history({"quiet": rising(3, 30)})
    assert compare(new, History(BLOCK)) == {}
    assert compare(History(BLOCK), new) == {}
    assert compare(new, history({"quiet": flat(3)}, late=300.0)) == {}


def test_small_growth_is_not_compared() -> None:
    """A stack that gained fewer than ten goroutines is left out."""
    assert compared(rising(3, 1), flat(3)) is None
