"""Stacks that grow on services that are too young for a verdict."""

from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Target
from leakwatch.pipeline import Pipeline
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.pages.growing import growing_stacks
from tests.support.api_world import END, NEW, StoppedClock, app_state, get, sample
from tests.support.seen_pages import ParsedPage
from tests.support.simulated import START, stack


def young(minutes: int, target: Target = NEW) -> Pipeline:
    """Return a pipeline with one target that has been scraped for some minutes."""
    pipeline = Pipeline(DetectionSettings())
    for minute in range(minutes):
        samples = {
            **sample(stack("leak"), 2 * minute + 1),
            **sample(stack("idle", "main.worker"), 70 + minute % 2),
            **sample(stack("load", "main.load"), 10 + 30 * (minute % 7)),
        }
        pipeline.observe(pipeline.add_target(target), START + 60.0 * minute, 100, samples)
    return pipeline


def fleet_of(pipeline: Pipeline) -> FleetView:
    """Return the view of a pipeline."""
    return app_state(pipeline=pipeline, clock=StoppedClock(END)).fleet.view()


def test_a_stack_that_grows() -> None:
    """The stack that rises in each block is listed with its growth; load and steady stacks are not."""
    (row,) = growing_stacks(fleet_of(young(20)), "")
    assert row.stack.blamed.function == "main.leak"
    assert row.goroutines == 39
    assert 110 < row.per_hour < 130
    assert growing_stacks(fleet_of(young(20)), "shop") == []


def test_services_that_can_be_judged_are_left_out() -> None:
    """After the shortest window the judgements count, and before the first block nothing is known."""
    assert growing_stacks(fleet_of(young(60)), "") == []
    assert growing_stacks(fleet_of(young(3)), "") == []


def test_the_table_of_the_overview() -> None:
    """A young overview has the table, with links to the stacks; an overview without young services has none."""
    page = ParsedPage(get("/", app_state(pipeline=young(20))).text)
    assert "Growing now, not judged yet" in page.text
    assert page.rows("growing") == 1
    (link,) = [link for link in page.links() if link.startswith("targets/young/") and "?q=" in link]
    assert get(f"/{link.partition('#')[0]}", app_state(pipeline=young(20))).status_code == 200
    assert "Growing now" not in get("/").text
