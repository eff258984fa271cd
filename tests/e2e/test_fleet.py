"""A fleet in several shards, on real parts: one is killed and comes back empty, then a fourth is added.

Six services, each a Go process with two listeners, are twelve targets. Prometheus scrapes all shards.
"""

import contextlib
import json
import re
import signal
import subprocess
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from leakwatch.config import parse
from leakwatch.discovery.shard import Shard
from tests.support.running import FAST, Daemon, Process, free_port
from tests.support.waiting import HANG, wait_for

Run = Callable[..., Daemon]
DOCS = Path(__file__).parents[2] / "docs" / "scaling.md"

SERVICES = [f"service-{number}" for number in (1, 3, 6, 8, 9, 12)]
"""Each of three and each of four shards has at least one of them."""
LISTENERS = 2
TARGETS = LISTENERS * len(SERVICES)
LEAKING = {"service-1", "service-6", "service-9", "service-12"}

CONFIG = f"""{FAST}
scrape_configs:
  - job_name: fleet
    file_sd_configs: [{{files: [targets.json]}}]
"""


@pytest.fixture
def fleet(programs: Path, tmp_path: Path) -> Iterator[Path]:
    """Run the services; give a configuration that watches them."""
    groups = []
    with contextlib.ExitStack() as running:
        for service in SERVICES:
            flags = ("-every", "20ms") if service in LEAKING else ()
            process = Process([programs / "fleet", "-listeners", str(LISTENERS), *flags])
            running.callback(process.stop)
            targets = [process.line().removeprefix("listening http://").strip() for _ in range(LISTENERS)]
            groups.append({"targets": targets, "labels": {"service": service}})
        (tmp_path / "targets.json").write_text(json.dumps(groups))
        (tmp_path / "leakwatch.yml").write_text(CONFIG)
        yield tmp_path / "leakwatch.yml"


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[tuple[httpx.Client, list[int]]]:
    """Run a Prometheus over four shards; give a client of its API, and the shards' ports."""
    ports, own = [free_port() for _ in range(4)], free_port()
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        "  - job_name: leakwatch\n"
        f"    static_configs: [{{targets: {json.dumps([f'127.0.0.1:{port}' for port in ports])}}}]\n"
    )
    flags = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"]
    process = Process(["prometheus", *flags, f"--web.listen-address=127.0.0.1:{own}"])
    wait_for(lambda: [line for line in process.said if "ready to receive" in line])
    with httpx.Client(base_url=f"http://127.0.0.1:{own}", trust_env=False, timeout=HANG) as client:
        yield client, ports
    process.stop()


def test_the_docs_match_the_program(leakwatch: Run, fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command and the configuration of docs/scaling.md are such that a daemon runs with them."""
    monkeypatch.setenv("LEAKWATCH_PASSWORD", "secret")
    text = DOCS.read_text()
    (command,) = re.findall(r"```sh\nleakwatch run (.*)\n```", text)
    daemon = leakwatch(*[str(fleet) if word == "leakwatch.yml" else word for word in command.split()])
    services = {labels["service"] for labels, _ in wait_for(lambda: daemon.series("leakwatch_up"))}
    assert services <= {service for service in SERVICES if Shard(0, 3).owns(service)}
    warm, relabel = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert parse(warm, "docs", fleet.parent).warm_from
    file = fleet.parent / "prometheus.yml"
    file.write_text(f"scrape_configs:\n- job_name: leakwatch\n{textwrap.indent(relabel, '  ')}")
    subprocess.run(["promtool", "check", "config", file], check=True, capture_output=True)


def ask(client: httpx.Client, query: str) -> list[dict[str, str]]:
    """Return the labels of each series of a query, now."""
    found = client.post("/api/v1/query", data={"query": query}).json()
    return [series["metric"] for series in found["data"]["result"]]


def test_shards_that_die_and_grow_lose_no_leak(
    fleet: Path, prometheus: tuple[httpx.Client, list[int]], leakwatch: Run
) -> None:
    """One shard scrapes each target; each leak is reported once, and at once after a restart of its shard."""
    client, ports = prometheus

    def shard(index: int, count: int) -> Daemon:
        where = ("--listen", f"127.0.0.1:{ports[index]}", "--warm-from", str(client.base_url))
        return leakwatch("--config", fleet, "--shard", f"{index}/{count}", *where)

    def told(shards: list[Daemon]) -> Counter[str]:
        """Return service -> number of leaks that the shards report for it."""
        found: Counter[str] = Counter()
        for daemon in shards:
            for labels, _ in daemon.leak_series():
                if labels["verdict"] == "leaking":
                    assert "await" in labels["function"]
                    found[labels["service"]] += 1
        return found

    def scraped(shards: list[Daemon]) -> Counter[str]:
        return Counter(labels["target"] for daemon in shards for labels, _ in daemon.series("leakwatch_up"))

    def scrapes(shards: list[Daemon]) -> dict[str, float]:
        counters = [series for daemon in shards for series in daemon.series("leakwatch_scrapes_total")]
        return {labels["target"]: n for labels, n in counters if labels["result"] == "success"}

    once = dict.fromkeys(LEAKING, 1)
    shards = [shard(index, 3) for index in range(3)]
    wait_for(lambda: told(shards) == once, show=lambda: told(shards))
    assert len(scraped(shards)) == TARGETS
    assert set(scraped(shards).values()) == {1}
    wait_for(lambda: len(ask(client, 'leakwatch_leak_verdict{verdict="leaking"} == 1')) == len(LEAKING))

    victim = next(i for i in range(3) if any(Shard(i, 3).owns(service) for service in LEAKING))
    shards[victim].popen.send_signal(signal.SIGKILL)
    shards[victim].stop()
    killed = time.time()
    shards[victim] = shard(victim, 3)
    wait_for(lambda: told(shards) == once, show=lambda: told(shards))
    first_seen = [value for _, value in shards[victim].series("leakwatch_leak_first_seen_timestamp_seconds")]
    assert first_seen
    assert max(first_seen) < killed
    assert "history filled" in {event["event"] for event in shards[victim].events()}

    for daemon in shards:
        daemon.stop()
    four = [shard(index, 4) for index in range(4)]
    wait_for(lambda: told(four) == once, show=lambda: told(four))
    wait_for(lambda: len(scraped(four)) == TARGETS)
    assert set(scraped(four).values()) == {1}
    assert four[3].series("leakwatch_up")  # the new one has work
    before = scrapes(four)
    wait_for(lambda: all(n >= before[target] + 12 for target, n in scrapes(four).items()))  # two blocks
    assert told(four) == once
    wait_for(lambda: len(ask(client, "count by (target) (leakwatch_up)")) == TARGETS)
    assert ask(client, "count by (target) (leakwatch_up) > 1") == []
    assert ask(client, 'count by (service) (leakwatch_leak_verdict{verdict="leaking"} == 1) > 1') == []
