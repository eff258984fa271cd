"""Alerts that leakwatch sends to a real Alertmanager, and the notifications that follow."""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leakwatch.discovery.target_group import TargetGroup
from leakwatch.http.client import Tls
from leakwatch.leaks.model import Leak
from leakwatch.model import Verdict
from leakwatch.notify.alertmanager import AlertmanagerClient
from leakwatch.notify.config import AlertmanagerConfig
from leakwatch.notify.notifier import addresses
from leakwatch.notify.queue import AlertQueue
from tests.support.alertmanagers import Alertmanager, Receiver, Reopened
from tests.support.clock import ManualClock
from tests.support.leaking import START, Play, leak
from tests.support.prometheus import prometheus
from tests.support.running import FAST, Daemon, free_port, get
from tests.support.waiting import HANG, wait_for

Run = Callable[..., Daemon]
Start = Callable[..., str]
Begin = Callable[..., Alertmanager]


@pytest.fixture
def begin(tmp_path: Path, webhook: Receiver) -> Iterator[Begin]:
    """Start real Alertmanagers that notify the webhook; they end with the test."""
    started: list[Alertmanager] = []

    def run(**settings: Any) -> Alertmanager:
        started.append(Alertmanager(tmp_path / f"am{len(started)}", f"http://{webhook.address}/", **settings))
        return started[-1]

    yield run
    for one in started:
        one.stop()


def notified(webhook: Receiver) -> list[tuple[str, list[str]]]:
    """Return the notifications: the status of a group, and the functions of its alerts with that status."""
    return [
        (
            posted["status"],
            sorted(a["labels"]["function"] for a in posted["alerts"] if a["status"] == posted["status"]),
        )
        for posted in webhook.posted
    ]


class Pushing:
    """A client of a real Alertmanager; the client's clock is virtual, and Alertmanager's is real."""

    def __init__(self, address: str, resend: float = 60.0) -> None:
        self.play = Play(resend)
        self.clock = ManualClock()
        config = AlertmanagerConfig.model_validate({"static_configs": [{"targets": [address]}]})
        self.client = AlertmanagerClient(
            next(addresses([TargetGroup(targets=(address,))], config)),
            config,
            Reopened(Tls(config.tls_config, secure=False), timeout=HANG),
            AlertQueue(),
            self.clock,
        )

    def after(self, seconds: float, *leaks: Leak) -> None:
        """Advance the clock and send the alerts that are due."""
        self.clock.advance(seconds)
        self.clock.wall_offset = time.time() - self.clock.now

        async def run() -> None:
            self.client.enqueue(self.play.at(self.clock.now - START, leaks))
            await self.client.send_queued()
            await self.client.close()

        asyncio.run(run())


def test_firing_grouped_sent_again_and_resolved(begin: Begin, webhook: Receiver) -> None:
    """Two leaks of a service are one notification; sent again they are none; recovered they are resolved."""
    alertmanager = begin()
    pushing = Pushing(alertmanager.address)
    both = [leak(function="main.a"), leak(function="main.b")]
    pushing.after(0, *both)
    wait_for(lambda: notified(webhook) == [("firing", ["main.a", "main.b"])])
    (first, _) = webhook.posted[0]["alerts"]
    assert first["annotations"]["stack"].endswith("main.main\n\t/src/main.go:7")
    assert first["generatorURL"].startswith("https://leakwatch.example.com/leaks/shop/")
    for _ in range(5):
        pushing.after(60, *both)
    assert len(alertmanager.alerts()) == 2
    for _ in range(8):
        pushing.after(60, leak(Verdict.RECOVERED, function="main.a"), leak(Verdict.RECOVERED, function="main.b"))
    wait_for(lambda: len(webhook.posted) == 2)
    assert notified(webhook)[1] == ("resolved", ["main.a", "main.b"])
    assert alertmanager.alerts() == []
    for _ in range(15):
        pushing.after(60)  # resolved alerts are sent again, which does not notify again
    pushing.after(60, leak(function="main.c"))
    wait_for(lambda: len(webhook.posted) > 2)
    assert notified(webhook)[2:] == [("firing", ["main.c"])]
    assert pushing.client.queue.failed == 0


def test_a_restart_and_an_outage_of_ten_minutes(begin: Begin, webhook: Receiver) -> None:
    """Alertmanager loses its alerts at a restart and misses changes while it is down; then it gets all alerts."""
    alertmanager = begin()
    pushing = Pushing(alertmanager.address)
    pushing.after(0, leak(function="main.a"), leak(function="main.b"))
    wait_for(lambda: len(alertmanager.alerts()) == 2)
    wait_for(lambda: webhook.posted)
    alertmanager.stop()
    # It goes away; meanwhile a second leak begins and the first one ends.
    for second in range(0, 600, 15):
        b = leak(Verdict.RECOVERED if second > 100 else Verdict.LEAKING, function="main.b")
        pushing.after(15, leak(function="main.a"), b, leak(function="main.c"))
    queue = pushing.client.queue
    assert (queue.sent, len(queue)) == (2, 3)
    assert 20 < pushing.client.requests < 45
    again = begin(port=alertmanager.port)
    pushing.after(30, leak(function="main.a"), leak(function="main.c"))
    assert len(queue) == 0
    assert sorted(alert["labels"]["function"] for alert in again.alerts()) == ["main.a", "main.c"]
    wait_for(lambda: notified(webhook)[-1] == ("firing", ["main.a", "main.c"]))


LEAKING = """
scrape_configs: [{{job_name: pipeline, static_configs: [{{targets: ["{target}"]}}]}}]
alerting:
  resend_delay: 1s
  alertmanagers: [{{static_configs: [{{targets: {alertmanagers}}}]}}]
"""


def test_a_cluster_of_two_notifies_once(
    start: Start, begin: Begin, webhook: Receiver, leakwatch: Run, tmp_path: Path
) -> None:
    """Both Alertmanagers of a cluster get the alert of a real leak, and the cluster notifies once."""
    ports = [free_port(), free_port()]
    cluster = [
        begin(
            flags=[
                f"--cluster.listen-address=127.0.0.1:{ports[i]}",
                f"--cluster.peer=127.0.0.1:{ports[1 - i]}",
                "--cluster.peer-timeout=3s",
                "--cluster.settle-timeout=5s",
            ]
        )
        for i in range(2)
    ]
    target = start("w5pipeline").removeprefix("http://")
    addresses = [one.address for one in cluster]
    (tmp_path / "c.yml").write_text(FAST + LEAKING.format(target=target, alertmanagers=json.dumps(addresses)))
    daemon = leakwatch("--config", tmp_path / "c.yml")
    wait_for(lambda: all(leaks(one) for one in cluster))
    assert leaks(cluster[0]) == leaks(cluster[1])
    wait_for(lambda: webhook.posted)
    wait_for(lambda: all(len(peers(one)) == 2 for one in cluster))
    # Each time, the second peer waits three seconds for the notification of the first.
    wait_for(lambda: min(sent for _, sent in daemon.series("leakwatch_notifications_sent_total")) > 8)
    assert notified(webhook) == [("firing", ["main.FilterService"])]


def test_both_ways_at_once_give_one_alert(
    start: Start, begin: Begin, webhook: Receiver, leakwatch: Run, tmp_path: Path
) -> None:
    """Prometheus with the shipped rules and leakwatch send one leak to the same Alertmanager as one alert."""
    alertmanager = begin()
    target = start("w5pipeline").removeprefix("http://")
    configured = LEAKING.format(target=target, alertmanagers=json.dumps([alertmanager.address]))
    (tmp_path / "c.yml").write_text(FAST + configured)
    daemon = leakwatch("--config", tmp_path / "c.yml")
    port = free_port()
    alerting = f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager.address}']}}]}}]}}"
    seen: set[str] = set()

    def both() -> bool:
        found = leaks(alertmanager)
        assert len(found) <= 1, found
        seen.update(alert["generatorURL"].partition("/leaks/")[0].partition("/graph")[0] for alert in found)
        return seen == {daemon.url, f"http://127.0.0.1:{port}"}

    flags = ("--rules.alert.resend-delay=1s", f"--web.external-url=http://127.0.0.1:{port}/")
    with prometheus(tmp_path, port, daemon.url, alerting, *flags):
        wait_for(both, show=lambda: (seen, daemon.leaks()))
    assert notified(webhook) == [("firing", ["main.FilterService"])]


def test_a_reload_changes_the_alertmanagers(begin: Begin, leakwatch: Run, tmp_path: Path) -> None:
    """SIGHUP applies another list of Alertmanagers; an invalid file keeps the current list."""
    address, file = begin().address, tmp_path / "c.yml"
    jobs = "scrape_configs: [{job_name: j, static_configs: [{targets: ['127.0.0.1:1']}]}]\n"

    def discovered() -> float:
        return daemon.series("leakwatch_alertmanagers_discovered")[0][1]

    def reload(alertmanagers: str) -> None:
        file.write_text(f"{jobs}alerting: {{alertmanagers: {alertmanagers}}}\n")
        daemon.popen.send_signal(signal.SIGHUP)

    file.write_text(jobs)
    daemon = leakwatch("--config", file)
    assert discovered() == 0
    reload(f"[{{static_configs: [{{targets: ['{address}']}}]}}]")
    wait_for(lambda: discovered() == 1)
    reload("[{scheme: gopher}]")
    wait_for(lambda: any(e["event"].startswith("reload failed") for e in daemon.events()))
    assert discovered() == 1
    reload("[]")
    wait_for(lambda: discovered() == 0)
    assert daemon.stop() == 0


def leaks(alertmanager: Alertmanager) -> list[dict[str, Any]]:
    """Return the alerts GoroutineLeak that an Alertmanager knows, without what differs from one to the other."""
    return [
        {name: alert[name] for name in ("labels", "generatorURL")}
        for alert in alertmanager.alerts()
        if alert["labels"]["alertname"] == "GoroutineLeak"
    ]


def peers(alertmanager: Alertmanager) -> list[Any]:
    """Return the members of the cluster that an Alertmanager sees."""
    status = get(f"http://{alertmanager.address}/api/v2/status").json()
    return list(status["cluster"].get("peers") or ())
