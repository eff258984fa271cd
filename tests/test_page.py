"""The first page: what it says while nothing can be known, of leaks, and of targets that are down."""

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256

import pytest
from simulated import HOUR, START, TARGET, play

from leakwatch.labels import leak_url
from leakwatch.model import Target
from leakwatch.pipeline import Pipeline, Settings
from leakwatch.scrape import Health
from leakwatch.web.page import CONTENT_POLICY, front_page, hourly


def page(pipeline: Pipeline, hours: float, health: dict[Target, Health] | None = None) -> str:
    """Return the page so many hours after the start, with all targets up unless told."""
    health = health or {target: Health(up=True) for target in pipeline.watches}
    return front_page(pipeline.open_leaks(), pipeline.watches, health, START + hours * HOUR)


def test_before_a_verdict_is_possible() -> None:
    """It says for how long it has watched and when it can know, not that there is no leak."""
    pipeline, _ = play(lambda _: {"idle": 7}, 0.22)
    said = page(pipeline, 0.22)
    assert "Watched for 13m12s; the first verdict is possible after 40m." in said
    assert "No leak" not in said
    pipeline, _ = play(lambda _: {"idle": 7}, 0.22, Pipeline(Settings(block=600)))
    assert "the first verdict is possible after 1h20m." in page(pipeline, 0.22)


def test_no_verdict_comes_before_the_page_says_so() -> None:
    """The fastest leak is named after the time that the page tells, not before."""
    pipeline, events = play(lambda at: {"leak": int(at)}, 2)
    assert events[0].time - START >= 40 * 60
    assert "the first verdict is" not in page(pipeline, 2)


def test_a_browser_shows_the_style_and_nothing_else() -> None:
    """The policy has the hash of the one style of the page; there is no script, and no style beside it."""
    said = front_page([], {}, {}, START)
    (style,) = re.findall(r"<style>(.*?)</style>", said, re.DOTALL)
    assert f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in CONTENT_POLICY
    assert not re.search(r"<script|<img|<link| style=| on\w+=", said)


def test_when_nothing_leaks() -> None:
    """After that, no leak is no leak."""
    pipeline, _ = play(lambda _: {"idle": 7}, 1)
    assert "No leak is known." in page(pipeline, 1)
    assert "<table" not in page(pipeline, 1)


def test_a_target_that_came_later() -> None:
    """What one target cannot know yet is said beside what is known of the others."""
    pipeline, _ = play(lambda _: {"idle": 7}, 1)
    pipeline.observe(Target("shop", "new:1"), START + HOUR - 60, 0, {})
    said = page(pipeline, 1)
    assert "No leak is known. 1 of 2 targets are watched for less than 40m: no verdict yet." in said


def test_no_target_and_none_scraped() -> None:
    """Without targets, or before the first scrape, it says just that."""
    assert "There is no target." in front_page([], {}, {}, START)
    assert "No target has been scraped yet." in front_page([], {}, {TARGET: Health()}, START)


def test_a_leak_with_its_numbers() -> None:
    """Count, rate with its band, confidence and owner are there; columns that are empty are not."""
    owners = {"main.": "shop-team <a&b>"}
    pipeline, _ = play(lambda at: {"leak": int(at * 5)}, 4, Pipeline(Settings(owners=owners)))
    said = page(pipeline, 4)
    assert "71,925" in said
    assert "+18,000/h" in said
    (leak,) = pipeline.open_leaks()
    assert f"{hourly(leak.growth.low)} to {hourly(leak.growth.high)}" in said
    assert f"{leak.confidence:.0%}" in said
    assert "shop-team &lt;a&amp;b&gt;" in said
    assert ">wait" not in said
    pipeline.configure(Settings())
    assert ">owner" not in page(pipeline, 4)


def test_a_link_finds_the_row_of_its_leak() -> None:
    """Alerts link to a row: one stack that leaks in two services is two rows, whatever the services are called."""
    pipeline, _ = play(lambda at: {"leak": int(at * 5)}, 4)
    (leak,) = pipeline.open_leaks()
    other = replace(leak, service='a "b"/<c>')
    said = front_page([leak, other], pipeline.watches, {}, START + 4 * HOUR)
    for one in (leak, other):
        url = leak_url("https://leakwatch.example.com/", one)
        assert url.startswith("https://leakwatch.example.com/#")
        assert said.count(f'<tr id="{url.partition("#")[2]}">') == 1


def test_a_target_that_is_down() -> None:
    """It is named with the reason and for how long."""
    pipeline, _ = play(lambda _: {"idle": 7}, 1)
    down = Health(up=False, reason="connection", error="Connection refused", since=START + 0.5 * HOUR)
    said = page(pipeline, 1, {TARGET: down})
    assert "0 of 1 targets up" in said
    assert all(word in said for word in (TARGET.name, "connection", "Connection refused", ">30m"))
    assert page(pipeline, 1).count("Connection refused") == 0


def test_a_fleet_that_is_down_is_summed_up() -> None:
    """A thousand targets that are down are a few rows and a number."""
    health = {Target("shop", f"t{i}"): Health(up=False) for i in range(1020)}
    said = front_page([], {}, health, START)
    assert said.count('class="down"') == 20
    assert "1,000 more are down." in said


@pytest.mark.parametrize(
    ("rate", "text"),
    [(5, "+18,000"), (60 / HOUR, "+60"), (0.44 / HOUR, "+0.4"), (-0.00001, "+0"), (-1 / HOUR, "-1")],
)
def test_rates(rate: float, text: str) -> None:
    """Per hour, with separators, one decimal only where it matters, and no minus before nothing."""
    assert hourly(rate) == text
