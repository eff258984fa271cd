"""The detector: which verdicts follow from which scores and counts."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from leakwatch.detect.case import GRACE_BLOCKS, Case, grace_period
from leakwatch.detect.detector import Detector
from leakwatch.detect.growth import Scores
from leakwatch.detect.history import History
from leakwatch.detect.windows import P0, P2, P24, Window
from leakwatch.model import NO_GROWTH, Growth, Judgement, Verdict
from tests.support.blocks import BLOCK, HOUR, Counts, curve, line, stairs
from tests.support.simulated import START, samples, stack

KEY = stack("a", "main.goa").fingerprint


class Script:
    """Scores of row 0 in a window, one after another; then none."""

    def __init__(self, scores: Sequence[float], window: Window = P2) -> None:
        self._scores: Iterator[float] = iter(scores)
        self._window = window

    def __call__(self, _: History) -> Scores:
        """Return the next score."""
        score = next(self._scores, 0.0)
        rows = np.zeros(int(score > 0), np.intp)
        return Scores(rows, np.full(len(rows), score, np.float32), (self._window,) * len(rows))


class Judged:
    """A detector with scripted scores, that judges counts block by block."""

    def __init__(self, blocks: Sequence[float] = (), hours: Sequence[float] = (), window: Window = P2) -> None:
        self.history = History(BLOCK)
        self.detector: Detector[History] = Detector(Script(blocks, window), Script(hours, P24))
        self._begin = START

    def play(self, counts: Counts) -> str:
        """Record the counts; return the verdict after each block, as its first letter."""
        verdicts = ""
        for i, count in enumerate(counts):
            if self.history.record(self._begin + i * BLOCK / 5, samples({"a": count})):
                self.detector.judge(self.history)
                verdicts += (self.judgement.verdict.word if self.judgement else "normal")[0]
        self._begin += len(counts) * BLOCK / 5
        return verdicts

    @property
    def judgement(self) -> Judgement | None:
        """The judgement of the stack, None if it is normal."""
        judged = self.detector.judgements(self.history).get(KEY)
        return judged.judgement if judged else None


@pytest.mark.parametrize(
    ("scores", "verdicts"),
    [
        pytest.param([0.49, 0.49], "nn", id="too low"),
        pytest.param([0.5, 0.4, 0.3, 0.29], "sssn", id="a suspicion that is cleared below 0.3"),
        pytest.param([1, 1, 0.9, 1, 1], "sssss", id="not three in a row"),
        pytest.param([1, 1, 1], "ssl", id="three in a row"),
        pytest.param([0.6, 1, 1, 1], "sssl", id="a suspicion that is confirmed"),
        pytest.param([1, 1, 1, 0, 0], "sslll", id="a leak stays without a score"),
        pytest.param([9, 9], "ss", id="high scores confirm no sooner"),
    ],
)
def test_suspicion_and_confirmation(scores: list[float], verdicts: str) -> None:
    """0.5 raises a suspicion, below 0.3 it is cleared, 1.0 in three blocks running confirms it."""
    assert Judged(scores).play(line(10, 5, len(scores))) == verdicts


@pytest.mark.parametrize(
    ("hours", "verdicts"),
    [
        pytest.param([1.0], "n" * 11 + "l", id="confirmed at once"),
        pytest.param([0.6, 1.0], "n" * 11 + "s" * 12 + "l", id="suspected for an hour"),
        pytest.param([0.6, 0.2], "n" * 11 + "s" * 12 + "n", id="cleared after an hour"),
    ],
)
def test_hourly_windows(hours: list[float], verdicts: str) -> None:
    """A score of 1 in an hourly window confirms at once; an hourly score holds for an hour."""
    assert Judged(hours=hours).play(line(10, 5, len(verdicts))) == verdicts


def test_the_higher_score_counts() -> None:
    """Of block and hourly scores, the judgement has the higher one and its window."""
    judged = Judged([0.6] * 12, [0.7])
    judged.play(line(10, 5, 11))
    assert judged.judgement is not None
    assert judged.judgement.window == "P2"
    assert judged.judgement.score == pytest.approx(0.6)
    judged.play(line(65, 5, 1))
    assert judged.judgement is not None
    assert judged.judgement.window == "P24"
    assert judged.judgement.score == pytest.approx(0.7)


LEAK = line(10, 5, 10)[:-1]


@pytest.mark.parametrize(
    ("after", "verdicts"),
    [
        pytest.param(line(60, 0, 47), "l" * 36 + "p" * 11, id="quiet for 36 blocks is a plateau"),
        pytest.param(line(60, 1, 47), "l" * 47, id="growth goes up"),
        pytest.param(curve([60] * 2 + [30] * 3), "llpp", id="half is lost"),
        pytest.param(curve([60] * 2 + [50] * 3), "llll", id="less than half is lost"),
        pytest.param(curve([60] * 2 + [10] * 3), "lprr", id="half, then all is lost"),
        pytest.param([*line(10, 0, 287)], "r" * 287, id="recovered for a day"),
        pytest.param([*line(10, 0, 290)], "r" * 288 + "nn", id="then normal"),
    ],
)
def test_the_end_of_a_leak(after: Counts, verdicts: str) -> None:
    """A leak ends if its floor no longer rises, or falls to half or to where it began."""
    judged = Judged([1, 1, 1])
    assert judged.play(LEAK) == "ssl" + "l" * 6
    assert judged.play(after) == "l" + verdicts


def test_a_plateau_that_rises_again_is_a_leak() -> None:
    """A plateau needs scores that confirm, and a floor above the one at which it stopped."""
    judged = Judged([1, 1, 1, *[0] * 60, *[1] * 20])
    judged.play(LEAK)
    assert judged.play(line(60, 0, 53))[-1] == "p"
    assert judged.play(line(60, 0, 3)) == "ppp"
    assert judged.play(line(60, 5, 4))[-1] == "l"


def test_explained_growth_is_not_suspected() -> None:
    """A score with another explanation neither raises nor confirms a suspicion, but does not end a leak."""
    history = History(BLOCK)
    detector: Detector[History] = Detector(Script([1.0] * 9), Script([]))
    asked = []

    def is_explained(key: object, window: Window) -> bool:
        asked.append((key, window))
        return len(asked) < 3

    verdicts = []
    for i, count in enumerate(line(10, 5, 9)):
        if history.record(START + i * BLOCK / 5, samples({"a": count})):
            detector.judge(history, is_explained)
            case = detector.cases.get(KEY)
            verdicts.append(case.verdict if case else Verdict.NORMAL)
    assert verdicts == [*[Verdict.NORMAL] * 2, *[Verdict.SUSPECTED] * 2, *[Verdict.LEAKING] * 5]
    assert asked == [(KEY, P2)] * 5


@pytest.mark.parametrize(
    ("rate", "blocks"),
    [
        pytest.param(0.0, 36, id="no rate"),
        pytest.param(2.0, 36, id="fast"),
        pytest.param(0.6, 100, id="sixty goroutines"),
        pytest.param(0.01, 288, id="slow"),
    ],
)
def test_the_grace_period(rate: float, blocks: int) -> None:
    """After a restart a leak has the time of sixty goroutines, between 36 and 288 blocks."""
    assert grace_period(Growth(rate / BLOCK, 0, 0), BLOCK) == pytest.approx(blocks * BLOCK)
    assert grace_period(NO_GROWTH, BLOCK) == GRACE_BLOCKS[0] * BLOCK


@pytest.mark.parametrize(
    ("after", "scores", "verdicts"),
    [
        pytest.param(line(10, 0, 40), [], "l" * 35 + "r" * 5, id="does not grow"),
        pytest.param(line(10, 4, 40), [], "l" * 40, id="grows, not yet confirmed"),
        pytest.param(line(10, 2, 40), [], "l" * 35 + "r" * 5, id="grows at less than half the rate"),
        pytest.param(line(10, 4, 80), [0] * 8 + [1] * 3, "l" * 80, id="is confirmed again"),
    ],
)
def test_after_a_restart(after: Counts, scores: list[float], verdicts: str) -> None:
    """A leak stays reported during the grace period, and longer while it grows at half its rate."""
    judged = Judged([1, 1, 1, *[0] * 6, *scores])
    judged.play(LEAK)
    judged.history.restart()
    judged.detector.restart(judged.history)
    assert judged.judgement is not None
    assert (judged.judgement.restarted, judged.judgement.verdict) == (True, Verdict.LEAKING)
    assert judged.history.past_lifetimes.leaked[0]
    assert judged.play(after) == verdicts


@pytest.mark.parametrize("verdict", [Verdict.SUSPECTED, Verdict.PLATEAU, Verdict.RECOVERED])
def test_a_restart_drops_all_but_leaks(verdict: Verdict) -> None:
    """Only a leak is continued after a restart."""
    judged = Judged()
    judged.play(LEAK)
    judged.detector.cases[KEY] = Case(window=P2, verdict=verdict)
    judged.history.restart()
    judged.detector.restart(judged.history)
    assert judged.judgement is None


def test_cases_are_taken_over() -> None:
    """A replacement takes over the cases of the stacks that it has, and keeps its own."""
    old, new = Judged([1, 1, 1]), Judged()
    old.play(LEAK)
    new.detector.take_over(old.detector, new.history)
    assert new.detector.cases == {}
    new.history.take_over(old.history)
    new.detector.take_over(old.detector, new.history)
    assert new.detector.cases == old.detector.cases


def test_longer_blocks_change_no_verdict() -> None:
    """When the blocks double, the numbers of blocks in a case are halved."""
    judged = Judged([1, 1, 1])
    judged.play(LEAK)
    case = judged.detector.cases[KEY]
    assert (case.verdict_block, case.peak_block) == (3, 9)
    before = judged.history.closed
    assert judged.history.fit(24.0)
    judged.detector.stretch(judged.history, before)
    assert (judged.history.closed, case.verdict_block, case.peak_block) == (5, 2, 5)


def test_a_judgement_has_the_numbers_of_its_counts() -> None:
    """Rate, onset, growth and departures of a judgement come from the counts."""
    judged = Judged([*[0] * 21, *[1] * 3])
    judged.play([*line(10, 0, 11)[:-1], *line(10, 5, 13)])
    judgement = judged.judgement
    assert judgement is not None
    assert judgement.growth.rate == pytest.approx(5 / BLOCK, rel=0.05)
    assert judgement.first_seen == judgement.since == pytest.approx(START + 11 * BLOCK, abs=2 * BLOCK)
    assert (judgement.before, judgement.goroutines) == (10, 75)
    assert judgement.gained == pytest.approx(60, abs=1)
    assert judgement.left == (0.0, 0.0)
    assert judgement.rose == START + 24 * BLOCK


@pytest.mark.parametrize(("blocks", "most"), [(23, 0.5), (24, 16 / 17)])
def test_confidence(blocks: int, most: float) -> None:
    """Confidence is s² / (1 + s²) of the highest score, at most one half in a young lifetime."""
    judged = Judged([4.0, *[1.0] * 23])
    judged.play(line(10, 5, blocks))
    assert judged.judgement is not None
    assert judged.judgement.confidence == pytest.approx(most)


def test_departures_need_falls() -> None:
    """Batches of arrivals have a turnover, but without a fall there are no departures."""
    judged = Judged([1] * HOUR)
    judged.play(stairs(10, 20, 1, HOUR))
    assert judged.judgement is not None
    assert judged.judgement.left == (0.0, 0.0)
    busy = Judged([1] * HOUR)
    busy.play([count + 20 * (i % 2) for i, count in enumerate(line(10, 5, HOUR))])
    assert busy.judgement is not None
    assert busy.judgement.left is not None
    assert min(busy.judgement.left) > 1


def test_the_window_that_raised_a_suspicion_stays() -> None:
    """Without a new score, a case has the window of its last score."""
    judged = Judged([1, 1, 1], window=P0)
    judged.play(line(10, 5, 6))
    assert judged.judgement is not None
    assert judged.judgement.window == "P0"
