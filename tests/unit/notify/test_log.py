"""The log lines of leak events."""

import pytest
from structlog.testing import capture_logs

from leakwatch.leaks.model import Event
from leakwatch.model import Verdict
from leakwatch.notify.log import log_event
from tests.support.leaking import START, leak


@pytest.mark.parametrize(
    ("before", "verdict", "message", "level"),
    [
        (Verdict.NORMAL, Verdict.SUSPECTED, "leak opened", "info"),
        (Verdict.RECOVERED, Verdict.SUSPECTED, "leak suspected again", "info"),
        (Verdict.SUSPECTED, Verdict.LEAKING, "leak confirmed", "warning"),
        (Verdict.LEAKING, Verdict.PROVEN, "leak proven", "warning"),
        (Verdict.PROVEN, Verdict.PLATEAU, "leak stopped growing", "info"),
        (Verdict.PLATEAU, Verdict.RECOVERED, "leak recovered", "info"),
        (Verdict.RECOVERED, Verdict.NORMAL, "leak closed", "info"),
    ],
)
def test_each_change_of_a_verdict_has_a_message(
    before: Verdict, verdict: Verdict, message: str, level: str
) -> None:
    """A line has both verdicts, the function with file and line, the goroutines and the growth per hour."""
    with capture_logs() as lines:
        log_event(Event(START, before, leak(verdict)))
    (line,) = lines
    assert (line["event"], line["log_level"]) == (message, level)
    assert (line["before"], line["verdict"], line["severity"]) == (before.word, verdict.word, "ticket")
    assert (line["service"], line["function"]) == ("shop", "example.com/shop/pipeline.Filter")
    assert (line["at"], line["wait"], line["goroutines"]) == ("/src/pipeline.go:42", "chan send", 340)
    assert (line["per_hour_low"], line["per_hour"], line["per_hour_high"]) == (140.0, 152.0, 163.0)
