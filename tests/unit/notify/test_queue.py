"""The alert queue of one Alertmanager: pauses, outages, replaced alerts."""

from leakwatch.model import Verdict
from leakwatch.notify.queue import AlertQueue
from tests.support.leaking import START, Play, leak


def test_pauses_double_until_a_success() -> None:
    """The pause is a second after the first failure, 30 seconds at most, and zero after a success."""
    (alert,) = Play().at(0, [leak()])
    queue, pauses = AlertQueue(), []
    now = START
    for _ in range(8):
        queue.put([alert], now)
        assert queue.batch(now) == [alert]
        queue.mark_failed([alert], now)
        assert queue.batch(now) == []
        pauses.append(queue.pause(now))
        now += pauses[-1] or 0
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    queue.mark_delivered([alert])
    assert queue.pause(now) is None
    queue.put([alert], now)
    queue.mark_failed([alert], now)
    assert queue.pause(now) == 1


def test_a_long_outage_does_not_grow_the_queue() -> None:
    """After a week of leaks that open and recover, only the alerts of the last 15 minutes are queued."""
    play, queue = Play(), AlertQueue()
    longest = 0
    for minute in range(7 * 24 * 60):
        time = START + 60 * minute
        queue.put(play.at(60 * minute, [leak(function=f"main.f{minute // 10}")]), time)
        queue.mark_failed([], time)
        longest = max(longest, len(queue))
    assert longest <= 5


def test_an_alert_that_changes_while_it_is_sent_stays_queued() -> None:
    """The newer form of an alert is delivered too."""
    play, queue = Play(), AlertQueue()
    (first,) = play.at(0, [leak()])
    queue.put([first], START)
    batch = queue.batch(START)
    (second,) = play.at(1, [leak(Verdict.PROVEN)])
    queue.put([second], START + 1)
    queue.mark_delivered(batch)
    assert queue.batch(START + 1) == [second]
