"""Examples, configurations, metrics and numbers of docs/memory.md match the code."""

import asyncio
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner

from leakwatch.cli.main import app
from leakwatch.config import parse
from leakwatch.discovery.target_builder import TargetBuilder, TargetDefaults
from leakwatch.discovery.target_group import TargetGroup
from leakwatch.leaks.metrics import leak_metrics
from leakwatch.leaks.model import Limit, MemoryCost
from leakwatch.leaks.wording import AVERAGE_STACK, HEAP, LEAST_STACK, STACKS, memory_sentence
from leakwatch.notify import annotations as text
from leakwatch.notify.links import AlertLinks
from tests.support.leaking import START, leak
from tests.unit.leaks.test_memory import COST as GOROUTINE
from tests.unit.leaks.test_memory import GROWTH, LEAK, MIB, process

PAGE = (Path(__file__).parents[2] / "docs" / "memory.md").read_text()
YAML = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
COST = MemoryCost(
    stack=GOROUTINE.stack,
    resident=GOROUTINE.resident,
    source=HEAP,
    goroutines=340,
    growth=GROWTH,
    limit=Limit(target="10.0.0.1:6060", size=512 * MIB, soonest=7200.0, latest=90_000.0),
)


def test_the_example_and_the_sources() -> None:
    """The example is a sentence that leakwatch writes, and the table has every source."""
    (quote,) = re.findall(r"^(> They hold .*?)\n\n", PAGE, re.DOTALL | re.MULTILINE)
    assert " ".join(line.removeprefix("> ") for line in quote.splitlines()) == memory_sentence(COST)
    assert set(re.findall(r"^\| `(.*?)` \| ", PAGE, re.MULTILINE)) >= {HEAP, STACKS, AVERAGE_STACK, LEAST_STACK}


def test_the_configurations() -> None:
    """The label of a target takes precedence over `memory_limit`, and an annotation of a pod sets the label."""
    (shop,) = parse(YAML[0], "memory.md", Path()).scrape_configs
    (kubernetes,) = parse(YAML[1], "memory.md", Path()).scrape_configs
    job = TargetDefaults(
        job="shop",
        scheme="http",
        path="/debug/pprof",
        metrics_path=shop.metrics_path,
        memory_limit=shop.memory_limit,
    )
    endpoints = asyncio.run(TargetBuilder(job).build(shop.static_configs)).endpoints
    assert [endpoint.memory_limit for endpoint in endpoints] == [512 * MIB, 512 * MIB, 1024 * MIB]
    assert {endpoint.metrics_path for endpoint in endpoints} == {"/internal/metrics"}
    pods = [
        TargetGroup(targets=("10.0.0.1:6060",), labels=labels)
        for labels in ({}, {"__meta_kubernetes_pod_annotation_leakwatch_io_memory_limit": "512Mi"})
    ]
    pod_job = TargetDefaults(
        job="kubernetes", scheme="http", path="/debug/pprof", rules=kubernetes.relabel_configs
    )
    endpoints = asyncio.run(TargetBuilder(pod_job).build(pods)).endpoints
    assert [endpoint.memory_limit for endpoint in endpoints] == [None, 512 * MIB]


def test_the_metrics_and_the_query(tmp_path: Path) -> None:
    """The table has exactly the metrics of memory, with the values of the cost; promtool accepts the query."""
    costly = replace(leak(), memory=COST)
    families = list(leak_metrics([costly, leak()], lambda time: time))
    values = {
        (sample.name, sample.labels.get("bound", "")): sample.value
        for family in families
        for sample in family.samples
        if "bytes" in sample.name or "memory" in sample.name
    }
    assert {name for name, _ in values} == set(re.findall(r"^\| `(leakwatch_leak_\w+)`", PAGE, re.MULTILINE))
    assert values["leakwatch_leak_bytes", ""] == 340 * 4096
    assert values["leakwatch_leak_resident_bytes", ""] == 340 * 81_920
    assert values["leakwatch_leak_until_memory_limit_seconds", "soonest"] == 7200.0
    assert values["leakwatch_leak_until_memory_limit_seconds", "latest"] == 90_000.0
    (query,) = re.findall(r"```promql\n(.*?)```", PAGE, re.DOTALL)
    rules = {"groups": [{"name": "memory", "rules": [{"alert": "SoonOutOfMemory", "expr": query}]}]}
    (tmp_path / "rules.yml").write_text(json.dumps(rules))
    subprocess.run(["promtool", "check", "rules", tmp_path / "rules.yml"], check=True, capture_output=True)


def test_alerts_have_the_sentence() -> None:
    """The description of a leak and of a suspicion has the memory cost, unless it is unknown."""
    costly = replace(leak(), memory=COST)
    for annotations in (text.leaking, text.suspected):
        assert memory_sentence(COST) in annotations(costly, AlertLinks("https://x"), START)["description"]
        assert "They hold" not in annotations(leak(), AlertLinks("https://x"), START)["description"]


def test_recordings_have_the_smallest_cost(tmp_path: Path) -> None:
    """`analyze` counts 2 KiB per goroutine, because recordings do not contain the memory of a process."""
    rows = [f"{60 * i},a,main.main;main.leak,{10 + i}\n" for i in range(1, 240)]
    (tmp_path / "shop.csv").write_text("time,target,stack,count\n" + "".join(rows))
    result = CliRunner().invoke(app, ["analyze", str(tmp_path / "shop.csv"), "--format", "json"])
    (leaked,) = json.loads(result.stdout)["leaks"]
    assert (leaked["bytes"], leaked["bytes_source"]) == (249 * 2048, LEAST_STACK)
    assert 55 * 2048 < leaked["bytes_per_hour"] < 65 * 2048


def test_the_number_of_measurements() -> None:
    """The number on the page is the smallest number that is enough for the cost of a goroutine."""
    assert "at least 5 measurements" in PAGE
    assert process(5).cost_of(LEAK).resident
    assert not process(4).cost_of(LEAK).resident
