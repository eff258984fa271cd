"""Finalizers that never return: one goroutine, the same in each scrape."""

import pytest

from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Sample, Stack, Verdict
from leakwatch.pipeline import Pipeline
from tests.support.simulated import INTERVAL, START, TARGET
from tests.support.stacks import stack_of

STUCK = stack_of("net.(*conn).Read", "main.(*File).close", "runtime.runFinalizers", wait="IO wait")
BLOCK = 300.0


def observe(stack: Stack, blocks: float, gone: float | None = None) -> Pipeline:
    """Return a pipeline after a stack was in all scrapes for some blocks; `gone`: a block where it was not."""
    pipeline = Pipeline(DetectionSettings())
    state = pipeline.add_target(TARGET)
    for number in range(int(blocks * BLOCK / INTERVAL)):
        is_gone = gone is not None and int(number * INTERVAL / BLOCK) == gone and number % 10 == 0
        samples = {} if is_gone else {stack.fingerprint: Sample(stack, 1)}
        pipeline.observe(state, START + number * INTERVAL, 1, samples)
    return pipeline


def test_a_stuck_finalizer_is_a_leak_of_one_goroutine() -> None:
    """A finalizer that is in all scrapes of three blocks is leaking; with its reason and its cause."""
    (leak,) = observe(STUCK, 5).open_leaks()
    assert (leak.verdict, leak.goroutines, leak.stack.blamed.function) == (
        Verdict.LEAKING,
        1,
        "main.(*File).close",
    )
    assert "no finalizer can run" in leak.reason
    assert leak.cause is not None
    assert leak.cause.id == "finalizer-blocked"
    assert leak.first_seen == pytest.approx(START, abs=BLOCK)


@pytest.mark.parametrize("root", ["runtime.runfinq", "runtime.runCleanups"])
def test_all_names_of_the_root(root: str) -> None:
    """Cleanups, and the name before Go 1.25, count too."""
    assert observe(stack_of("main.close", root), 5).open_leaks()


def test_finalizers_that_return() -> None:
    """A finalizer that one scrape does not have, that runs, or that is too young, is not a leak."""
    assert not observe(STUCK, 5, gone=3).open_leaks()
    assert not observe(stack_of("main.close", "runtime.runFinalizers", wait="runnable"), 5).open_leaks()
    assert not observe(STUCK, 2.5).open_leaks()
    assert not observe(stack_of("main.close", "main.run"), 5).open_leaks()


def test_the_leak_ends_when_the_finalizer_returns() -> None:
    """The verdict lasts only as long as the finalizer is stuck."""
    pipeline = observe(STUCK, 5)
    state = pipeline.add_target(TARGET)
    for number in range(40):
        pipeline.observe(state, START + 5 * BLOCK + number * INTERVAL, 1, {})
    assert not pipeline.open_leaks()
