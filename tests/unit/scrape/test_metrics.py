"""/metrics: what is exported, what bounds it, and that Prometheus's own linter has nothing to say."""

import subprocess
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder

from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Frame, Sample, Stack, Target, TargetHealth
from leakwatch.notify.metrics import NotificationCollector
from leakwatch.pipeline import Pipeline
from leakwatch.profile.fingerprint import fingerprint_of
from leakwatch.scrape.metrics import StackCollector
from leakwatch.web.metrics import DaemonCollector, make_registry
from tests.support.simulated import HOUR, START, TARGET, play, samples, stack


def registry(pipeline: Pipeline, *, per_target: int = 50, limit: int = 50_000) -> CollectorRegistry:
    """Return a registry over a pipeline whose targets are all up."""
    health = {target: TargetHealth(up=True, results=Counter(success=3)) for target in pipeline.targets}
    stacks = StackCollector(pipeline, lambda: health, lambda t: t + 100, per_target=per_target, limit=limit)
    return make_registry(stacks, DaemonCollector(lambda: (True, START)), NotificationCollector({}))


def observed(pipeline: Pipeline, counts: dict[str, int], time: float = START) -> Pipeline:
    """Return the pipeline after one profile."""
    pipeline.observe(pipeline.add_target(TARGET), time, sum(counts.values()), samples(counts))
    return pipeline


def stack_series(found: CollectorRegistry) -> dict[str, float]:
    """Return goroutines by the stack's function, "other" for the rest."""
    family = next(m for m in found.collect() if m.name == "leakwatch_stack_goroutines")
    return {s.labels["function"] or s.labels["stack"]: s.value for s in family.samples}


def test_a_leak_and_its_numbers() -> None:
    """A leak is exported with its labels, rate, confidence and when it began, by the wall clock of now."""
    pipeline, _ = play(
        lambda at: {"leak": int(at / 60), "idle": 7}, 4, Pipeline(DetectionSettings(owners={"main.": "shop-team"}))
    )
    found = registry(pipeline)
    labels = {
        "service": "shop",
        "stack": stack("leak", "main.goleak").fingerprint,
        "function": "main.leak",
        "wait": "",
        "verdict": "leaking",
        "owner": "shop-team",
    }
    assert found.get_sample_value("leakwatch_leak_goroutines", labels) == 239
    rate = found.get_sample_value("leakwatch_leak_growth_goroutines_per_second", labels)
    assert rate == pytest.approx(60 / HOUR, rel=0.05)
    confidence = found.get_sample_value("leakwatch_leak_confidence_ratio", labels)
    assert confidence is not None
    assert 0.5 < confidence <= 1
    seen = found.get_sample_value("leakwatch_leak_first_seen_timestamp_seconds", labels)
    assert seen == pytest.approx(START + 100, abs=HOUR)
    target = {"service": "shop", "target": TARGET.name}
    assert found.get_sample_value("leakwatch_up", target) == 1
    assert found.get_sample_value("leakwatch_goroutines", target) == 246
    assert found.get_sample_value("leakwatch_scrapes_total", target | {"result": "success"}) == 3
    info = {"stack": labels["stack"], "function": "main.leak", "file": "/src/leak.go", "line": "7"}
    assert found.get_sample_value("leakwatch_stack_info", info | {"origin": "main.goleak", "wait": ""}) == 1


def test_the_rest_is_summed_up() -> None:
    """The largest K stacks are exported one by one; all series together are the total."""
    counts = {f"s{i}": i for i in range(1, 101)}
    found = registry(observed(Pipeline(DetectionSettings()), counts), per_target=10)
    series = stack_series(found)
    assert len(series) == 11
    assert series["other"] == sum(range(1, 91))
    assert sum(series.values()) == sum(counts.values())
    target = {"service": "shop", "target": TARGET.name}
    assert found.get_sample_value("leakwatch_stacks", target) == 100
    assert found.get_sample_value("leakwatch_stacks_other", target) == 90


def test_series_do_not_flap() -> None:
    """A stack that loses its rank by a little stays; one that falls far goes."""
    pipeline = observed(Pipeline(DetectionSettings()), {f"s{i}": 100 + i for i in range(20)})
    found = registry(pipeline, per_target=10)
    assert set(stack_series(found)) == {f"main.s{i}" for i in range(10, 20)} | {"other"}
    observed(pipeline, {f"s{i}": 100 + i for i in range(20)} | {"s9": 130}, START + 15)
    assert {"main.s9", "main.s10"} <= stack_series(found).keys()
    observed(pipeline, {f"s{i}": 100 + i for i in range(20)} | {"s9": 130, "s10": 1}, START + 30)
    assert "main.s10" not in stack_series(found)
    assert len(stack_series(found)) <= 16


def test_judged_stacks_are_always_exported() -> None:
    """A small leak among many large stacks has its series."""
    pipeline, _ = play(lambda at: {"leak": int(at / 60), **{f"s{i}": 1000 for i in range(30)}}, 4)
    assert "main.leak" in stack_series(registry(pipeline, per_target=5))


def test_an_overall_cap() -> None:
    """With many targets the limit over all is shared among them."""
    pipeline = Pipeline(DetectionSettings())
    for i in range(10):
        pipeline.observe(
            pipeline.add_target(Target("shop", f"t{i}")), START, 500, samples({f"s{j}": 5 for j in range(100)})
        )
    family = next(m for m in registry(pipeline, limit=100).collect() if m.name == "leakwatch_stack_goroutines")
    assert len(family.samples) == 10 * (10 + 1)


def hostile() -> Stack:
    """Return a stack with names that try to break out."""
    name = 'evil"\n\\{}</script>' + "x" * 1_000_000
    frame = Frame(name, 'C:\\"quoted"\n.go', 1)
    return Stack(fingerprint=fingerprint_of([name]), frames=(frame,), blamed=frame, origin=name, wait="")


def test_hostile_names_stay_on_their_line() -> None:
    """Quotes, newlines and a megabyte of name are escaped and cut with a mark."""
    pipeline = Pipeline(DetectionSettings())
    evil = hostile()
    pipeline.observe(pipeline.add_target(Target('s"\n', "t\\")), START, 1, {evil.fingerprint: Sample(evil, 1)})
    text = generate_latest(registry(pipeline)).decode()
    assert max(map(len, text.splitlines())) < 1500
    assert all(line.startswith(("#", "leakwatch_", "process_", "python_")) for line in text.splitlines())
    assert '\\"\\n' in text
    assert "…" in text


def test_names_that_are_cut_stay_apart() -> None:
    """Two targets whose names differ only far behind give two series, not one twice."""
    pipeline = Pipeline(DetectionSettings())
    for end in "ab":
        pipeline.observe(pipeline.add_target(Target("shop", "x" * 300 + end)), START, 1, samples({"leak": 1}))
    lines = [line for line in generate_latest(registry(pipeline)).decode().splitlines() if "leakwatch_up{" in line]
    assert len(set(lines)) == 2


def test_a_target_that_is_down_has_no_live_numbers() -> None:
    """While a target is down its stacks are not exported as if they were of now."""
    pipeline = observed(Pipeline(DetectionSettings()), {"a": 5})
    health = {TARGET: TargetHealth(up=False)}
    stacks = StackCollector(pipeline, lambda: health, lambda t: t, per_target=50, limit=1000)
    assert stack_series(make_registry(stacks)) == {}


def test_prometheus_lints_it() -> None:
    """`promtool check metrics` has nothing to say, and OpenMetrics ends as it must."""
    pipeline, _ = play(lambda at: {"leak": int(at / 60)}, 4)
    found = registry(pipeline)
    linted = subprocess.run(
        ["promtool", "check", "metrics"], input=generate_latest(found), capture_output=True, check=False
    )
    assert linted.returncode == 0, linted.stderr.decode() + linted.stdout.decode()
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    assert encode(found).endswith(b"# EOF\n")
