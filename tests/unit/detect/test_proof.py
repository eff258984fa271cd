"""Proofs: which verdicts the leaked goroutines of Go's runtime change."""

import pytest

from leakwatch.detect.case import Case
from leakwatch.detect.detector import Detector
from leakwatch.detect.growth import score_blocks, score_hours
from leakwatch.detect.history import History
from leakwatch.detect.proof import confirm
from leakwatch.detect.windows import P2
from leakwatch.model import Verdict
from tests.support.blocks import BLOCK, line, record
from tests.support.simulated import START, stack

KEY = stack("a", "main.goa").fingerprint


@pytest.mark.parametrize(
    ("verdict", "proven", "more", "expected"),
    [
        pytest.param(Verdict.SUSPECTED, 5, False, Verdict.LEAKING, id="suspected and proven"),
        pytest.param(Verdict.SUSPECTED, 0, False, Verdict.SUSPECTED, id="suspected, not proven"),
        pytest.param(Verdict.PLATEAU, 5, False, Verdict.PLATEAU, id="a plateau"),
        pytest.param(Verdict.NORMAL, 5, False, Verdict.NORMAL, id="proven, not suspected"),
        pytest.param(Verdict.NORMAL, 5, True, Verdict.LEAKING, id="more than before"),
        pytest.param(Verdict.NORMAL, 0, True, Verdict.SUSPECTED, id="more than before, then none"),
    ],
)
def test_verdicts(verdict: Verdict, proven: int, *, more: bool, expected: Verdict) -> None:
    """A suspicion is confirmed by a proof; without one, only more proven goroutines than before are a leak."""
    history, detector = History(BLOCK), Detector(score_blocks, score_hours)
    record(history, {"a": line(3, 0.25, 24)})
    if verdict is not Verdict.NORMAL:
        detector.cases[KEY] = Case(window=P2, verdict=verdict)
    confirm(detector, history, {KEY: proven}, [KEY] if more else [])
    case = detector.cases.get(KEY)
    assert (case.verdict if case else Verdict.NORMAL) == expected


def test_a_case_of_a_proof_has_its_growth() -> None:
    """A stack that only a proof shows has onset, rate and floor of its counts, and the window "proof"."""
    history, detector = History(BLOCK), Detector(score_blocks, score_hours)
    record(history, {"a": line(3, 0.5, 24)})
    confirm(detector, history, {KEY: 9}, [KEY])
    judgement = detector.judgements(history)[KEY].judgement
    assert (judgement.verdict, judgement.window) == (Verdict.LEAKING, "proof")
    assert judgement.growth.rate == pytest.approx(0.5 / BLOCK, rel=0.1)
    assert judgement.grew == judgement.growth
    assert judgement.first_seen == pytest.approx(START + BLOCK, abs=2 * BLOCK)
    assert judgement.gained == pytest.approx(11, abs=1)


def test_an_unknown_stack_is_ignored() -> None:
    """A stack without a series cannot be judged."""
    history, detector = History(BLOCK), Detector(score_blocks, score_hours)
    confirm(detector, history, {KEY: 9}, [KEY])
    assert detector.cases == {}
