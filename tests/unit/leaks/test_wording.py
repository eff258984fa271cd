"""Words and number formats of leaks."""

import math
from collections import Counter
from dataclasses import replace

import pytest

from leakwatch.leaks.model import Caller, Estimate, Findings, Limit, MemoryCost
from leakwatch.leaks.wording import (
    AVERAGE_STACK,
    HEAP,
    LEAST_STACK,
    caller_sentence,
    confidence_word,
    creator_sentence,
    file_and_line,
    format_figure,
    format_growth,
    format_time,
    headline,
    memory_sentence,
    missing_findings,
    per_hour,
    short_function,
    waiting_sentence,
)
from leakwatch.model import Frame, Growth, Waiting
from tests.support.leaking import leak

KIB, MIB = 1024, 1 << 20
GROWTH = Growth(0.1, 0.08, 0.125)
SMALLEST = Estimate(2 * KIB, 2 * KIB, 2 * KIB)
STACK = Estimate(4 * KIB, 4 * KIB, 4 * KIB)
RESIDENT = Estimate(80 * KIB, 64 * KIB, 100 * KIB)


@pytest.mark.parametrize(
    ("function", "short"),
    [
        ("example.com/shop/pipeline.(*Filter).Run", "pipeline.(*Filter).Run"),
        ("main.main", "main.main"),
        ("a/b.F[go.shape/x.T]", "b.F[go.shape/x.T]"),
        ("ends/with/", "ends/with/"),
        ("", ""),
    ],
)
def test_short_function(function: str, short: str) -> None:
    """The path of the package is left out; type arguments stay; a name is never empty."""
    assert short_function(function) == short


@pytest.mark.parametrize(
    ("value", "text"), [(0.4213, "0.421"), (152.3, "152"), (18_012.0, "18,000"), (-0.0, "0"), (-1.5, "-1.5")]
)
def test_format_figure(value: float, text: str) -> None:
    """Numbers have three significant digits and thousands separators, and never a negative zero."""
    assert format_figure(value) == text


def test_format_growth() -> None:
    """Growth is per hour, or per day below one goroutine per hour."""
    assert format_growth(Growth(152 / 3600, 140 / 3600, 163 / 3600)) == "+152/h (140 to 163)"
    assert format_growth(Growth(0.5 / 3600, 0.0, 1 / 3600)) == "+12/d (0 to 24)"
    assert format_growth(Growth(-2 / 3600, -3 / 3600, 0.0)) == "-2/h (-3 to 0)"


@pytest.mark.parametrize(
    ("confidence", "word"),
    [(0.0, "low"), (0.49, "low"), (0.5, "medium"), (0.79, "medium"), (0.8, "high"), (1, "high")],
)
def test_confidence_word(confidence: float, word: str) -> None:
    """A confidence is a word in texts, because a number would look like a probability."""
    assert confidence_word(confidence) == word


def test_per_hour() -> None:
    """Rates per hour are rounded, and never a negative zero."""
    assert (per_hour(1 / 7), per_hour(1 / 7, 1)) == (514.286, 514.3)
    assert math.copysign(1, per_hour(-1e-9)) == 1


def test_times_and_positions() -> None:
    """Times are in UTC; a frame without a file has no position."""
    assert format_time(0) == "1970-01-01 00:00:00 UTC"
    assert file_and_line(Frame("main.f", "/src/f.go", 7)) == "/src/f.go:7"
    assert file_and_line(Frame("main.f")) == ""


def test_headline() -> None:
    """The headline has verdict, function, reason and wait reason."""
    assert headline(leak()) == (
        "leaking: example.com/shop/pipeline.Filter: "
        "grew from 5 to 340 in 2h without departures; +152/h (140 to 163), blocked in chan send"
    )
    assert headline(leak(wait="")).endswith("(140 to 163)")


def test_findings() -> None:
    """A full dump gives waiting time and creator; without a dump, the counts give a lower bound of the age."""
    creators = Counter({Frame("main.start", "/src/main.go", 3): 5, Frame("main.other"): 1})
    findings = Findings(
        waiting=Waiting({10: 4, 130: 2}, {}, creators), unavailable={"proof": "Go 1.26", "dump": "off"}
    )
    assert waiting_sentence(findings) == "The oldest has waited for 2h10m, half of them 10m or longer."
    assert creator_sentence(findings) == "Created by main.start at /src/main.go:3."
    assert missing_findings(findings) == "dump: off; proof: Go 1.26"
    assert (
        waiting_sentence(Findings(older={600.0: 900, 3600.0: 1200})) == "At least 1,200 of them are older than 1h."
    )
    assert (waiting_sentence(Findings()), creator_sentence(Findings()), missing_findings(Findings())) == (
        "",
        "",
        "",
    )


def cost(
    stack: Estimate, resident: Estimate | None, source: str, *, goroutines: int = 340, limit: Limit | None = None
) -> MemoryCost:
    """Return the memory cost of a leak that grows by 0.1 goroutines per second."""
    return MemoryCost(
        stack=stack, resident=resident, source=source, goroutines=goroutines, growth=GROWTH, limit=limit
    )


def limit(soonest: float | None, latest: float) -> Limit:
    """Return the limit of target a:1."""
    return Limit(target="a:1", size=512 * MIB, soonest=soonest, latest=latest)


@pytest.mark.parametrize(
    ("memory_cost", "sentence"),
    [
        (
            cost(STACK, RESIDENT, HEAP, limit=limit(7200.0, 90_000.0)),
            (
                "They hold 26.6 MiB (80 KiB each: by the growth of resident memory), 28.1 MiB more per hour"
                " (18 MiB to 43.9 MiB). At this rate, a:1 reaches its memory limit of 512 MiB in 2h to 1d1h."
            ),
        ),
        (
            cost(SMALLEST, None, f"{LEAST_STACK}: HTTP 404 for /metrics"),
            "They hold 680 KiB (at least 2 KiB each), 720 KiB more per hour (576 KiB to 900 KiB).",
        ),
        (
            replace(cost(SMALLEST, None, LEAST_STACK), growth=Growth(0, 0, 0)),
            "They hold 680 KiB (at least 2 KiB each).",
        ),
        (
            cost(STACK, None, AVERAGE_STACK, goroutines=10, limit=limit(None, 1e9)),
            (
                "They hold 40 KiB (4 KiB each: the average stack of the process), 1.41 MiB more per hour"
                " (1.12 MiB to 1.76 MiB). At this rate, a:1 reaches its memory limit of 512 MiB in"
                " more than a year at the latest."
            ),
        ),
    ],
)
def test_memory_sentence(memory_cost: MemoryCost, sentence: str) -> None:
    """The sentence has bytes held, their source, their growth and the time until the limit, as far as known."""
    assert memory_sentence(memory_cost) == sentence


DIAL = Frame("example.com/shop/supplier.(*Client).Stock", "C:/src/shop/supplier.go", 41)


STOCK = "supplier.(*Client).Stock (supplier.go:41)"


@pytest.mark.parametrize(
    ("caller", "sentence"),
    [
        (
            Caller(way="ancestors", certainty="certain", function=DIAL, share=0.984),
            f"Opened in {STOCK}: 98 % of the goroutines in the full dump descend from this call.",
        ),
        (
            Caller(way="creator", certainty="certain", function=Frame("main.start"), share=1.0),
            "Opened in main.start: 100 % of the goroutines in the full dump were started there.",
        ),
        (
            Caller(way="creator", certainty="possible", function=Frame("main.loop", "main.go", 7), share=0.4),
            "Perhaps opened in main.loop (main.go:7): the goroutines that started 40 % of them run there now.",
        ),
        (
            Caller(way="heap", certainty="likely", function=DIAL, share=0.83, part="a/b"),
            f"Probably opened in {STOCK}: 83 % of the heap that a/b holds for own code was allocated there.",
        ),
        (
            Caller(way="seen", certainty="possible", function=Frame("main.poll"), part="a/b"),
            "Perhaps opened in main.poll: other goroutines call a/b there.",
        ),
        (
            Caller(way="seen", certainty="possible", function=Frame("f"), part="a", is_weak=True),
            "Perhaps opened in f: other goroutines call a there (only a hint: much code calls a).",
        ),
        (
            Caller(way="labels", certainty="likely", share=0.96, label="trace endpoint", value="/stock"),
            "Probably called for endpoint /stock (label trace endpoint, 96 %).",
        ),
        (
            Caller(way="labels", certainty="possible", share=0.5, label="queue", value="a\x1b[31mb\n"),
            "Perhaps called for queue a\\x1b[31mb\\n (label queue, 50 %).",
        ),
    ],
)
def test_caller_sentence(caller: Caller, sentence: str) -> None:
    """The sentence has the function or value, the certainty and the evidence; text of the service is escaped."""
    assert caller_sentence(replace(leak(), callers=(caller,))) == sentence


def test_the_best_caller_and_the_best_label_are_shown() -> None:
    """A function and a label complete each other; without callers the sentence is empty."""
    callers = (
        Caller(way="heap", certainty="likely", function=DIAL, share=0.83, part="example.org/bus"),
        Caller(way="labels", certainty="likely", share=0.96, label="route", value="/stock"),
        Caller(way="seen", certainty="possible", function=Frame("main.poll"), part="example.org/bus"),
    )
    sentence = caller_sentence(replace(leak(), callers=callers))
    assert sentence.startswith("Probably opened in supplier.(*Client).Stock (supplier.go:41): 83 %")
    assert sentence.endswith("there. Probably called for route /stock (label route, 96 %).")
    assert "main.poll" not in sentence
    assert caller_sentence(leak()) == ""
