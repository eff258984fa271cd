"""Files of judge tests: their values, and the messages for invalid ones."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from leakwatch.cli.judge_tests.file import read_tests
from leakwatch.cli.judge_tests.notation import Range
from leakwatch.errors import ConfigError
from leakwatch.model import Frame

VALID = """\
tests:
  - name: A leak
    for: 6h
    series:
      - stack: main.leak
        counts: 2+60/h
    expect:
      - {at: 4h, verdict: leaking}
"""


def messages(path: Path, text: str) -> str:
    """Return the messages for a file, without its path."""
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_tests(path)
    return str(raised.value).replace(str(path), "t.yml")


def test_defaults(tmp_path: Path) -> None:
    """A test needs a name, a duration, one series and one expectation."""
    path = tmp_path / "leak.yml"
    path.write_text(VALID)
    file = read_tests(path)
    (placed,) = file.tests
    test = placed.test
    assert (file.path, file.config, placed.places) == (path, None, [f"{path}:8"])
    assert (test.for_, test.interval, test.service, test.replicas) == (21600, 15, "service", 1)
    assert test.start == datetime(2000, 1, 1, tzinfo=UTC)
    (series,) = test.series
    assert (series.stack, series.wait, series.lifetime, series.stuck) == ((Frame("main.leak"),), "", None, None)


def test_every_key(tmp_path: Path) -> None:
    """All keys have their values; a configuration file is relative to the file of tests."""
    (tmp_path / "leakwatch.yml").write_text("ignore: []\n")
    path = tmp_path / "leak.yml"
    path.write_text("""\
config: leakwatch.yml
tests:
  - name: Everything
    for: 1d
    interval: 30s
    service: shop
    labels: {namespace: dev, zone: 7}
    replicas: 3
    start: 2027-01-31
    series:
      - stack:
          - sync.(*Mutex).Lock
          - "main.(*Cache[go.shape.struct { x int }]).Get /src/cache.go:42"
        wait: sync.Mutex.Lock
        counts: 2
        lifetime: 1m
        stuck: 80%
        replicas: [1, 2]
    events:
      - {at: 1h, restart: all}
      - {at: 2h, stop: [1, 3]}
      - {at: 3h, miss: [2], for: 10m, every: 7h}
    expect:
      - at: 0s
        function: main.*
        verdict: normal
        rate: 11..13
        goroutines: 5
        cause: own
        owner: team
        replicas: [3]
      - never: suspected
        before: 20h
""")
    file = read_tests(path)
    assert file.config == tmp_path / "leakwatch.yml"
    test = file.tests[0].test
    assert test.labels == {"namespace": "dev", "zone": "7"}
    assert test.start == datetime(2027, 1, 31, tzinfo=UTC)
    assert test.series[0].stack[0] == Frame("sync.(*Mutex).Lock")
    frame = test.series[0].stack[1]
    assert (frame.function, frame.line) == ("main.(*Cache[go.shape.struct { x int }]).Get", 42)
    assert frame.file == "/src/cache.go"
    assert [(event.action, event.replicas, event.for_) for event in test.events] == [
        ("restart", (), None),
        ("stop", (1, 3), None),
        ("miss", (2,), 600),
    ]
    assert [event.times(86400) for event in test.events] == [[3600], [7200], [10800, 36000, 61200, 86400]]
    assert (test.expect[0].rate, test.expect[0].goroutines) == (Range(11, 13), Range(5, 5))
    assert (test.expect[1].never, test.expect[1].before) == ("suspected", 72000)


INVALID = {
    "counts: 2+60/w": (
        "counts: 2+60/h",
        (
            "6: tests[0].series[0].counts: '2+60/w' is not a count over time;"
            " write for example 10+1x40, 10+60/h x 3h, +60/h or 100 x 3h"
        ),
    ),
    "for: 6": ("for: 6h", "3: tests[0].for: 6 has no unit; write 6s"),
    "for: 10y": ("for: 6h", "3: tests[0].for: the test has 21,024,000 scrapes, of at most 1,000,000"),
    "at: 4, verdict": ("at: 4h, verdict", "8: tests[0].expect[0].at: 4 has no unit; write 4s"),
    "at: 7h, verdict": ("at: 4h, verdict", "8: tests[0].expect[0].at: 7h is after the end of the test, 6h"),
    "{at: 4h}": ("{at: 4h, verdict: leaking}", "8: tests[0].expect[0]: needs a verdict, because it has at"),
    "{verdict: leaking}": ("{at: 4h, verdict: leaking}", "8: tests[0].expect[0]: needs either at or never"),
    "{at: 4h, never: leaking}": (
        "{at: 4h, verdict: leaking}",
        "8: tests[0].expect[0]: needs either at or never",
    ),
    "{never: normal}": (
        "{at: 4h, verdict: leaking}",
        "8: tests[0].expect[0].never: must be 'suspected' or 'leaking', found 'normal'",
    ),
    "{never: leaking, rate: 3}": (
        "{at: 4h, verdict: leaking}",
        "8: tests[0].expect[0]: has never and rate, but rate belongs to at",
    ),
    "{never: leaking, before: 8h}": (
        "{at: 4h, verdict: leaking}",
        "8: tests[0].expect[0].before: 8h is after the end of the test, 6h",
    ),
    "before: 1h, verdict: leaking": (
        "verdict: leaking",
        "8: tests[0].expect[0]: has at and before, but before belongs to never",
    ),
    "verdict: leaked": (
        "verdict: leaking",
        (
            "8: tests[0].expect[0].verdict: must be 'normal', 'ignored', 'suspected', 'leaking', 'plateau'"
            " or 'recovered', found 'leaked'"
        ),
    ),
    "verdict: leaking, replicas: [2]": (
        "verdict: leaking",
        "8: tests[0].expect[0].replicas: replica 2 does not exist: the test has 1",
    ),
    "verdict: leaking, replicas: most": (
        "verdict: leaking",
        "8: tests[0].expect[0].replicas: must be a list, found 'most'",
    ),
    "stack: main.leak twice": (
        "stack: main.leak",
        "5: tests[0].series[0].stack[0]: 'main.leak twice' is not a call; write FUNCTION or FUNCTION FILE:LINE",
    ),
    "stack: []": ("stack: main.leak", "5: tests[0].series[0].stack: must not be empty"),
    "count: 2": (
        "counts: 2+60/h",
        (
            "5: tests[0].series[0].counts: is missing\n"
            "t.yml:6: unknown key 'tests[0].series[0].count'; did you mean 'counts'?"
        ),
    ),
    "events: [{at: 1h, restart: most}]\n    expect:": (
        "expect:",
        "7: tests[0].events[0].restart: 'most' is not a list of replicas; write all or for example [1, 3]",
    ),
    "events: [{at: 1h}]\n    expect:": (
        "expect:",
        "7: tests[0].events[0]: needs exactly one of restart, stop, start, miss",
    ),
    "events: [{at: 1h, restart: all, for: 3m}]\n    expect:": (
        "expect:",
        "7: tests[0].events[0]: has `for` without miss",
    ),
    "events: [{at: 1h, restart: all, every: 9s}]\n    expect:": (
        "expect:",
        "7: tests[0].events[0].every: 9s is shorter than the interval of scrapes, 15s",
    ),
    "events: [{at: 10h, stop: [2]}]\n    expect:": (
        "expect:",
        (
            "7: tests[0].events[0].at: 10h is after the end of the test, 6h\n"
            "t.yml:7: tests[0].events[0].stop: replica 2 does not exist: the test has 1"
        ),
    ),
    "tests: []\nx:": (
        "tests:",
        "1: tests: must not be empty\nt.yml:2: unknown key 'x'; valid keys: config, tests",
    ),
}


@pytest.mark.parametrize("text", INVALID)
def test_invalid_files(text: str, tmp_path: Path) -> None:
    """A message names the line and the key, and quotes the value."""
    valid, message = INVALID[text]
    assert VALID.count(valid) == 1
    assert messages(tmp_path / "invalid.yml", VALID.replace(valid, text)) == f"t.yml:{message}"


def test_wait_reasons(tmp_path: Path) -> None:
    """A wait reason is one of debug=2."""
    text = VALID.replace("counts:", "wait: lock\n        counts:")
    message = messages(tmp_path / "invalid.yml", text)
    assert message.startswith(
        "t.yml:6: tests[0].series[0].wait: 'lock' is not a wait reason; valid are: IO wait, "
    )
