"""StackLiveness of full dumps: whether the goroutines that a stack gained are alive."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from leakwatch.detect.alive import liveness_of, min_growth_of
from leakwatch.detect.columns import MEAN
from leakwatch.detect.dumped import DumpedStack
from leakwatch.detect.history import History
from leakwatch.detect.liveness import Gained, Liveness, StackLiveness, merged_liveness
from leakwatch.detect.windows import C2, P2, P8, P24, SPANS, Window
from leakwatch.model import Fingerprint
from tests.support.blocks import Counts, line, record
from tests.support.simulated import stack

KEY = stack("a", "main.goa").fingerprint
OTHER = Fingerprint("00000000000000bb")
ALIVE = Gained(before=10, growth=40, expected=30, waiting=5)
STUCK = Gained(before=10, growth=40, expected=30, waiting=29)


def liveness(counts: Counts, minutes: Callable[[int], int]) -> Mapping[int, bool]:
    """Return the liveness in a dump after `counts`; `minutes`: wait time by the age of a goroutine in minutes."""
    history = History(300.0)
    end = record(history, {"a": counts})
    scrape = history.block / 5 / 60
    births = [i for i in range(1, len(counts)) for _ in range(counts[i] - counts[i - 1])]
    ages = [(len(counts) - 1 - i) * scrape for i in births]
    waits = np.array([minutes(int(age)) for age in ages] + [600] * counts[0], np.int64)
    ids = np.arange(len(waits))
    found = liveness_of(history, history.rows[KEY], DumpedStack(ids, waits, np.zeros_like(ids)), end)
    return Liveness({KEY: found}).spans(KEY)


def late(age: int) -> int:
    """Return the wait time of a stuck goroutine, which a garbage collection has measured late."""
    return max(age - 2, -1)


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        pytest.param(late, False, id="stuck"),
        pytest.param(lambda age: min(age, age % 7), True, id="run every 7 minutes"),
        pytest.param(lambda _: -1, True, id="just ran"),
        pytest.param(lambda age: late(age) if age % 2 else 0, None, id="half of them"),
    ],
)
def test_growth(minutes: Callable[[int], int], *, expected: bool | None) -> None:
    """Goroutines that have waited since they came are stuck, those that ran are alive; a mixture is unknown."""
    found = liveness(line(3, 2, 30), minutes)
    assert found.get(SPANS[1]) is expected
    assert SPANS[2] not in found, "the history is shorter"


def test_older_goroutines_that_woke_up() -> None:
    """Goroutines that were there before, and have waited for as long as the new ones, woke up meanwhile."""
    history = History(300.0)
    end = record(history, {"a": line(40, 1, 30)})
    waits = np.array([60] * 40 + [late(int(5 * i)) for i in range(30)], np.int64)
    ids = np.arange(len(waits))
    found = liveness_of(history, history.rows[KEY], DumpedStack(ids, waits, np.zeros_like(ids)), end)
    assert found[SPANS[1]].is_alive


def test_growth_that_is_too_young_or_too_small_is_unknown() -> None:
    """A quarter of the window must have passed since the growth, and it must be four goroutines or more."""
    assert liveness([3] * 120 + [*line(3, 10, 5)][1:], lambda _: -1).get(SPANS[1]) is None
    assert liveness(line(3, 0.1, 30), late).get(SPANS[1]) is None


def test_blocks_of_a_demo_have_no_liveness() -> None:
    """Whole minutes do not measure windows of seconds."""
    history = History(1.0)
    end = record(history, {"a": line(3, 2, 30)})
    waits = DumpedStack(np.arange(60), np.zeros(60, np.int64), np.zeros(60, np.int64))
    assert liveness_of(history, history.rows[KEY], waits, end) == {}


def test_alive_goroutines_must_be_many() -> None:
    """Growth of goroutines that are alive needs ten times as many, or half of the process; a day three times."""
    history = History(300.0)
    record(history, {"a": line(3, 2, 30), "b": line(1000, 0, 30)})
    rows = np.array([history.rows[KEY]])
    quarters = [np.array([0, 1]), np.array([6, 7]), np.array([12, 13]), np.array([22, 23])]

    def needed(found: StackLiveness, *windows: Window) -> list[float]:
        history.liveness = Liveness({KEY: found})
        return [float(min_growth_of(history, rows, window, history.blocks, quarters)[0]) for window in windows]

    assert needed({}, P2, P8, P24) == [30, 12, 8]
    assert needed({SPANS[1]: STUCK}, P2, P8, P24) == [30, 12, 8]
    half = needed({SPANS[1]: ALIVE}, P2, P8, P24)
    assert half[0] == half[1] == pytest.approx(507, abs=20)
    assert half[2] == 24
    assert needed({SPANS[1]: ALIVE, SPANS[2]: STUCK}, P2, P8, P24) == [half[0], 12, 8], "stuck in another window"


def test_alive_goroutines_that_also_leave_must_be_many_now() -> None:
    """Growth is compared with all goroutines before it, and in windows C with those after it."""
    history = History(300.0)
    record(history, {"a": line(0, 200, 30)})
    rows = np.array([history.rows[KEY]])
    history.liveness = Liveness({KEY: {SPANS[1]: ALIVE}})
    quarters = [np.array([0, 1]), np.array([6, 7]), np.array([12, 13]), np.array([22, 23])]
    before, after = (float(np.median(history.blocks.values[MEAN][rows[0], quarters[i]])) for i in (0, 3))
    needed = [min_growth_of(history, rows, window, history.blocks, quarters)[0] for window in (P2, C2)]
    assert needed == [pytest.approx(before / 2), pytest.approx(after / 2)]
    assert after > 3 * before > 60 * P2.min_growth


def test_liveness_on_other_targets() -> None:
    """The goroutines of other targets are added up, and count where the own dump shows nothing."""
    alive, stuck = {SPANS[1]: ALIVE}, {SPANS[1]: STUCK}
    one, two = Liveness({KEY: alive, OTHER: alive}), Liveness({OTHER: stuck})
    assert merged_liveness(Liveness({KEY: {}}), [one]).by_stack == {KEY: alive, OTHER: alive}
    assert merged_liveness(Liveness({KEY: stuck}), [one]).by_stack == {KEY: stuck, OTHER: alive}
    assert merged_liveness(Liveness(), [one, two]).spans(OTHER) == {}, "half of them are stuck"
    assert merged_liveness(Liveness(), [*[one] * 7, two]).spans(OTHER) == {SPANS[1]: True}


def test_replicas_that_gain_few_goroutines() -> None:
    """Three are too few to know, those of three replicas are not; with goroutines that wait they are stuck."""
    few = Gained(before=2, growth=3, expected=3, waiting=0)
    alone = Liveness({KEY: {SPANS[1]: few}})
    assert alone.spans(KEY) == {}
    assert merged_liveness(alone, [alone, alone]).word(KEY) == "alive"
    stuck = Liveness({KEY: {SPANS[1]: replace(few, waiting=3)}})
    assert merged_liveness(stuck, [stuck, stuck]).word(KEY) == "stuck"


def test_words() -> None:
    """The API has one word per stack."""
    found = Liveness({KEY: {8: ALIVE, 24: ALIVE}, OTHER: {8: ALIVE, 24: STUCK}})
    assert [found.word(key) for key in (KEY, OTHER, Fingerprint("other"))] == ["alive", "mixed", ""]
    assert Liveness({KEY: {8: STUCK}}).word(KEY) == "stuck"
