"""Labels of targets in metrics and alerts, with a real Prometheus that adds labels of the same names."""

from collections.abc import Callable
from pathlib import Path

import httpx

from tests.support.prometheus import prometheus
from tests.support.running import FAST, Daemon, free_port
from tests.support.waiting import wait_for

CONFIG = """
scrape_configs:
  - job_name: shop
    static_configs:
      - {{targets: ["{one}"], labels: {{namespace: eu, team: one, owner: team-shop}}}}
      - {{targets: ["{two}"], labels: {{namespace: eu, team: two, owner: team-shop}}}}
metrics: {{target_labels: [namespace, team]}}
"""
OF_LEAKWATCH = "namespace: monitoring, team: sre"
"""The labels that Prometheus adds to its scrape of leakwatch, as a ServiceMonitor adds `namespace`."""


def test_labels_of_targets(start: Callable[..., str], leakwatch: Callable[..., Daemon], tmp_path: Path) -> None:
    """A leak has the label and the owner that both targets have, and no label in which they differ.

    Prometheus's own labels do not replace them. The alert of the rules has the labels and links of the pushed one.
    """
    one, two = (start("w5pipeline").removeprefix("http://") for _ in range(2))
    (tmp_path / "c.yml").write_text(FAST + CONFIG.format(one=one, two=two))
    daemon = leakwatch("--config", tmp_path / "c.yml")
    port = free_port()
    with prometheus(tmp_path, port, daemon.url, labels=OF_LEAKWATCH) as client:

        def query(text: str) -> list[dict[str, str]]:
            try:
                answer = client.get("/api/v1/query", params={"query": text}).json()["data"]["result"]
            except (httpx.HTTPError, ValueError):  # while it starts
                return []
            return [series["metric"] for series in answer]

        fired = 'ALERTS{alertname="GoroutineLeak",alertstate="firing"}'
        wait_for(lambda: query(fired), show=daemon.leaks)
        alert = query(fired)[0]
        annotations = client.get("/api/v1/alerts").json()["data"]["alerts"][0]["annotations"]
        ups = {labels["target"]: (labels["namespace"], labels["team"]) for labels in query("leakwatch_up")}
        (leak,) = daemon.get("/api/v1/leaks").json()["leaks"]
        pushed = daemon.get(f"/api/v1/leaks/{leak['id']}").json()["alert"]
    assert ups == {one: ("eu", "one"), two: ("eu", "two")}
    assert (alert["namespace"], alert["owner"], "team" in alert) == ("eu", "team-shop", False)
    varying = ("__name__", "alertstate", "severity")  # a ticket may become a page meanwhile
    labels = [
        {key: value for key, value in each.items() if key not in varying} for each in (alert, pushed["labels"])
    ]
    assert labels[0] == labels[1]
    for name in ("page_url", "runbook_url"):
        assert annotations[name] == pushed["annotations"][name]
