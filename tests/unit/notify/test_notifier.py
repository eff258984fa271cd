"""The notifier: Alertmanagers that are configured, discovered, replaced and removed while alerts are queued."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from leakwatch.config import parse
from leakwatch.discovery.target_group import TargetGroup
from leakwatch.leaks.model import Leak
from leakwatch.notify.alertmanager import AlertmanagerClient
from leakwatch.notify.config import AlertingConfig, AlertmanagerConfig
from leakwatch.notify.links import AlertLinks
from leakwatch.notify.notifier import INTERVAL, PAUSE, Notifier, addresses
from tests.support.alertmanagers import ACCEPTED, Answer, Receiver, receiving
from tests.support.clock import START, ManualClock, until
from tests.support.leaking import leak

BASE = "http://leakwatch.example.com"
LINKS = AlertLinks(BASE)
BUSY: Answer = (503, "", b"")


def config(*addresses: str, more: str = "", outer: str = "") -> AlertingConfig:
    """Return a configuration with one entry of `alertmanagers` for all addresses."""
    text = (
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: {json.dumps(addresses)}}}]{more}}}]{outer}}}"
    )
    return parse(text, "f.yml", Path()).alerting


def functions(receiver: Receiver) -> list[str]:
    """Return the functions of the alerts that a receiver got."""
    return [alert["labels"]["function"] for posted in receiver.posted for alert in posted]


class Running:
    """A running notifier, its leaks, its log and its clock, which moves only by `advance`."""

    def __init__(self, log: list[Mapping[str, object]]) -> None:
        self.leaks: list[Leak] = []
        self.log = log
        self.clock = ManualClock()
        self.notifier = Notifier(self.clock, lambda: self.leaks, dict)

    async def evaluated(self) -> None:
        """Return when the notifier has evaluated the rules and waits for the next reason to."""
        await self.clock.sleeping(2)
        self.clock.advance(PAUSE)
        await self.clock.sleeping(1)

    def events(self) -> list[object]:
        """Return the logged events so far."""
        return [line["event"] for line in self.log]

    async def client(self, receiver: Receiver) -> AlertmanagerClient:
        """Return the client of a receiver when the receiver was discovered."""
        name = f"http://{receiver.address}/api/v2/alerts"
        await until(lambda: name in self.notifier.clients)
        return self.notifier.clients[name]


def play(steps: Callable[[Running], Awaitable[None]]) -> list[object]:
    """Run a notifier and `steps`; return the events it logged."""

    async def run(log: list[Mapping[str, object]]) -> None:
        running = Running(log)
        running.notifier.start()
        await running.evaluated()
        await steps(running)
        await running.notifier.stop()

    with capture_logs() as lines:
        asyncio.run(run(cast("list[Mapping[str, object]]", lines)))
    return [line["event"] for line in lines]


def test_a_new_alert_is_sent_at_once_to_every_alertmanager() -> None:
    """Every Alertmanager of every entry gets the alert when a verdict changes, not at the next interval."""
    with receiving() as one, receiving() as two:

        async def steps(running: Running) -> None:
            settings = config(one.address, two.address, outer=", external_labels: {cluster: east}")
            running.notifier.configure(settings, LINKS)
            await running.evaluated()
            running.leaks.append(leak())
            running.notifier.wake()
            await until(lambda: one.posted and two.posted)
            assert running.clock.now < START + INTERVAL

        play(steps)
        assert one.posted == two.posted
        assert one.posted[0][0]["labels"]["cluster"] == "east"
        assert one.posted[0][0]["generatorURL"].startswith(f"{BASE}/leaks/shop/")


def test_a_firing_alert_is_sent_again_at_an_interval() -> None:
    """Without a change of a verdict the rules are evaluated every 15 seconds, or `resend_delay` if shorter."""
    with receiving() as receiver:

        async def steps(running: Running) -> None:
            running.notifier.configure(config(receiver.address, outer=", resend_delay: 10s"), LINKS)
            await running.evaluated()
            running.leaks.append(leak())
            queue = (await running.client(receiver)).queue
            for _ in range(3):
                sent = queue.sent
                running.clock.advance(INTERVAL)
                await until(partial(lambda before: queue.sent == before + 1, sent))
                await running.evaluated()

        play(steps)
        assert functions(receiver) == [leak().stack.blamed.function] * 3


def test_a_reload_keeps_queued_alerts() -> None:
    """An Alertmanager that stays keeps its queue with new settings; a new one gets all firing alerts."""
    with receiving(BUSY) as stays, receiving() as removed, receiving() as added:

        async def steps(running: Running) -> None:
            notifier = running.notifier
            notifier.configure(config(stays.address, removed.address), LINKS)
            running.leaks += [leak(function="main.a"), leak(function="main.b")]
            notifier.wake()
            old, other = await running.client(stays), await running.client(removed)
            await until(lambda: other.queue.sent == old.queue.failed == 2)
            running.leaks.clear()
            assert len(old.queue) == 2
            notifier.configure(config(added.address, stays.address, more=", timeout: 3m"), LINKS)
            other = await running.client(added)
            await until(lambda: len(notifier.clients) == 2 and other.queue.sent == 2)
            new = await running.client(stays)
            assert (new.queue is old.queue, new is old, new.config.timeout) == (True, False, 180.0)
            stays.posted.clear()
            stays.answer = lambda _: ACCEPTED
            running.clock.advance(INTERVAL)
            await until(lambda: len(new.queue) == 0)

        events = play(steps)
        assert functions(added) == functions(stays) == ["main.a", "main.b"]
        assert functions(removed) == ["main.a", "main.b"]
        assert events.count("Alertmanager removed") == 1


async def refreshed(running: Running, condition: Callable[[], object]) -> None:
    """Wait until a condition is true, while refresh intervals of 20 ms pass."""

    def after_an_interval() -> object:
        running.clock.advance(0.02)
        return condition()

    await until(after_an_interval)


def test_alertmanagers_from_a_file(tmp_path: Path) -> None:
    """Alertmanagers are discovered as targets are; an unreadable file keeps the last ones."""
    file = tmp_path / "am.json"
    with receiving() as one, receiving() as two:
        file.write_text(json.dumps([{"targets": [one.address], "labels": {"__alerts_path__": "/x"}}]))

        async def steps(running: Running) -> None:
            text = "alerting: {alertmanagers: [{file_sd_configs: [{files: [am.json], refresh_interval: 20ms}]}]}"
            running.notifier.configure(parse(text, "f.yml", tmp_path).alerting, LINKS)
            running.leaks.append(leak())
            running.notifier.wake()
            await until(lambda: one.posted)
            file.write_text('[{"targets')
            await refreshed(running, lambda: any("targets file" in str(event) for event in running.events()))
            assert len(running.notifier.clients) == 1
            file.write_text(json.dumps([{"targets": [one.address, two.address]}]))
            await refreshed(running, lambda: two.posted)

        play(steps)
        assert one.paths[0] == "/x"
        assert two.paths == ["/api/v2/alerts"]


def test_an_empty_configuration_removes_all_alertmanagers() -> None:
    """Alerts are evaluated and not sent."""
    with receiving() as receiver:

        async def steps(running: Running) -> None:
            running.leaks.append(leak())
            running.notifier.configure(config(receiver.address), LINKS)
            await until(lambda: receiver.posted)
            await running.evaluated()
            running.notifier.configure(AlertingConfig(), LINKS)
            running.leaks.append(leak(function="main.later"))
            running.notifier.wake()
            await running.evaluated()
            assert running.notifier.clients == {}

        play(steps)
        assert functions(receiver) == [leak().stack.blamed.function]


def test_an_internal_error_does_not_end_the_evaluation() -> None:
    """The error is logged, and the next evaluation sends the alerts."""
    with receiving() as receiver:

        async def steps(running: Running) -> None:
            running.notifier.configure(config(receiver.address), LINKS)
            running.leaks.append("not a leak")  # type: ignore[arg-type]  # on purpose
            running.notifier.wake()
            await until(lambda: running.events().count("internal error while evaluating alert rules") == 1)
            running.leaks[:] = [leak()]
            await running.evaluated()
            running.notifier.wake()
            await until(lambda: receiver.posted)

        play(steps)


@pytest.mark.parametrize(
    ("more", "labels", "url"),
    [
        ({}, {}, "http://am:9093/api/v2/alerts"),
        ({"path_prefix": "alerts/"}, {}, "http://am:9093/alerts/api/v2/alerts"),
        ({"path_prefix": "/a/b", "scheme": "https"}, {}, "https://am:9093/a/b/api/v2/alerts"),
        ({}, {"__scheme__": "https", "__alerts_path__": "/push"}, "https://am:9093/push"),
    ],
)
def test_the_address_has_scheme_and_path(more: dict[str, str], labels: dict[str, str], url: str) -> None:
    """Labels of a target group override the configured scheme and path."""
    settings = AlertmanagerConfig.model_validate({"static_configs": [{"targets": ["am:9093"]}], **more})
    groups = [TargetGroup(targets=("am:9093",), labels=labels)]
    assert [address.url for address in addresses(groups, settings)] == [url]


def test_invalid_addresses_are_skipped() -> None:
    """An address without a valid URL is logged; each unix socket is an address."""
    settings = AlertmanagerConfig.model_validate({"static_configs": [{"targets": ["am:9093"]}]})
    groups = [
        TargetGroup(targets=("xn--a:2", "unix:///run/a.sock", "unix:///run/b.sock")),
        TargetGroup(targets=("b:1",), labels={"__scheme__": "ftp"}),
    ]
    with capture_logs() as lines:
        assert [address.name for address in addresses(groups, settings)] == [
            "unix:///run/a.sock",
            "unix:///run/b.sock",
        ]
    assert [line["address"] for line in lines] == ["xn--a:2", "b:1"]
