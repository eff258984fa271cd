"""Labels of suspected stacks, counted while a body is parsed."""

import re

import pytest

from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Frame, Stack, Trace
from leakwatch.pipeline import Pipeline
from leakwatch.profile.fingerprint import site_of
from leakwatch.profile.label_counts import KEYS, LONGEST, MOST_VALUES, LabelTally, label_tally
from leakwatch.profile.redact import Redaction
from leakwatch.profile.stacks import Identifier

READER = Frame("example.org/bus.(*Client).loop", "/go/pkg/mod/example.org/bus@v1.0.0/bus.go", 7)
OTHER = Frame("example.org/bus.(*Client).ping", "/go/pkg/mod/example.org/bus@v1.0.0/bus.go", 9)
IDENTIFIER = Identifier()
STACK = IDENTIFIER.stack(Trace((READER,)))
ALL_KEYS = frozenset(KEYS)
BODY = b"""goroutine profile: total 9
4 @ 0x11
# labels: {"span_name":"GET /stock", "tenant":"alice", "trace endpoint":"/stock"}
#\t0x10\texample.org/bus.(*Client).loop+0x1\t/go/pkg/mod/example.org/bus@v1.0.0/bus.go:7

2 @ 0x11
# labels: {"trace endpoint":"/price"}
#\t0x10\texample.org/bus.(*Client).loop+0x1\t/go/pkg/mod/example.org/bus@v1.0.0/bus.go:7

1 @ 0x11
#\t0x10\texample.org/bus.(*Client).loop+0x1\t/go/pkg/mod/example.org/bus@v1.0.0/bus.go:7

2 @ 0x21
# labels: {"trace endpoint":"/other"}
#\t0x20\texample.org/bus.(*Client).ping+0x1\t/go/pkg/mod/example.org/bus@v1.0.0/bus.go:9

"""


def labelled(frame: Frame, **labels: str) -> Trace:
    """Return a trace with labels."""
    return Trace((frame,), labels=tuple(labels.items()))


def test_labels_of_a_body() -> None:
    """The labels of all groups of a suspected stack are counted, those of other stacks and other keys are not."""
    body = Pipeline(DetectionSettings()).body()
    body.labels = label_tally({STACK.fingerprint: STACK}, Redaction(labels=None))
    assert body.labels is not None
    for start in range(0, len(BODY), 50):
        list(body.feed(BODY[start : start + 50]))
    assert body.close().samples[STACK.fingerprint].goroutines == 7
    assert body.labels.counts == {
        STACK.fingerprint: {
            ("span_name", "GET /stock"): 4,
            ("trace endpoint", "/stock"): 4,
            ("trace endpoint", "/price"): 2,
        }
    }


def test_a_site_has_the_labels_of_its_stacks() -> None:
    """A suspected site counts the labels of all stacks that blame its function."""
    key = site_of(READER.function)
    site = Stack(fingerprint=key, frames=(READER,), blamed=READER, origin="", wait="", site=True)
    tally = LabelTally({key: site}, ALL_KEYS)
    deep = Trace((Frame("net.(*conn).Read"), READER), labels=(("route", "/a"),))
    tally.add([(labelled(READER, route="/a"), 3), (deep, 2), (labelled(OTHER, route="/a"), 9)], IDENTIFIER)
    assert tally.counts == {key: {("route", "/a"): 5}}


@pytest.mark.parametrize(
    ("pattern", "counted"),
    [(".*", None), (None, {"route", "queue"}), ("rou.*", {"queue"}), ("tenant", {"route", "queue"})],
)
def test_redacted_labels_are_not_counted(pattern: str | None, counted: set[str] | None) -> None:
    """The configured redaction decides. By default it covers all labels, and nothing is counted."""
    tally = label_tally({STACK.fingerprint: STACK}, Redaction(labels=re.compile(pattern) if pattern else None))
    assert (tally is None) == (counted is None)
    if tally is not None:
        tally.add([(labelled(READER, route="/a", queue="q", tenant="alice"), 3)], IDENTIFIER)
        assert {key for key, _ in tally.counts[STACK.fingerprint]} == counted


def test_without_suspects_nothing_is_counted() -> None:
    """A service without such leaks pays nothing."""
    assert label_tally({}, Redaction(labels=None)) is None


def test_values_are_bounded() -> None:
    """A label with a new value in each goroutine does not fill the memory, and neither does a long value."""
    tally = LabelTally({STACK.fingerprint: STACK}, ALL_KEYS)
    groups = [(labelled(READER, route=f"/{number}"), 1) for number in range(2 * MOST_VALUES)]
    tally.add([*groups, (labelled(READER, route="/0"), 5)], IDENTIFIER)
    counts = tally.counts[Fingerprint(STACK.fingerprint)]
    assert len(counts) == MOST_VALUES
    assert counts["route", "/0"] == 6
    tally = LabelTally({STACK.fingerprint: STACK}, ALL_KEYS)
    tally.add([(labelled(READER, route="x" * 60_000), 1)], IDENTIFIER)
    assert list(tally.counts[STACK.fingerprint]) == [("route", "x" * LONGEST)]
