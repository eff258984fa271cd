"""TargetSet over time: what several mechanisms find, through failures, limits and reloads."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from leakwatch.config import Config, parse
from leakwatch.scrape.metrics import DiscoveryCollector
from leakwatch.scrape.target_set import TargetSet
from tests.support.answering import answering, http
from tests.support.running import until

JSON = "Content-Type: application/json"


def listed(*addresses: str) -> bytes:
    """Return what a server of http_sd answers."""
    return json.dumps([{"targets": addresses}]).encode()


def names(targets: TargetSet) -> list[str]:
    """Return the names of all targets."""
    return sorted(target.name for target in targets.plans())


def through(steps: Callable[[TargetSet], Awaitable[None]]) -> None:
    """Run `steps` with targets, which are stopped in the end."""

    async def run() -> None:
        targets = TargetSet(lambda: None)
        try:
            await steps(targets)
        finally:
            targets.stop()

    asyncio.run(run())


def config(jobs: str, folder: Path = Path()) -> Config:
    """Return a configuration with these jobs."""
    return parse(f"scrape_configs: [{jobs}]", "c.yml", folder)


def test_a_failing_server_does_not_hold_up_the_rest() -> None:
    """A mechanism that cannot tell counts as heard of; what it replaces goes on being known until it can."""
    with answering(http(listed("a:1"), "200 OK", JSON)) as server:
        asked = "http_sd_configs: [{{url: {}, refresh_interval: {}}}]"
        job = "{{job_name: j, static_configs: [{{targets: ['s:1']}}], " + asked + "}}"

        async def steps(targets: TargetSet) -> None:
            await targets.configure(config(job.format(server.url, "50ms")))
            assert targets.waiting() == (2, 2)
            await until(lambda: names(targets) == ["a:1", "s:1"])
            await until(lambda: targets.waiting() == (0, 2))
            server.answer = http(b"", "500 Oops")
            await targets.configure(config(job.format(server.url, "60ms")))
            assert names(targets) == ["a:1", "s:1"]
            await until(lambda: targets.waiting() == (0, 2))
            server.answer = http(listed("b:1"), "200 OK", JSON)
            await until(lambda: names(targets) == ["b:1", "s:1"])
            await targets.configure(config("{job_name: j, static_configs: [{targets: ['s:1']}]}"))
            assert names(targets) == ["s:1"]

        with capture_logs() as logged:
            through(steps)
    assert [(line["job"], line["mechanism"]) for line in logged if line["log_level"] == "error"] == [("j", "http")]


def test_more_targets_than_the_limit() -> None:
    """The former ones stay, said once; with as many as allowed it goes on."""
    with answering(http(listed("a:1", "a:2"), "200 OK", JSON)) as server:
        rules = "relabel_configs: [{source_labels: [__address__], regex: 'x.*', action: drop}]"
        sd = f"http_sd_configs: [{{url: '{server.url}', refresh_interval: 50ms}}]"

        async def steps(targets: TargetSet) -> None:
            await targets.configure(config(f"{{job_name: j, target_limit: 2, {rules}, {sd}}}"))
            await until(lambda: names(targets) == ["a:1", "a:2"])
            server.answer = http(listed("b:1", "b:2", "b:3", "x:1"), "200 OK", JSON)
            await until(lambda: targets.counts()["j"].dropped == 1)
            assert names(targets) == ["a:1", "a:2"]
            server.answer = http(listed("b:1", "b:2", "b:3", "b:4"), "200 OK", JSON)
            await until(lambda: targets.counts()["j"].dropped == 0)
            assert names(targets) == ["a:1", "a:2"]
            server.answer = http(listed("b:1", "b:2", "x:1", "b:2"), "200 OK", JSON)
            await until(lambda: names(targets) == ["b:1", "b:2"])

        with capture_logs() as logged:
            through(steps)
    (line,) = (line for line in logged if line["log_level"] == "error")
    assert (line["job"], line["found"], line["target_limit"], line["kept"]) == ("j", 3, 2, 2)


def test_two_that_are_the_same_target(tmp_path: Path) -> None:
    """The first counts; it is said once, not at each change of something else."""
    path = tmp_path / "t.json"
    path.write_text(listed("z:1").decode())
    rule = "relabel_configs: [{target_label: target, replacement: same}]"
    jobs = (
        f"{{job_name: a, {rule}, static_configs: [{{targets: ['x:1', 'y:1']}}]}},"
        "{job_name: b, file_sd_configs: [{files: [t.json], refresh_interval: 20ms}]}"
    )

    async def steps(targets: TargetSet) -> None:
        for other in ("z:1", "z:2", "z:3"):
            path.write_text(listed(other).decode())
            await targets.configure(config(jobs, tmp_path))
            await until(lambda other=other: names(targets) == ["same", other])  # type: ignore[misc]  # bound now
        (plan,) = (plan for target, plan in targets.plans().items() if target.name == "same")
        assert plan.endpoint.url.host == "x"

    with capture_logs() as logged:
        through(steps)
    assert [(line["event"], line["targets"]) for line in logged if line["log_level"] == "warning"] == [
        ("targets are found twice, the first counts", ["a same"])
    ]


def test_metrics_of_discovery(tmp_path: Path) -> None:
    """What became of each address, and of two files one that failed."""
    (tmp_path / "good.json").write_text(listed("a:1", "b:1", "c/d", "x:1", "x:2").decode())
    (tmp_path / "bad.json").write_text("[")
    rule = "relabel_configs: [{source_labels: [__address__], regex: 'x.*', action: drop}]"
    files = "file_sd_configs: [{files: [good.json]}, {files: [bad.json], refresh_interval: 50ms}]"

    async def steps(targets: TargetSet) -> None:
        await targets.configure(config(f"{{job_name: j, {rule}, {files}}}", tmp_path))
        registry = CollectorRegistry(auto_describe=False)
        registry.register(DiscoveryCollector(targets, lambda time: time))

        def values() -> dict[str, float]:
            lines = generate_latest(registry).decode().splitlines()
            return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}

        await until(lambda: values().get('leakwatch_discovery_failures_total{job="j",mechanism="file"}', 0) > 1)
        found = values()
        states = ("kept", "dropped", "invalid")
        assert [found[f'leakwatch_discovered_targets{{job="j",state="{s}"}}'] for s in states] == [2, 2, 1]
        success = 'leakwatch_discovery_last_success_timestamp_seconds{job="j",mechanism="file"}'
        assert found[success] == 0
        (tmp_path / "bad.json").write_text("[]")
        await until(lambda: values()[success] > 0)

    through(steps)


def test_a_mechanism_that_breaks_is_named(tmp_path: Path) -> None:
    """A mistake of ours in one is logged with job and kind, counted, and the others go on."""
    (tmp_path / "t.json").write_text(listed("a:1").decode())

    async def steps(targets: TargetSet) -> None:
        jobs = config(
            "{job_name: j, file_sd_configs: [{files: [t.json]}]},"
            "{job_name: k, static_configs: [{targets: ['b:1']}]}",
            tmp_path,
        )
        (file,) = jobs.scrape_configs[0].file_sd_configs
        object.__setattr__(file, "refresh_interval", "soon")
        await targets.configure(jobs)
        await until(lambda: any(outlook.failures for outlook in targets.outlook()))
        assert names(targets) == ["a:1", "b:1"]

    with capture_logs() as logged:
        through(steps)
    first, _ = (line for line in logged if line["log_level"] == "error")
    assert (first["job"], first["mechanism"]) == ("j", "file")
    assert first["event"] == "internal error in discovery, the last targets stay"
