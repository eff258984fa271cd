"""The metrics of targets and leaks: values, limits, and the linter of Prometheus."""

import subprocess
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder

from leakwatch.clock import Delays
from leakwatch.leaks.metrics import leak_metrics
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Frame, Sample, Stack, Target, TargetHealth, Verdict
from leakwatch.notify.links import AlertLinks
from leakwatch.notify.metrics import NotificationCollector
from leakwatch.pipeline import Pipeline
from leakwatch.profile.fingerprint import fingerprint_of
from leakwatch.scrape.metrics import LoadCollector, TargetCollector
from leakwatch.scrape.start_queue import StartQueue
from leakwatch.web.metrics import DaemonCollector, make_registry
from tests.support.leaking import leak
from tests.support.simulated import HOUR, START, TARGET, play, samples, stack


def registry(pipeline: Pipeline, *, per_target: int = 50, limit: int = 50_000) -> CollectorRegistry:
    """Return a registry of a pipeline with targets that are all up."""
    health = {target: TargetHealth(up=True, results=Counter(success=3)) for target in pipeline.targets}
    stacks = TargetCollector(pipeline, lambda: health, lambda t: t + 100, per_target=per_target, limit=limit)
    lags = Delays()
    lags.add(0.2)
    load = LoadCollector(StartQueue(lambda: 0.0, idle=lambda: 0.0, cpu=lambda: 0.0), lags, lambda: 7)
    daemon = DaemonCollector(lambda: AlertLinks("http://leakwatch"), lambda: (True, START), lambda: None)
    return make_registry(stacks, load, daemon, NotificationCollector({}))


def observed(pipeline: Pipeline, counts: dict[str, int], time: float = START) -> Pipeline:
    """Return the pipeline after one profile."""
    pipeline.observe(pipeline.add_target(TARGET), time, sum(counts.values()), samples(counts))
    return pipeline


def stack_series(metrics: CollectorRegistry) -> dict[str, float]:
    """Return function -> goroutines, with "other" for the stacks that are summed up."""
    family = next(m for m in metrics.collect() if m.name == "leakwatch_stack_goroutines")
    return {s.labels["function"] or s.labels["stack"]: s.value for s in family.samples}


def test_a_leak_and_its_numbers() -> None:
    """A leak is exported with its labels, rate and confidence, and with its beginning by the wall clock."""
    pipeline, _ = play(
        lambda at: {"leak": int(at / 60), "idle": 7}, 4, Pipeline(DetectionSettings(owners={"main.": "shop-team"}))
    )
    metrics = registry(pipeline)
    labels = {
        "service": "shop",
        "stack": stack("leak", "main.goleak").fingerprint,
        "function": "main.leak",
        "wait": "",
        "owner": "shop-team",
    }
    verdicts = {
        word: metrics.get_sample_value("leakwatch_leak_verdict", {**labels, "verdict": word})
        for word in ("suspected", "leaking", "proven", "plateau", "recovered")
    }
    assert verdicts == {"suspected": 0, "leaking": 1, "proven": 0, "plateau": 0, "recovered": 0}
    assert metrics.get_sample_value("leakwatch_leak_goroutines", labels) == 239
    rate = metrics.get_sample_value("leakwatch_leak_growth_goroutines_per_second", labels)
    assert rate == pytest.approx(60 / HOUR, rel=0.05)
    confidence = metrics.get_sample_value("leakwatch_leak_confidence_ratio", labels)
    assert confidence is not None
    assert 0.5 < confidence <= 1
    assert metrics.get_sample_value("leakwatch_leak_page", labels) == 1
    seen = metrics.get_sample_value("leakwatch_leak_first_seen_timestamp_seconds", labels)
    assert seen == pytest.approx(START + 100, abs=HOUR)
    detected = metrics.get_sample_value("leakwatch_leak_detected_timestamp_seconds", labels)
    assert detected == pytest.approx(START + 100 + 2 * HOUR, abs=HOUR)
    target = {"service": "shop", "target": TARGET.name}
    assert metrics.get_sample_value("leakwatch_up", target) == 1
    assert metrics.get_sample_value("leakwatch_goroutines", target) == 246
    assert metrics.get_sample_value("leakwatch_scrapes_total", target | {"result": "success"}) == 3
    info = {"stack": labels["stack"], "function": "main.leak", "file": "/src/leak.go", "line": "7"}
    assert metrics.get_sample_value("leakwatch_stack_info", info | {"origin": "main.goleak", "wait": ""}) == 1


def exported(verdict: Verdict, *, verdict_label: bool = False) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Return the names and labels of all series of a leak."""
    metrics = leak_metrics([leak(verdict)], lambda time: time, verdict_label=verdict_label)
    return {(each.name, tuple(each.labels.items())) for metric in metrics for each in metric.samples}


def test_a_changed_verdict_ends_no_series() -> None:
    """The series of a leak are the same with each verdict, unless `verdict_label` asks for the label."""
    assert exported(Verdict.SUSPECTED) == exported(Verdict.LEAKING) == exported(Verdict.RECOVERED)
    old = exported(Verdict.LEAKING, verdict_label=True)
    assert len(old) == len(exported(Verdict.LEAKING))
    assert all(dict(labels)["verdict"] == "leaking" for name, labels in old if name != "leakwatch_leak_verdict")


def test_labels_of_targets() -> None:
    """leakwatch_up has the labels of its target, and leaks those that all targets have in common."""
    pipeline = Pipeline(DetectionSettings(target_labels=("namespace", "team")))
    targets = [Target("shop", f"t:{i}", {"namespace": "eu", "team": team}) for i, team in enumerate("ab")]
    for i in range(int(2 * HOUR / 15)):
        for target in targets:
            pipeline.observe(pipeline.add_target(target), START + 15 * i, 9, samples({"leak": i // 4, "idle": 7}))
    metrics = registry(pipeline)
    up = {"service": "shop", "target": "t:1", "namespace": "eu", "team": "b"}
    assert metrics.get_sample_value("leakwatch_up", up) == 1
    families = [m for m in metrics.collect() if m.name.startswith("leakwatch_leak_") and m.samples]
    labels = [sample.labels for family in families for sample in family.samples]
    assert len(labels) >= 12
    assert {(each["namespace"], each["team"]) for each in labels} == {("eu", "")}


def test_small_stacks_are_summed_up() -> None:
    """The K largest stacks have a series each; the sum of all series is the total."""
    counts = {f"s{i}": i for i in range(1, 101)}
    metrics = registry(observed(Pipeline(DetectionSettings()), counts), per_target=10)
    series = stack_series(metrics)
    assert len(series) == 11
    assert series["other"] == sum(range(1, 91))
    assert sum(series.values()) == sum(counts.values())
    target = {"service": "shop", "target": TARGET.name}
    assert metrics.get_sample_value("leakwatch_stacks", target) == 100
    assert metrics.get_sample_value("leakwatch_stacks_other", target) == 90


def test_series_do_not_flap() -> None:
    """A stack that falls a little below the limit keeps its series; a stack that falls far loses it."""
    pipeline = observed(Pipeline(DetectionSettings()), {f"s{i}": 100 + i for i in range(20)})
    metrics = registry(pipeline, per_target=10)
    assert set(stack_series(metrics)) == {f"main.s{i}" for i in range(10, 20)} | {"other"}
    observed(pipeline, {f"s{i}": 100 + i for i in range(20)} | {"s9": 130}, START + 15)
    assert {"main.s9", "main.s10"} <= stack_series(metrics).keys()
    observed(pipeline, {f"s{i}": 100 + i for i in range(20)} | {"s9": 130, "s10": 1}, START + 30)
    assert "main.s10" not in stack_series(metrics)
    assert len(stack_series(metrics)) <= 16


def test_judged_stacks_are_always_exported() -> None:
    """A small leak among many large stacks has a series."""
    pipeline, _ = play(lambda at: {"leak": int(at / 60), **{f"s{i}": 1000 for i in range(30)}}, 4)
    assert "main.leak" in stack_series(registry(pipeline, per_target=5))


def test_the_total_limit() -> None:
    """With many targets, the total limit is divided among them."""
    pipeline = Pipeline(DetectionSettings())
    for i in range(10):
        pipeline.observe(
            pipeline.add_target(Target("shop", f"t{i}")), START, 500, samples({f"s{j}": 5 for j in range(100)})
        )
    family = next(m for m in registry(pipeline, limit=100).collect() if m.name == "leakwatch_stack_goroutines")
    assert len(family.samples) == 10 * (9 + 1)  # the service has a share, too


def pasts(metrics: CollectorRegistry) -> dict[tuple[str, str], float]:
    """Return function, and span or lifetime -> known drop or ceiling."""
    families = list(metrics.collect())
    infos = next(m for m in families if m.name == "leakwatch_stack_info")
    names = {s.labels["stack"]: s.labels["function"] for s in infos.samples}
    return {
        (names[s.labels["stack"]], s.labels.get("span") or s.labels["lifetime"]): s.value
        for m in families
        if m.name in {"leakwatch_stack_known_drop_goroutines", "leakwatch_stack_ceiling_goroutines"}
        for s in m.samples
    }


def test_the_past_of_stacks() -> None:
    """Stacks with a known drop or ceiling export it, also while their target is down, with their frames."""
    pipeline = observed(Pipeline(DetectionSettings()), {"pool": 1, "busy": 2, "idle": 7})
    history = pipeline.add_target(TARGET).history
    history.known_drop[:, history.rows[stack("busy", "main.gobusy").fingerprint]] = 30, 3
    history.past_lifetimes.ceilings[:, history.rows[stack("pool", "main.gopool").fingerprint]] = 0, 90, 0
    expected = {("main.busy", "brief"): 30, ("main.pool", "2"): 90}
    assert pasts(registry(pipeline)) == expected
    health = {TARGET: TargetHealth(up=False)}
    down = TargetCollector(pipeline, lambda: health, lambda t: t, per_target=50, limit=1000)
    assert pasts(make_registry(down)) == expected


def test_the_past_of_many_stacks_is_limited() -> None:
    """A service has as many series of the past as a target has stacks, those with the largest values."""
    pipeline = observed(Pipeline(DetectionSettings()), {f"s{i}": 1 for i in range(40)})
    history = pipeline.add_target(TARGET).history
    for i in range(40):
        history.known_drop[0, history.rows[stack(f"s{i}", f"main.gos{i}").fingerprint]] = 100 + i
    assert set(pasts(registry(pipeline, per_target=5))) == {(f"main.s{i}", "brief") for i in range(35, 40)}
    assert len(pasts(registry(pipeline, limit=20))) == 10


def hostile() -> Stack:
    """Return a stack with names that need escaping."""
    name = 'evil"\n\\{}</script>' + "x" * 1_000_000
    frame = Frame(name, 'C:\\"quoted"\n.go', 1)
    return Stack(fingerprint=fingerprint_of([name]), frames=(frame,), blamed=frame, origin=name, wait="")


def test_hostile_names_stay_on_their_line() -> None:
    """Quotes and newlines are escaped, and a name of a megabyte is cut."""
    pipeline = Pipeline(DetectionSettings())
    evil = hostile()
    pipeline.observe(pipeline.add_target(Target('s"\n', "t\\")), START, 1, {evil.fingerprint: Sample(evil, 1)})
    text = generate_latest(registry(pipeline)).decode()
    assert max(map(len, text.splitlines())) < 1500
    assert all(line.startswith(("#", "leakwatch_", "process_", "python_")) for line in text.splitlines())
    assert '\\"\\n' in text
    assert "…" in text


def test_cut_names_are_unique() -> None:
    """Two targets with long names that differ at the end have different series."""
    pipeline = Pipeline(DetectionSettings())
    for end in "ab":
        pipeline.observe(pipeline.add_target(Target("shop", "x" * 300 + end)), START, 1, samples({"leak": 1}))
    lines = [line for line in generate_latest(registry(pipeline)).decode().splitlines() if "leakwatch_up{" in line]
    assert len(set(lines)) == 2


def test_a_target_that_is_down() -> None:
    """The stacks of a target that is down are not exported, because their counts are old."""
    pipeline = observed(Pipeline(DetectionSettings()), {"a": 5})
    health = {TARGET: TargetHealth(up=False)}
    stacks = TargetCollector(pipeline, lambda: health, lambda t: t, per_target=50, limit=1000)
    assert stack_series(make_registry(stacks)) == {}


def test_prometheus_lints_it() -> None:
    """`promtool check metrics` reports nothing, and the OpenMetrics format has its end marker."""
    pipeline, _ = play(lambda at: {"leak": int(at / 60)}, 4)
    metrics = registry(pipeline)
    linted = subprocess.run(
        ["promtool", "check", "metrics"], input=generate_latest(metrics), capture_output=True, check=False
    )
    assert linted.returncode == 0, linted.stderr.decode() + linted.stdout.decode()
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    assert encode(metrics).endswith(b"# EOF\n")


def test_the_load_of_leakwatch() -> None:
    """The lag of the event loop is a histogram; tasks, open files and overload are gauges."""
    metrics = registry(Pipeline(DetectionSettings()))
    lag = "leakwatch_event_loop_lag_seconds"
    counts = [metrics.get_sample_value(f"{lag}_bucket", {"le": le}) for le in ("0.1", "0.25", "+Inf")]
    assert counts == [0, 1, 1]
    assert metrics.get_sample_value(f"{lag}_sum") == 0.2
    assert metrics.get_sample_value("leakwatch_asyncio_tasks") == 7
    assert metrics.get_sample_value("leakwatch_overloaded") == 0
    assert metrics.get_sample_value("leakwatch_scrapes_missed_total") == 0
    assert metrics.get_sample_value("leakwatch_scrape_start_delay_seconds_count") == 0
    assert (metrics.get_sample_value("process_open_fds") or 0) > 0


def test_a_stretched_interval_has_a_reason() -> None:
    """The reason of a stretched interval is exported while it is stretched."""
    pipeline = observed(Pipeline(DetectionSettings()), {"a": 1})
    health = {TARGET: TargetHealth(up=True, interval=60.0, stretched_by="cpu")}
    collector = TargetCollector(pipeline, lambda: health, lambda t: t, per_target=1, limit=1)
    metrics = make_registry(collector)
    labels = {"service": TARGET.service, "target": TARGET.name, "reason": "cpu"}
    assert metrics.get_sample_value("leakwatch_scrape_interval_stretched", labels) == 1
    health[TARGET].stretched_by = ""
    assert metrics.get_sample_value("leakwatch_scrape_interval_stretched", labels) is None
