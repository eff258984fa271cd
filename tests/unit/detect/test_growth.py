"""Scores of growth: one table of counts and scores per window, and the rules that reject growth."""

import numpy as np
import pytest

from leakwatch.detect import windows
from leakwatch.detect.growth import (
    effective_rises,
    has_no_departures,
    highest,
    is_linear,
    score_blocks,
    score_hours,
    score_window,
    slowdown,
    turnover_ratio,
    unexplained_growth,
)
from leakwatch.detect.history import History
from leakwatch.detect.quarters import Quarters
from leakwatch.detect.windows import C2, C8, C24, P0, P2, P8, P24, Window
from tests.support.blocks import DAY, Counts, curve, floats, line, recorded, stairs, strength


def score(window: Window, history: History) -> float:
    """Return the score of row 0, 0 if it has none."""
    columns = history.hours if window.hourly else history.blocks
    _, rows, scores = score_window(history, columns, window)
    return float(scores[rows == 0].sum())


def check(window: Window, history: History, expected: str, figure: float) -> None:
    """Check the score of row 0, and what it is good for."""
    value = score(window, history)
    assert value == pytest.approx(figure, abs=0.005)
    assert strength(value) == expected


@pytest.mark.parametrize(
    ("counts", "churn", "expected", "figure"),
    [
        pytest.param(line(10, 25, 8), 0, "suspected", 0.50, id="150 in 30 minutes"),
        pytest.param(line(10, 50, 8), 0, "confirmed", 1.00, id="300 in 30 minutes"),
        pytest.param(line(10, 100, 8), 0, "confirmed", 2.00, id="600 in 30 minutes"),
        pytest.param(line(10, 20, 8), 0, "none", 0.40, id="120 in 30 minutes"),
        pytest.param(line(10, 50, 8), 12, "none", 0.00, id="5 % of the growth leaves again"),
        pytest.param(stairs(10, 300, 2, 8), 0, "none", 0.375, id="three rises"),
        pytest.param(curve([10] * 5 + [400] * 4), 0, "none", 0.00, id="one rise"),
        pytest.param(curve([10, 160, 300, 400, 460, 500, 530, 545, 555]), 0, "none", 0.00, id="slows down"),
        pytest.param(line(555, 0, 8), 0, "none", 0.00, id="constant"),
    ],
)
def test_p0(counts: Counts, churn: int, expected: str, figure: float) -> None:
    """P0 compares two blocks with two blocks 30 minutes before, and requires 300 goroutines and eight rises."""
    check(P0, recorded(counts, churn), expected, figure)


@pytest.mark.parametrize(
    ("counts", "churn", "expected", "figure"),
    [
        pytest.param(line(3, 0.5, 24), 0, "none", 0.30, id="9 in 90 minutes"),
        pytest.param(line(3, 1, 24), 0, "suspected", 0.60, id="18 in 90 minutes"),
        pytest.param(line(3, 2, 24), 0, "confirmed", 1.20, id="36 in 90 minutes"),
        pytest.param(line(3, 5, 24), 0, "confirmed", 3.00, id="90 in 90 minutes"),
        pytest.param(line(3, 5, 24), 3, "none", 0.00, id="busy"),
        pytest.param(stairs(3, 20, 3, 24), 0, "suspected", 0.875, id="seven batches"),
        pytest.param(stairs(3, 20, 8, 24), 0, "none", 0.25, id="two batches"),
        pytest.param(curve([3] * 12 + [100] * 13), 0, "none", 0.00, id="a step"),
        pytest.param(line(200, -5, 24), 0, "none", 0.00, id="falls"),
    ],
)
def test_p2(counts: Counts, churn: int, expected: str, figure: float) -> None:
    """P2 compares half an hour with half an hour 90 minutes before, and requires 30 goroutines and eight rises."""
    check(P2, recorded(counts, churn), expected, figure)


@pytest.mark.parametrize(
    ("counts", "churn", "expected", "figure"),
    [
        pytest.param(line(20, 2, 24), 10, "suspected", 0.71, id="20 grow by 36"),
        pytest.param(line(20, 5, 24), 10, "confirmed", 1.39, id="20 grow by 90"),
        pytest.param(line(20, 5, 24), 0, "suspected", 0.66, id="unknown turnover"),
        pytest.param(line(100, 5, 24), 10, "none", 0.47, id="100 grow by 90"),
        pytest.param(line(100, 10, 24), 10, "suspected", 0.83, id="100 grow by 180"),
        pytest.param(line(100, 20, 24), 10, "confirmed", 1.37, id="100 grow by 360"),
        pytest.param(curve([100] * 12 + [400] * 13), 10, "none", 0.00, id="a step"),
        pytest.param(line(100, 0, 24), 10, "none", 0.00, id="constant load"),
    ],
)
def test_c2(counts: Counts, churn: int, expected: str, figure: float) -> None:
    """C2 compares as P2 does, and requires 30 goroutines, 30 % of the count and 3.5 standard errors."""
    check(C2, recorded(counts, churn), expected, figure)


@pytest.mark.parametrize(
    ("counts", "churn", "expected", "figure"),
    [
        pytest.param(line(3, 1 / 24, 96), 0, "none", 0.25, id="one per 2 h"),
        pytest.param(line(3, 1 / 12, 96), 0, "suspected", 0.50, id="one per hour"),
        pytest.param(line(3, 1 / 6, 96), 0, "confirmed", 1.00, id="two per hour"),
        pytest.param(line(3, 1, 96), 0, "confirmed", 6.00, id="twelve per hour"),
        pytest.param(line(3, 1, 96), 1, "none", 0.00, id="busy"),
        pytest.param(stairs(3, 10, 12, 96), 0, "suspected", 0.70, id="seven batches"),
        pytest.param(curve([3] * 48 + [100] * 49), 0, "none", 0.00, id="a step"),
    ],
)
def test_p8(counts: Counts, churn: int, expected: str, figure: float) -> None:
    """P8 compares two hours with two hours 6 h before, and requires 12 goroutines and ten rises."""
    check(P8, recorded(counts, churn), expected, figure)


@pytest.mark.parametrize(
    ("counts", "churn", "expected", "figure"),
    [
        pytest.param(line(20, 0.25, 96), 10, "suspected", 0.75, id="20 grow by 18"),
        pytest.param(line(20, 1, 96), 10, "confirmed", 2.29, id="20 grow by 72"),
        pytest.param(line(100, 1, 96), 10, "suspected", 0.74, id="100 grow by 72"),
        pytest.param(line(100, 2, 96), 10, "confirmed", 1.34, id="100 grow by 144"),
        pytest.param(curve([100] * 48 + [400] * 49), 10, "none", 0.00, id="a step"),
    ],
)
def test_c8(counts: Counts, churn: int, expected: str, figure: float) -> None:
    """C8 compares as P8 does, and requires 12 goroutines, 30 % of the count and 3.5 standard errors."""
    check(C8, recorded(counts, churn), expected, figure)


@pytest.mark.parametrize(
    ("counts", "churn", "expected", "figure"),
    [
        pytest.param(line(3, 1 / 48, DAY), 0, "suspected", 0.50, id="one per 4 h"),
        pytest.param(line(3, 1 / 24, DAY), 0, "confirmed", 1.125, id="one per 2 h"),
        pytest.param(line(3, 1 / 12, DAY), 0, "confirmed", 2.25, id="one per hour"),
        pytest.param(line(3, 1 / 12, DAY), 1, "none", 0.00, id="busy"),
        pytest.param(curve([3] * 144 + [100] * 145), 0, "none", 0.00, id="a step"),
    ],
)
def test_p24(counts: Counts, churn: int, expected: str, figure: float) -> None:
    """P24 compares six hours with six hours 18 h before, and requires 8 goroutines and eight rises."""
    check(P24, recorded(counts, churn), expected, figure)


@pytest.mark.parametrize(
    ("window", "counts", "figure"),
    [
        (P0, line(10, 50, 8), 1 / 1.4),
        (P2, line(3, 5, 24), 3 / 2.2),
        (C2, line(0, 2, 24), 1.2 / 2.2),
        (P8, line(3, 1, 96), 6 / 3.4),
        (C8, line(0, 0.5, 96), 3 / 3.4),
        (P24, line(3, 1 / 12, DAY), 2.25),
    ],
    ids=lambda value: value.name if isinstance(value, Window) else "",
)
def test_young_processes_need_more_growth(window: Window, counts: Counts, figure: float) -> None:
    """In blocks of five minutes, growth without departures of a young process needs a multiple of the minimum."""
    assert score(window, recorded(counts, block=300.0)) == pytest.approx(figure, rel=0.01)


def test_growth_of_young_processes_must_not_slow_down() -> None:
    """A pool that fills more and more slowly has no score in the first 16 hours, in blocks of five minutes."""
    fills = curve([300 * (1 - 0.95**i) for i in range(25)])
    assert score(P2, recorded(fills)) > 1
    assert score(P2, recorded(fills, block=300.0)) == 0


def test_growth_below_the_known_drop_proves_little() -> None:
    """Growth is compared with 1.5 times the known drop of the stack."""
    history = recorded([*line(83, 0, 24), *line(3, 0, 24), *line(3, 5, 24)])
    assert history.known_drop[0, 0] == pytest.approx(80, rel=0.05)
    assert score(P2, history) == pytest.approx(90 / (1.5 * history.known_drop[0, 0]), rel=1e-5)


@pytest.mark.parametrize(
    ("window", "ignored"), [(P0, False), (P2, False), (P8, False), (P24, True)], ids=lambda v: str(v)[:20]
)
def test_which_known_drop_counts(window: Window, ignored: bool) -> None:
    """Block windows use the brief known drop, hourly windows the lasting one, and P24 neither."""
    history = recorded(line(3, 50, 24) if not window.hourly else line(3, 2, DAY))
    free = score(window, history)
    history.known_drop[window.known_drop or 0, 0] = 10_000
    assert (score(window, history) == free > 1) is ignored
    assert (score(window, history) < 0.3) is not ignored


def test_a_stack_that_leaked_before_needs_half_the_evidence() -> None:
    """The minimum growth of a stack that leaked in the last lifetime is halved."""
    history = recorded(line(3, 1, 24))
    history.past_lifetimes.leaked[0] = True
    assert score(P2, history) == pytest.approx(1.2)


def test_growth_below_a_past_ceiling_has_no_score() -> None:
    """A stack may grow again to where it stopped in an earlier lifetime."""
    history = recorded(line(3, 5, 24))
    history.past_lifetimes.ceilings[1, 0] = 100
    assert score(P2, history) == 0
    history.past_lifetimes.ceilings[1, 0] = 70
    assert score(P2, history) == pytest.approx(3)


@pytest.mark.parametrize(("gain", "figure"), [(-5.0, 0.0), (-3.0, 0.0), (-2.0, 3.0), (1.0, 3.0)])
def test_growth_at_the_cost_of_the_same_origin_has_no_score(gain: float, figure: float) -> None:
    """All stacks of an origin together must grow by half of the growth of the stack."""
    history = recorded(line(3, 5, 24), others={"b": line(500, gain, 24)}, origin="main.work")
    assert score(P2, history) == pytest.approx(figure)


def test_other_origins_have_no_influence() -> None:
    """A stack of another origin may fall at the same time."""
    assert score(P2, recorded(line(3, 5, 24), others={"b": line(500, -5, 24)})) == pytest.approx(3)


def test_the_highest_score_of_a_row_counts() -> None:
    """Of several windows, a row has the score and the window of the highest; low scores are left out."""
    rows, first, second = np.arange(3), floats([0.2, 0.5, 2.0]), floats([0.1, 0.6, 2.0])
    scores = highest([(P2, rows, first), (C2, rows, second)])
    assert scores.rows.tolist() == [1, 2]
    assert scores.scores.tolist() == pytest.approx([0.6, 2.0])
    assert scores.windows == (C2, P2)


def test_all_windows_are_scored() -> None:
    """Block and hourly scores come from the window that gives the highest."""
    fast, slow = recorded(line(10, 300, 24)), recorded(line(3, 1 / 12, DAY))
    assert [window.name for window in score_blocks(fast).windows] == ["P2"]
    assert [window.name for window in score_hours(slow).windows] == ["P24"]


def quarters(counts: tuple[float, ...], **changes: float) -> Quarters:
    """Return the quarters of one row."""
    one = {"falls": 0.0, "rises": 30.0, "squared_rises": 30.0, **changes}
    turnover = floats([[changes.pop("before", 1.0), 1.0, 1.0, changes.pop("after", 1.0)]])
    return Quarters(
        count=floats([counts]),
        floor=floats([counts]),
        turnover=turnover,
        turnover_error=np.zeros(1, np.float32),
        sampling_error=np.float32(0.1),
        falls=floats([one["falls"]]),
        rises=floats([one["rises"]]),
        squared_rises=floats([one["squared_rises"]]),
    )


@pytest.mark.parametrize(
    ("counts", "linear"),
    [
        ((0, 10, 20, 30), {"P0", "P2", "C2"}),
        ((0, 7, 14, 30), {"P2", "C2"}),
        ((0, 2, 20, 30), {"P2"}),
        ((0, 13, 23, 30), {"P2", "C2"}),
        ((0, 18, 24, 30), set()),
        ((0, 0, 12, 30), {"P2"}),
        ((30, 20, 10, 0), set()),
        ((5, 5, 5, 5), set()),
    ],
)
def test_growth_must_be_linear(counts: tuple[float, ...], linear: set[str]) -> None:
    """The bounds of the steps between quarters depend on the window."""
    row = quarters(counts)
    assert {window.name for window in (P0, P2, C2) if is_linear(row, window)[0]} == linear


def test_the_floor_must_rise_too() -> None:
    """A floor that rises by less than half of the growth shows that goroutines still leave."""
    row = quarters((0, 10, 20, 30))
    row.floor[:, 3] = 14
    assert not is_linear(row, P2)[0]


@pytest.mark.parametrize(("falls", "expected"), [(0.0, True), (1.5, True), (1.6, False)])
def test_departures(falls: float, expected: bool) -> None:
    """Up to 5 % of the growth may leave again."""
    assert has_no_departures(quarters((0, 10, 20, 30), falls=falls))[0] == expected


@pytest.mark.parametrize(
    ("before", "after", "ratio", "growth"), [(1.0, 1.0, 1.0, 30.0), (1.0, 2.05, 2.0, 19.0), (2.05, 1.0, 0.5, 30.0)]
)
def test_growth_that_turnover_explains(before: float, after: float, ratio: float, growth: float) -> None:
    """If the turnover doubles, the count may double; if the turnover falls, all growth is unexplained."""
    row = quarters((10, 20, 30, 40), before=before, after=after)
    assert turnover_ratio(row)[0] == pytest.approx(ratio, rel=0.01)
    assert unexplained_growth(row)[0] == pytest.approx(growth, abs=0.01)


def test_unexplained_growth_is_limited_by_the_floor() -> None:
    """If the floor rises by 12, at most 15 of the growth are unexplained."""
    row = quarters((10, 20, 30, 40))
    row.floor[:, 3] = 22
    assert unexplained_growth(row)[0] == 15


@pytest.mark.parametrize(
    ("rises", "squared_rises", "number"),
    [(30.0, 30.0, 30.0), (30.0, 90.0, 10.0), (30.0, 900.0, 1.0), (0.0, 0.0, 0.0)],
)
def test_effective_rises(rises: float, squared_rises: float, number: float) -> None:
    """Thirty single rises are thirty, ten rises of three are ten, one of thirty is one."""
    row = quarters((0, 10, 20, 30), rises=rises, squared_rises=squared_rises)
    assert effective_rises(row)[0] == number


@pytest.mark.parametrize(
    ("counts", "errors"),
    [((0, 30, 60, 90), 0.0), ((0, 45, 75, 90), 30 / 90**0.5), ((0, 15, 45, 90), -30 / 90**0.5)],
)
def test_slowdown(counts: tuple[float, ...], errors: float) -> None:
    """The first half of the growth less the second, in standard errors of single arrivals."""
    assert slowdown(quarters(counts, rises=90.0, squared_rises=90.0))[0] == pytest.approx(errors)


def test_every_window_has_a_table() -> None:
    """A new window needs a table of counts and scores here; those of C24 and W are elsewhere."""
    tables = {name.removeprefix("test_").upper() for name in globals() if name.startswith("test_")}
    every = {value.name for value in vars(windows).values() if isinstance(value, Window)}
    assert every - {C24.name, windows.STUCK_WINDOW.name} <= tables
