"""Compares a run with kills to one without."""

from collections.abc import Iterator

from tests.kill.run import Key, Outcome

BLOCK = 300.0
DELAY = 4 * BLOCK  # by which a verdict may come later, because each kill loses up to a block of counts


def differences(steady: Outcome, killed: Outcome) -> list[str]:
    """Return what is different in leaks, first-seen times and alerts; [] if nothing is."""
    return [*_leaks(steady, killed), *_alerts(steady, killed)]


def _leaks(steady: Outcome, killed: Outcome) -> Iterator[str]:
    if steady.leaks.keys() != killed.leaks.keys():
        yield f"open leaks: {sorted(steady.leaks)} and {sorted(killed.leaks)}"
    for key in steady.leaks.keys() & killed.leaks.keys():
        before, after = steady.leaks[key], killed.leaks[key]
        if before["verdict"] != after["verdict"]:
            yield f"{key}: {before['verdict']} and {after['verdict']}"
        if abs(before["first_seen"] - after["first_seen"]) > BLOCK:
            yield f"{key}: first seen at {before['first_seen']} and {after['first_seen']}"


def _alerts(steady: Outcome, killed: Outcome) -> Iterator[str]:
    expected, sent = steady.alertmanager, killed.alertmanager
    for what, key in {*expected.notified, *sent.notified}:
        if key[0] != "GoroutineLeak":
            continue  # a suspicion is not a verdict, and may come and go with less data
        counts = [each.notified.count((what, key)) for each in (expected, sent)]
        if counts[0] != counts[1]:
            yield f"{key}: {what} {counts[0]} and {counts[1]} times"
    for key, starts in sent.starts.items():
        yield from _starts(key, starts, expected.starts.get(key, set()))


def _starts(key: Key, starts: set[float], expected: set[float]) -> Iterator[str]:
    if len(starts) > 1:
        yield f"{key}: has several start times: {sorted(starts)}"
    if key[0] == "GoroutineLeak" and expected and min(starts) - min(expected) > DELAY:
        yield f"{key}: starts at {min(starts)}, not {min(expected)}"
