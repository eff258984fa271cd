"""When probes retry: a failure that may pass is retried, one that lasts is not."""

import pytest

from leakwatch.errors import Reason, ScrapeError
from leakwatch.leaks.probe_schedule import FIRST_RETRY, LASTING, LONGEST_RETRY, ProbeSchedule

TIMEOUT = ScrapeError("timeout", "no answer")


def test_the_pause_between_requests() -> None:
    """The first request needs no pause; the next one waits for it."""
    schedule = ProbeSchedule()
    assert schedule.allows(0.0, 900.0)
    schedule.succeeded(0.0)
    assert not schedule.allows(899.0, 900.0)
    assert schedule.allows(900.0, 900.0)


def test_the_pause_after_failures_doubles() -> None:
    """Each failure in a row doubles the pause, up to an hour; a success ends it."""
    schedule, now = ProbeSchedule(), 0.0
    pauses = []
    for _ in range(9):
        schedule.failed(TIMEOUT, now)
        pauses.append(schedule.retry_at - now)
        assert not schedule.allows(schedule.retry_at - 1.0, 0.0)
        now = schedule.retry_at
    assert pauses == [FIRST_RETRY * 2**failures for failures in range(6)] + [LONGEST_RETRY] * 3
    schedule.succeeded(now)
    assert schedule.allows(now, 0.0)
    schedule.failed(TIMEOUT, now)
    assert schedule.retry_at == now + FIRST_RETRY


@pytest.mark.parametrize("reason", sorted(LASTING))
def test_a_lasting_failure_is_not_retried(reason: Reason) -> None:
    """The same process would fail again, so only a restart allows the next request."""
    schedule = ProbeSchedule()
    schedule.failed(ScrapeError(reason, "refused"), 0.0)
    assert not schedule.allows(1e9, 0.0)
    schedule.restart()
    assert schedule.allows(1e9, 0.0)
    assert (schedule.failures, schedule.error) == (0, "")


def test_only_a_new_error_is_reported() -> None:
    """The result of `failed` is whether the error differs from the previous one."""
    schedule = ProbeSchedule()
    assert schedule.failed(TIMEOUT, 0.0)
    assert not schedule.failed(TIMEOUT, 60.0)
    assert schedule.failed(ScrapeError("connection", "refused"), 180.0)
