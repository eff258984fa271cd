"""Stacks that grow on young services, before they are suspected."""

from collections.abc import Callable
from dataclasses import replace

from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Target, Verdict
from leakwatch.pipeline import Pipeline
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.api.targets import judged_in
from leakwatch.web.pages.growing import growing_stacks
from tests.support.api_world import END, NEW, StoppedClock, app_state, get, sample
from tests.support.seen_pages import ParsedPage
from tests.support.simulated import START, stack


def young(
    minutes: int, target: Target = NEW, leaked: Callable[[int], int] = lambda minute: 2 * minute
) -> Pipeline:
    """Return a pipeline with one target that has been scraped for some minutes."""
    pipeline = Pipeline(DetectionSettings())
    for minute in range(minutes):
        samples = {
            **sample(stack("leak"), leaked(minute) + 1),
            **sample(stack("idle", "main.worker"), 70 + minute % 2),
            **sample(stack("load", "main.load"), 10 + 30 * (minute % 7)),
        }
        pipeline.observe(pipeline.add_target(target), START + 60.0 * minute, 100, samples)
    return pipeline


def state_of(pipeline: Pipeline) -> TargetState:
    """Return the state of the only target of a pipeline."""
    (state,) = pipeline.targets.values()
    return state


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


def test_stacks_are_listed_until_they_are_suspected() -> None:
    """A stack that can be judged, but is not suspected yet, is listed; a suspected one is among the leaks."""
    pipeline = young(100)
    assert judged_in(state_of(pipeline)) == 0.0
    assert not state_of(pipeline).judged
    (row,) = growing_stacks(fleet_of(pipeline), "")
    assert row.stack.blamed.function == "main.leak"
    pipeline = young(119)
    (judged,) = state_of(pipeline).judged.values()
    assert judged.judgement.verdict is Verdict.SUSPECTED
    assert growing_stacks(fleet_of(pipeline), "") == []


def test_stacks_of_leaks_are_not_listed() -> None:
    """A stack that is a leak on one target is not listed for the targets on which it is not judged yet."""
    pipeline = Pipeline(DetectionSettings())
    targets = [replace(NEW, name=f"10.9.9.{number}:6060") for number in range(3)]
    minute = 0
    while not pipeline.open_leaks():
        for target in targets:
            counts = sample(stack("leak"), 2 * minute + 1)
            events = pipeline.observe(pipeline.add_target(target), START + 60.0 * minute, 100, counts)
            if events:
                break
        minute += 1
    assert not all(state.judged for state in pipeline.targets.values())
    view = app_state(pipeline=pipeline, clock=StoppedClock(END), health=pipeline.health).fleet.view()
    assert growing_stacks(view, "") == []


def test_only_young_services_are_listed() -> None:
    """Before the first block nothing is known; after 24 blocks the windows of blocks have judged the stack."""
    assert growing_stacks(fleet_of(young(3)), "") == []

    def slow(minute: int) -> int:
        return minute // 3

    assert len(growing_stacks(fleet_of(young(119, leaked=slow)), "")) == 1
    assert growing_stacks(fleet_of(young(125, leaked=slow)), "") == []


def test_the_table_of_the_overview() -> None:
    """A young overview has the table, with links to the stacks; an overview without young services has none."""
    page = ParsedPage(get("/", app_state(pipeline=young(20))).text)
    assert "Growing now, not judged yet" in page.text
    assert page.rows("growing") == 1
    (link,) = [link for link in page.links() if link.startswith("targets/young/") and "?q=" in link]
    assert get(f"/{link.partition('#')[0]}", app_state(pipeline=young(20))).status_code == 200
    assert "Growing now" not in get("/").text
