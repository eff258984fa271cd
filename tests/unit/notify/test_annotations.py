"""Annotations of alerts: texts, and their size limits."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from leakwatch.model import Frame
from leakwatch.notify import annotations as text
from tests.support.leaking import Play, leak


def size(annotations: Mapping[str, str]) -> int:
    """Return the bytes of all annotations together."""
    return sum(len(part.encode()) for part in annotations.values())


def test_the_annotations_of_a_leak() -> None:
    """They have the whole stack, the reason, the date, the confidence, the owner, the targets and a next step."""
    (alert,) = Play().at(0, [leak()])
    annotations = alert.annotations
    assert annotations["summary"] == (
        "shop leaks goroutines in example.com/shop/pipeline.Filter (chan send): 340, 152 more per hour"
    )
    assert annotations["stack"] == (
        "example.com/shop/pipeline.Filter\n\t/src/pipeline.go:42\nmain.main\n\t/src/main.go:7"
    )
    assert annotations["targets"] == "10.0.0.1:6060\n10.0.0.2:6060"
    for part in (
        "340 goroutines of service shop are in example.com/shop/pipeline.Filter (chan send) and do not leave.",
        "This stack grew from 5 to 340 in 2h without departures; +152/h (140 to 163).",
        "Since: 2023-11-14 20:13:20 UTC.",
        "Confidence: 97 %.",
        "Owner: team-shop.",
    ):
        assert part in annotations["description"]
    assert alert.generator_url in annotations["next_step"]


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
    many = text.leaking(replace(one, in_step=(one.stack,) * 12), "http://x/", float("nan"))
    assert " and 7 more." in many["description"]
    few = text.leaking(replace(one, in_step=(one.stack,) * 2), "http://x/", float("nan"))
    assert "more." not in few["description"]


def test_a_leak_of_unknown_age_has_no_date() -> None:
    """The description has no "Since" if the first time is unknown."""
    assert "Since" not in text.leaking(leak(), "http://x/", float("nan"))["description"]
