"""The severity of a leak over its time: ticket, page, and ticket again."""

from collections.abc import Mapping

import pytest

from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Target, Verdict
from leakwatch.pipeline import Pipeline
from tests.support.plain import restarted
from tests.support.simulated import HOUR, START, samples

INTERVAL = 60.0
TARGETS = [Target("shop", f"10.0.0.{i}:6060") for i in range(3)]


def observe(pipeline: Pipeline, counts: Mapping[str, int], time: float, targets: int = 1) -> None:
    """Observe the same counts on some targets."""
    for target in TARGETS[:targets]:
        state = pipeline.add_target(target)
        pipeline.observe(state, START + time, sum(counts.values()), samples(counts))


def severities(
    pipeline: Pipeline, idle: int, hours: range, *, rate: float = 60, begin: int = 3, end: int = 99
) -> list[str]:
    """Return the severity of a leak after each of `hours`; `idle`: other goroutines of the process."""
    result = list[str]()
    for hour in hours:
        for i in range(60):
            time = hour * HOUR + i * INTERVAL
            leaked = int(max(min(time / HOUR, end) - begin, 0) * rate)
            observe(pipeline, {"idle": idle, "leak": leaked + 2}, time)
        leaks = pipeline.open_leaks()
        result.append(leaks[0].severity if leaks else "none")
    return result


@pytest.mark.parametrize(("idle", "severity"), [(50, "page"), (900, "page"), (2000, "ticket")])
def test_severity_depends_on_the_process(idle: int, severity: str) -> None:
    """A leak of 60 per hour is a page in a process of up to 1,120 goroutines, else a ticket."""
    assert severities(Pipeline(DetectionSettings()), idle, range(6))[-1] == severity


def test_the_time_is_configured() -> None:
    """With less time a page becomes a ticket, and at a reload as well."""
    pipeline = Pipeline(DetectionSettings(page_within=2 * 86_400.0))
    assert severities(pipeline, 900, range(6))[-1] == "ticket"
    pipeline.configure(DetectionSettings())
    assert severities(pipeline, 900, range(6, 7)) == ["page"]


def test_a_slow_leak_becomes_a_page_and_then_a_plateau() -> None:
    """The goroutines at the onset stay, also over restarts of leakwatch; a plateau is a ticket."""
    pipeline = Pipeline(DetectionSettings())
    before = severities(pipeline, 1180, range(9), end=16)
    assert before[-4:] == ["ticket"] * 4
    pipeline = restarted(pipeline)
    (candidate,) = pipeline.services["shop"].leaks.candidates.values()
    assert candidate.onsets[TARGETS[0].name][1] == pytest.approx(1182, abs=60)
    assert severities(pipeline, 1180, range(9, 15), end=16)[-1] == "page"
    pipeline = restarted(pipeline)
    assert severities(pipeline, 1180, range(15, 16), end=16) == ["page"]
    assert severities(pipeline, 1180, range(16, 21), end=16)[-1] == "ticket"
    assert pipeline.open_leaks()[0].verdict is Verdict.PLATEAU


def test_a_restart_of_the_process_keeps_a_page() -> None:
    """Between a restart and the next growth the last rate counts, so a deploy does not change the severity."""
    pipeline = Pipeline(DetectionSettings())
    assert severities(pipeline, 900, range(6))[-1] == "page"
    pipeline.restart(pipeline.targets[TARGETS[0]], START + 6 * HOUR)
    assert pipeline.open_leaks()[0].severity == "page"
    assert severities(pipeline, 900, range(6, 10), begin=6) == ["page"] * 4


def test_a_suspected_stack_has_no_severity() -> None:
    """Only a leak has a severity."""
    pipeline = Pipeline(DetectionSettings())
    for i in range(5 * 60):
        observe(pipeline, {"idle": 50, "leak": int(max(i * INTERVAL / HOUR - 3, 0) * 60)}, i * INTERVAL)
        leaks = pipeline.open_leaks()
        if leaks and leaks[0].verdict is Verdict.SUSPECTED:
            assert leaks[0].severity == ""
            return
    pytest.fail("never suspected")


def test_a_leak_of_the_whole_service() -> None:
    """Growth that is known only for the service counts for each process in equal shares."""
    pipeline = Pipeline(DetectionSettings())
    for i in range(8 * 60):
        time = i * INTERVAL
        observe(pipeline, {"idle": 50, "leak": int(max(time / HOUR - 3, 0) * 20)}, time, targets=3)
    (leak,) = pipeline.open_leaks()
    assert (leak.verdict, leak.severity, len(leak.targets)) == (Verdict.LEAKING, "page", 3)
    (candidate,) = pipeline.services["shop"].leaks.candidates.values()
    assert [round(total) for _, total in candidate.onsets.values()] == pytest.approx([51] * 3, abs=30)
