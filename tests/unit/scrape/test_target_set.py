"""The target set over time: several discoverers, failures, limits and reloads."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from leakwatch.config import parse
from leakwatch.discovery.metrics import DiscoveryCollector
from leakwatch.scrape.config import ScrapeJob
from leakwatch.scrape.target_set import TargetSet
from tests.support.answering import answering, http
from tests.support.running import until

JSON = "Content-Type: application/json"


def listed(*addresses: str) -> bytes:
    """Return the response of an http_sd server."""
    return json.dumps([{"targets": addresses}]).encode()


def names(targets: TargetSet) -> list[str]:
    """Return the names of all targets."""
    return sorted(target.name for target in targets.targets)


def through(steps: Callable[[TargetSet], Awaitable[None]]) -> None:
    """Run `steps` with a target set, which is stopped in the end."""

    async def run() -> None:
        targets = TargetSet(lambda: None)
        try:
            await steps(targets)
        finally:
            targets.stop()

    asyncio.run(run())


def jobs(text: str, folder: Path = Path()) -> list[ScrapeJob]:
    """Return the jobs of a configuration."""
    return parse(f"scrape_configs: [{text}]", "c.yml", folder).jobs()


def test_a_failing_server_does_not_hold_up_the_rest() -> None:
    """A discoverer that fails is not waited for; the targets of the one it replaces stay until it succeeds."""
    with answering(http(listed("a:1"), "200 OK", JSON)) as server:
        http_sd = "http_sd_configs: [{{url: {}, refresh_interval: {}}}]"
        job = "{{job_name: j, static_configs: [{{targets: ['s:1']}}], " + http_sd + "}}"

        async def steps(targets: TargetSet) -> None:
            await targets.configure(jobs(job.format(server.url, "50ms")))
            assert targets.waiting == (2, 2)
            await until(lambda: names(targets) == ["a:1", "s:1"])
            await until(lambda: targets.waiting == (0, 2))
            server.answer = http(b"", "500 Oops")
            await targets.configure(jobs(job.format(server.url, "60ms")))
            assert names(targets) == ["a:1", "s:1"]
            await until(lambda: targets.waiting == (0, 2))
            server.answer = http(listed("b:1"), "200 OK", JSON)
            await until(lambda: names(targets) == ["b:1", "s:1"])
            await targets.configure(jobs("{job_name: j, static_configs: [{targets: ['s:1']}]}"))
            assert names(targets) == ["s:1"]

        with capture_logs() as logged:
            through(steps)
    assert [(line["job"], line["mechanism"]) for line in logged if line["log_level"] == "error"] == [("j", "http")]


def test_more_targets_than_the_limit() -> None:
    """The previous targets stay, which is logged once, until the limit is kept again."""
    with answering(http(listed("a:1", "a:2"), "200 OK", JSON)) as server:
        rules = "relabel_configs: [{source_labels: [__address__], regex: 'x.*', action: drop}]"
        sd = f"http_sd_configs: [{{url: '{server.url}', refresh_interval: 50ms}}]"

        async def steps(targets: TargetSet) -> None:
            await targets.configure(jobs(f"{{job_name: j, target_limit: 2, {rules}, {sd}}}"))
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


def test_duplicate_targets(tmp_path: Path) -> None:
    """Of two configurations of the same target the first one applies; duplicates are logged once."""
    path = tmp_path / "t.json"
    path.write_text(listed("z:1").decode())
    rule = "relabel_configs: [{target_label: target, replacement: same}]"
    text = (
        f"{{job_name: a, {rule}, static_configs: [{{targets: ['x:1', 'y:1']}}]}},"
        "{job_name: b, file_sd_configs: [{files: [t.json], refresh_interval: 20ms}]}"
    )

    async def steps(targets: TargetSet) -> None:
        for other in ("z:1", "z:2", "z:3"):
            path.write_text(listed(other).decode())
            await targets.configure(jobs(text, tmp_path))
            await until(lambda other=other: names(targets) == ["same", other])  # type: ignore[misc]  # bound now
        (host,) = (found.endpoint.url.host for target, found in targets.targets.items() if target.name == "same")
        assert host == "x"

    with capture_logs() as logged:
        through(steps)
    assert [(line["event"], line["targets"]) for line in logged if line["log_level"] == "warning"] == [
        ("duplicate targets, the first one applies", ["a same"])
    ]


def test_targets_of_an_old_configuration_are_not_reported() -> None:
    """If the configuration changes while targets are built, only the targets of the new one are reported."""
    addresses = [f"10.0.{i // 256}.{i % 256}:6060" for i in range(3_000)]
    text = f"job_name: a, static_configs: [{{targets: {json.dumps(addresses)}}}]"
    before, changed = (
        jobs(f"{{{text}}}"),
        jobs(f"{{{text}, relabel_configs: [{{target_label: x, replacement: y}}]}}"),
    )
    after = jobs("{job_name: b, static_configs: [{targets: ['x:1']}]}")

    async def run() -> list[int]:
        reported: list[int] = []
        targets = TargetSet(lambda: reported.append(len(targets.targets)))
        await targets.configure(before)
        await until(lambda: reported[-1] == len(addresses))
        reported.clear()
        await asyncio.gather(targets.configure(changed), targets.configure(after))
        await until(lambda: reported[-1] == 1)
        targets.stop()
        return reported

    assert len(addresses) not in asyncio.run(run())


def test_metrics_of_discovery(tmp_path: Path) -> None:
    """The metrics have the number of kept, dropped and invalid addresses, and the failures per discoverer."""
    (tmp_path / "good.json").write_text(listed("a:1", "b:1", "c/d", "x:1", "x:2").decode())
    (tmp_path / "bad.json").write_text("[")
    rule = "relabel_configs: [{source_labels: [__address__], regex: 'x.*', action: drop}]"
    files = "file_sd_configs: [{files: [good.json]}, {files: [bad.json], refresh_interval: 50ms}]"

    async def steps(targets: TargetSet) -> None:
        await targets.configure(jobs(f"{{job_name: j, {rule}, {files}}}", tmp_path))
        registry = CollectorRegistry(auto_describe=False)
        registry.register(DiscoveryCollector(targets.counts, targets.discoverers, lambda time: time))

        def values() -> dict[str, float]:
            lines = generate_latest(registry).decode().splitlines()
            return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}

        failures = 'leakwatch_discovery_failures_total{mechanism="file",scrape_job="j"}'
        await until(lambda: values().get(failures, 0) > 1)
        metrics = values()
        states = ("kept", "dropped", "invalid")
        numbers = [metrics[f'leakwatch_discovered_targets{{scrape_job="j",state="{s}"}}'] for s in states]
        assert numbers == [2, 2, 1]
        success = 'leakwatch_discovery_last_success_timestamp_seconds{mechanism="file",scrape_job="j"}'
        assert metrics[success] == 0
        (tmp_path / "bad.json").write_text("[]")
        await until(lambda: values()[success] > 0)

    through(steps)


def test_an_internal_error_of_a_discoverer(tmp_path: Path) -> None:
    """An internal error is logged with job and mechanism, and counted; the other discoverers continue."""
    (tmp_path / "t.json").write_text(listed("a:1").decode())

    async def steps(targets: TargetSet) -> None:
        broken = jobs(
            "{job_name: j, file_sd_configs: [{files: [t.json]}]},"
            "{job_name: k, static_configs: [{targets: ['b:1']}]}",
            tmp_path,
        )
        (file,) = broken[0].discovery.file_sd_configs
        object.__setattr__(file, "refresh_interval", "soon")
        await targets.configure(broken)
        await until(lambda: any(status.failures for status in targets.discoverers()))
        await until(lambda: names(targets) == ["a:1", "b:1"])

    with capture_logs() as logged:
        through(steps)
    first, _ = (line for line in logged if line["log_level"] == "error")
    assert (first["job"], first["mechanism"]) == ("j", "file")
    assert first["exc_info"]
