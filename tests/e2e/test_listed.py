"""The daemon finds real Go programs through a server of http_sd, and keeps them when that goes away."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.support.answering import answering, http
from tests.support.running import FAST, Daemon
from tests.support.waiting import wait_for

Start = Callable[..., str]
Run = Callable[..., Daemon]
JSON = "Content-Type: application/json"


def test_targets_come_stay_and_go_with_a_list(start: Start, leakwatch: Run, tmp_path: Path) -> None:
    """Rules set service and target or drop a target; a failed request changes no target and is counted."""
    one, two = (start("healthy").removeprefix("http://") for _ in range(2))
    host, _, port = one.partition(":")

    def listed(*addresses: str) -> bytes:
        groups = [{"targets": [a], "labels": {"__meta_pod": f"Shop-{i}"}} for i, a in enumerate(addresses)]
        return json.dumps(groups).encode()

    with answering(http(listed(host, two, "127.0.0.1:1"), "200 OK", JSON)) as server:
        rules = [
            {"source_labels": ["__address__"], "regex": "127.0.0.1:1", "action": "drop"},
            {
                "source_labels": ["__address__"],
                "regex": "([^:]+)",
                "replacement": f"$1:{port}",
                "target_label": "__address__",
            },
            {"source_labels": ["__meta_pod"], "target_label": "target", "action": "lowercase"},
            {"source_labels": ["target"], "regex": "(.*)-\\d", "target_label": "job"},
        ]
        job = {
            "job_name": "listed",
            "http_sd_configs": [{"url": f"{server.url}/?token=hunter2", "refresh_interval": "100ms"}],
            "relabel_configs": rules,
        }
        path = tmp_path / "c.yml"
        path.write_text(f"{FAST}scrape_configs: [{json.dumps(job)}]\n")
        daemon = leakwatch("--config", path)

        def targets() -> set[tuple[str, str]]:
            return {(labels["service"], labels["target"]) for labels, _ in daemon.series("leakwatch_up")}

        def failures() -> float:
            return daemon.series("leakwatch_discovery_failures_total")[0][1]

        def up() -> set[tuple[str, str]]:
            return {
                (labels["service"], labels["target"]) for labels, value in daemon.series("leakwatch_up") if value
            }

        both = {("shop", "shop-0"), ("shop", "shop-1")}
        wait_for(lambda: up() == both, show=daemon.events)
        states = {labels["state"]: n for labels, n in daemon.series("leakwatch_discovered_targets")}
        assert states == {"kept": 2, "dropped": 1, "invalid": 0}
        assert daemon.get("/-/ready").status_code == 200

        server.answer = http(b"", "500 Oops")
        wait_for(lambda: failures() > 2)
        assert daemon.post("/-/reload").status_code == 200
        before = failures()
        wait_for(lambda: failures() > before + 1)
        assert targets() == both
        lines = [event for event in daemon.events() if event["event"].startswith("discovery failed")]
        assert [(line["job"], line["mechanism"], line["kept"]) for line in lines] == [("listed", "http", 3)]
        assert "hunter2" not in "".join(daemon.said)

        server.answer = http(listed(host), "200 OK", JSON)
        wait_for(lambda: up() == {("shop", "shop-0")})
