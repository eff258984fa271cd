"""Annotations of alerts: texts, and their size limits."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from leakwatch.causes.catalogue import shipped
from leakwatch.model import Frame, Growth, Verdict
from leakwatch.notify import annotations as text
from leakwatch.notify.links import AlertLinks
from tests.support.leaking import Play, leak

LINKS = AlertLinks("http://x/")


def size(annotations: Mapping[str, str]) -> int:
    """Return the bytes of all annotations together."""
    return sum(len(part.encode()) for part in annotations.values())


def test_the_annotations_of_a_leak() -> None:
    """They have the whole stack, what to do, the reason, the date, the owner, the targets and links.

    The summary has a short function name, a separator of thousands and units. No number looks like a probability.
    """
    (alert,) = Play().at(0, [leak(goroutines=2932)])
    annotations = alert.annotations
    assert annotations["summary"] == ("shop: goroutine leak in pipeline.Filter (chan send), 2,932 now, +152/h")
    assert annotations["stack"] == (
        "example.com/shop/pipeline.Filter\n\t/src/pipeline.go:42\nmain.main\n\t/src/main.go:7"
    )
    assert annotations["targets"] == "10.0.0.1:6060\n10.0.0.2:6060"
    for part in (
        "No known cause fits. Find out why pipeline.Filter does not return. Usual causes: a channel without",
        "2,932 goroutines are in example.com/shop/pipeline.Filter (chan send).",
        "This stack grew from 5 to 340 in 2h without departures; +152/h (140 to 163).",
        "Since: 2023-11-14 20:13:20 UTC.",
        "Owner: team-shop.",
    ):
        assert part in annotations["description"]
    assert "onfidence" not in "".join(annotations.values())
    assert annotations["description"].endswith(f" Page: {alert.generator_url}")
    assert annotations["page_url"] == alert.generator_url
    assert alert.generator_url in annotations["next_step"]
    assert annotations["runbook_url"] == "https://leakwatch.example.com/docs/fixing#chan-send"
    assert "dashboard_url" not in annotations


def test_the_cause_comes_first() -> None:
    """The description begins with the likely cause, and the fix follows."""
    cause = next(cause for cause in shipped() if cause.fixed_in)
    description = text.leaking(replace(leak(), cause=cause), LINKS, float("nan"))["description"]
    assert description.startswith(f"Looks like: {cause.title}. Fix: {cause.fix} 340 goroutines are in")


@pytest.mark.parametrize(
    ("verdict", "rate", "end"),
    [
        (Verdict.LEAKING, 0.0417 / 3600, "340 now, +0.0417/h"),
        (Verdict.LEAKING, 0.0, "340 now"),
        (Verdict.PROVEN, 36_000 / 3600, "340 now, +36,000/h"),
        (Verdict.SUSPECTED, 60 / 3600, "340 now, +60/h"),
        (Verdict.PLATEAU, 60 / 3600, "340 now, not growing"),
    ],
)
def test_the_growth_in_the_summary(verdict: Verdict, rate: float, end: str) -> None:
    """A leak that is suspected again still grows; only a plateau does not."""
    summary = text.leaking(replace(leak(verdict), growth=Growth(rate, rate, rate)), LINKS, float("nan"))["summary"]
    assert summary == f"shop: goroutine leak in pipeline.Filter (chan send), {end}"


def test_the_summary_of_a_suspicion() -> None:
    """It states that the leak is possible; the description states what is uncertain before the cause."""
    annotations = text.suspected(leak(Verdict.SUSPECTED), LINKS, float("nan"))
    summary = "shop: possible goroutine leak in pipeline.Filter (chan send), 340 now, +152/h"
    assert annotations["summary"] == summary
    assert annotations["description"].startswith("Not certain yet: 340 goroutines are in example.com/shop/")


def hostile(make: Callable[[int], Frame], number: int) -> Mapping[str, str]:
    """Return the annotations of a leak with `number` frames and very long names."""
    frames = tuple(make(i) for i in range(number))
    long = "süß" * 100_000
    many = leak(frames=frames, service=long, owner=long, targets=tuple(f"{long}{i}" for i in range(500)))
    (alert,) = Play().at(0, [many])
    return alert.annotations


@pytest.mark.parametrize("number", [1, 2, 50, 100_000])
def test_annotations_are_bounded(number: int) -> None:
    """They have at most 16 kB; a cut is marked; leaf and origin are never cut."""
    length = 1_000_000 // number
    annotations = hostile(lambda i: Frame(f"main.f{i}" + "[…]" * (length + 100), "/ü" * (length + 100), i), number)
    assert size(annotations) <= 16_000
    assert annotations["stack"].startswith("main.f0[…]")
    assert f"main.f{number - 1}[…]" in annotations["stack"]
    if number > 50:
        shown_frames = annotations["stack"].count("main.f")
        assert f"… {number - shown_frames:,} frames more …" in annotations["stack"]
    assert annotations["targets"].endswith("…")


def test_an_ordinary_deep_stack_is_whole() -> None:
    """A hundred frames of usual length are not cut."""
    frames = tuple(
        Frame(f"example.com/shop/server.(*Conn).step{i}", f"/src/shop/server/conn{i}.go", i) for i in range(100)
    )
    assert text.stack(frames, 12_000).count("\n") == 199


def test_leaks_in_step_are_counted() -> None:
    """The description names some of the leaks that grow in step, and has the number of the others."""
    one = leak()
    many = text.leaking(replace(one, in_step=(one.stack,) * 12), LINKS, float("nan"))
    assert " and 7 more." in many["description"]
    few = text.leaking(replace(one, in_step=(one.stack,) * 2), LINKS, float("nan"))
    assert "more." not in few["description"]


def test_a_leak_of_unknown_age_has_no_date() -> None:
    """The description has no "Since" if the first time is unknown."""
    assert "Since" not in text.leaking(leak(), LINKS, float("nan"))["description"]
