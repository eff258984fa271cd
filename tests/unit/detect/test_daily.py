"""The window C24: a table of counts over days, with the hour of the first score and the latest score."""

import math
from collections.abc import Collection

import numpy as np
import pytest

from leakwatch.detect.daily import DailyScorer
from leakwatch.detect.history import History
from leakwatch.detect.windows import C24
from tests.support.blocks import BLOCK, DAY, SCRAPES, Counts, record, stairs, strength
from tests.support.simulated import START, samples

PER_HOUR = 12 * SCRAPES


def leak(base: int, rate: float, begin: int, hours: int, swing: int = 0) -> Counts:
    """Return counts that leak `rate` per hour from `begin` on, around a `base` that swings with the day."""
    return [
        round(base + swing * math.cos(2 * math.pi * i / (24 * PER_HOUR)) + max(0, i / PER_HOUR - begin) * rate)
        for i in range(hours * PER_HOUR + 1)
    ]


def scores(history: History, counts: Counts, churn: int = 0, missing: Collection[int] = ()) -> list[float]:
    """Return the scores of row 0 in C24, one per hour that ends with a scrape; `missing`: numbers of scrapes."""
    scorer = DailyScorer()
    by_hour = []
    for i, count in enumerate(counts):
        if i in missing:
            continue
        closed = history.record(START + i * BLOCK / SCRAPES, samples({"a": count + churn * (i % 2)}))
        if closed and history.closed % 12 == 0:
            result = scorer.score_hours(history)
            is_daily = np.array([window is C24 for window in result.windows], bool)
            by_hour.append(float(result.scores[(result.rows == 0) & is_daily].sum()))
    return by_hour


@pytest.mark.parametrize(
    ("counts", "churn", "first", "expected", "figure"),
    [
        pytest.param(leak(200, 5, 30, 50, 50), 20, 40, "suspected", 0.55, id="5 per hour in a daily swing"),
        pytest.param(leak(200, 10, 30, 50, 50), 20, 38, "confirmed", 1.11, id="10 per hour in a daily swing"),
        pytest.param(leak(200, 60, 30, 50, 50), 20, 35, "confirmed", 6.65, id="60 per hour in a daily swing"),
        pytest.param(leak(200, 2, 30, 50, 50), 20, None, "none", 0.0, id="2 per hour in a daily swing"),
        pytest.param(leak(200, 0, 30, 60, 50), 20, None, "none", 0.0, id="a daily swing"),
        pytest.param([*leak(10, 0, 0, 30)[:-1], *leak(60, 0, 0, 59)], 0, None, "none", 0.0, id="a step"),
        pytest.param(stairs(10, 20, DAY, 53 * 12), 0, 52, "confirmed", 2.5, id="a batch each day"),
    ],
)
def test_c24(counts: Counts, churn: int, first: int | None, expected: str, figure: float) -> None:
    """C24 compares three hours with the same hours yesterday, and requires 8 goroutines and 25 % of the count."""
    by_hour = scores(History(BLOCK), counts, churn)
    scored = [hour for hour, score in enumerate(by_hour, 1) if score]
    assert (scored[0] if scored else None) == first
    assert by_hour[-1] == pytest.approx(figure, abs=0.005)
    assert strength(by_hour[-1]) == expected


def test_a_rise_must_last_for_three_hours() -> None:
    """Growth since yesterday scores in the third hour in which it is a fifth above six hours ago."""
    counts = leak(200, 60, 30, 36, 50)
    assert [hour for hour, score in enumerate(scores(History(BLOCK), counts, 20), 1) if score] == [35, 36]


@pytest.mark.parametrize(
    ("missing", "first"),
    [
        pytest.param(range(33 * PER_HOUR + 7, 33 * PER_HOUR + 8), 35, id="one scrape"),
        pytest.param(range(20, 36 * PER_HOUR, PER_HOUR), 35, id="one per hour"),
        pytest.param(range(8 * PER_HOUR + 1, 9 * PER_HOUR), 36, id="an hour yesterday"),
    ],
)
def test_missed_scrapes(missing: range, first: int) -> None:
    """Missed scrapes delay a score at most by their duration."""
    counts = leak(200, 60, 30, 38, 50)
    scored = [hour for hour, score in enumerate(scores(History(BLOCK), counts, 20, missing), 1) if score]
    assert scored[0] == first


def test_a_rise_must_be_a_fifth() -> None:
    """Growth since yesterday that is only a tenth above six hours ago is not a rise."""
    steady, faster = leak(10, 10, 0, 36), leak(370, 12, 0, 9)
    assert not any(scores(History(BLOCK), [*steady[:-1], *faster]))


def test_a_restart_ends_all_streaks() -> None:
    """In a new lifetime there is no yesterday for a day, whatever rose before."""
    history = History(BLOCK)
    counts = leak(200, 60, 30, 40, 50)
    scorer = DailyScorer()
    record(history, {"a": counts}, 20)
    for _ in range(5):
        scorer.score_hours(history)
    assert C24 in scorer.score_hours(history).windows
    history.restart()
    record(history, {"a": counts[:PER_HOUR]}, 20, begin=START + 1e6)
    assert C24 not in scorer.score_hours(history).windows
    assert not scorer._streaks


def test_growth_below_a_past_ceiling_has_no_score() -> None:
    """A stack may grow again to where it stopped in an earlier lifetime."""
    history = History(BLOCK)
    history.record(START - 1, samples({"a": 1}))
    history.past_lifetimes.ceilings[0, 0] = 2000
    assert not any(scores(history, leak(200, 60, 30, 40, 50), 20))
