"""The page at the address of a leak that this leakwatch does not have, such as that of an older alert."""

import re
from dataclasses import replace

import pytest

from leakwatch.leaks.settings import DetectionSettings
from leakwatch.pipeline import Pipeline
from leakwatch.storage.pauses import Pauses
from leakwatch.web.api.state import AppState
from tests.support.api_world import END, ONE, app_state, get, sample
from tests.support.seen_pages import ParsedPage
from tests.support.simulated import stack

ADDRESS = "/leaks/shop/b3e9b3e9b3e9b3e9"


def young(uptime: float, *, scrapes: int = 2, pauses: Pauses | None = None) -> AppState:
    """Return the state of a leakwatch that started `uptime` seconds ago and has scraped a target of shop."""
    pipeline = Pipeline(DetectionSettings(block=300.0))
    for number in range(scrapes):
        pipeline.observe(
            pipeline.add_target(ONE), END - 15.0 * (scrapes - 1 - number), 7, sample(stack("idle"), 7)
        )
    state = app_state(pipeline=pipeline, pauses=pauses)
    return replace(state, own=replace(state.own, started=lambda: END - uptime))


def text_at(address: str, state: AppState) -> str:
    """Return the words of the page, which is an error page."""
    answer = get(address, state)
    assert answer.status_code == 404
    return re.sub(r"\s+", " ", ParsedPage(answer.text).text)


def test_a_leakwatch_that_started_a_moment_ago() -> None:
    """The page states the start, the time of the first verdict, and the query of the history in Prometheus."""
    page = text_at(ADDRESS, young(125.0))
    assert "There is no history of leak b3e9b3e9b3e9b3e9 of service 'shop': leakwatch started 2m 5s ago" in page
    assert "If the stack still grows, the first verdict is possible in 39m 45s." in page
    query = 'sum by (target) (leakwatch_stack_goroutines{service="shop", stack="b3e9b3e9b3e9b3e9"})'
    assert f"Prometheus has the history of the stack: {query}" in page
    assert "recovered" not in page


def test_a_service_that_is_not_scraped() -> None:
    """Without a scrape of the service, the page states this; names are escaped in the query."""
    state = young(125.0, scrapes=0)
    assert "No target of the service has been scraped since then." in text_at(ADDRESS, state)
    page = text_at("/leaks/a%22b/b3e9b3e9b3e9b3e9", state)
    assert 'leakwatch_stack_goroutines{service="a\\"b", stack=' in page


def test_a_service_that_can_be_judged() -> None:
    """After enough blocks, the page does not promise a later first verdict."""
    state = app_state()
    state = replace(state, own=replace(state.own, started=lambda: END - 7200.0))
    page = text_at(ADDRESS, state)
    assert "leakwatch started 2h ago" in page
    assert "The service can be judged now." in page


@pytest.mark.parametrize("uptime", [125.0, 90_000.0])
def test_a_leakwatch_with_a_history(uptime: float) -> None:
    """After a day, or with a restored state, the leak has recovered."""
    pauses = Pauses()
    if uptime < 90_000.0:
        pauses.add(END - 200.0, END - 125.0)
    page = text_at(ADDRESS, young(uptime, pauses=pauses))
    assert "it recovered more than a day ago" in page
    assert "Prometheus has the history" not in page
