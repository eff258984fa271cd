"""What docs/memory.md shows is what leakwatch reads, says and exports; alerts and recordings say it too."""

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


def test_what_it_says() -> None:
    """The example is a sentence of ours, and the table has every source."""
    (quoted,) = re.findall(r"^(> They hold .*?)\n\n", PAGE, re.DOTALL | re.MULTILINE)
    assert " ".join(line.removeprefix("> ") for line in quoted.splitlines()) == memory_sentence(COST)
    assert set(re.findall(r"^\| `(.*?)` \| ", PAGE, re.MULTILINE)) >= {HEAP, STACKS, AVERAGE_STACK, LEAST_STACK}


def test_the_configurations() -> None:
    """Each loads; the limit of a target is its label's, else the job's; an annotation of a pod becomes one."""
    (shop,) = parse(YAML[0], "memory.md", Path()).scrape_configs
    (kubernetes,) = parse(YAML[1], "memory.md", Path()).scrape_configs
    job = TargetDefaults(
        job="shop",
        scheme="http",
        path="/debug/pprof",
        metrics_path=shop.metrics_path,
        memory_limit=shop.memory_limit,
    )
    found = asyncio.run(TargetBuilder(job).build(shop.static_configs))
    assert [one.memory_limit for one in found.endpoints] == [512 * MIB, 512 * MIB, 1024 * MIB]
    assert {one.metrics_path for one in found.endpoints} == {"/internal/metrics"}
    pods = [
        TargetGroup(targets=("10.0.0.1:6060",), labels=labels)
        for labels in ({}, {"__meta_kubernetes_pod_annotation_leakwatch_io_memory_limit": "512Mi"})
    ]
    pod_job = TargetDefaults(
        job="kubernetes", scheme="http", path="/debug/pprof", rules=kubernetes.relabel_configs
    )
    limits = [one.memory_limit for one in asyncio.run(TargetBuilder(pod_job).build(pods)).endpoints]
    assert limits == [None, 512 * MIB]


def test_the_metrics_and_the_query(tmp_path: Path) -> None:
    """All that the page names is exported, with its value, and nothing else of bytes; promtool takes the query."""
    one = replace(leak(), memory=COST)
    families = list(leak_metrics([one, leak()], lambda *_: 0, lambda time: time))
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


def test_alerts_say_it() -> None:
    """In the description of a leak and of a suspicion; not where nothing is known."""
    one = replace(leak(), memory=COST)
    for said in (text.leaking, text.suspected):
        assert memory_sentence(COST) in said(one, "https://x", START)["description"]
        assert "They hold" not in said(leak(), "https://x", START)["description"]


def test_recordings_say_it(tmp_path: Path) -> None:
    """`analyze` counts the smallest stacks, for profiles tell no more."""
    rows = [f"{60 * i},a,main.main;main.leak,{10 + i}\n" for i in range(1, 240)]
    (tmp_path / "shop.csv").write_text("time,target,stack,count\n" + "".join(rows))
    said = CliRunner().invoke(app, ["analyze", str(tmp_path / "shop.csv"), "--format", "json"])
    (found,) = json.loads(said.stdout)["leaks"]
    assert (found["bytes"], found["bytes_source"]) == (249 * 2048, LEAST_STACK)
    assert 55 * 2048 < found["bytes_per_hour"] < 65 * 2048


def test_the_number_of_measurements() -> None:
    """The number in the page is enough for a line, and one less is not."""
    assert "at least 5 measurements" in PAGE
    assert process(5).cost_of(LEAK).resident
    assert not process(4).cost_of(LEAK).resident
