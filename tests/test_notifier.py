"""Who is told: Alertmanagers that are configured, found, replaced and lost, while alerts are due."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from alertmanagers import TAKEN, Answer, Receiver, receiving
from leaking import leak
from structlog.testing import capture_logs

from leakwatch.clock import Clock
from leakwatch.config import parse
from leakwatch.discovery.target_group import TargetGroup
from leakwatch.leaks.model import Leak
from leakwatch.notify.config import AlertingConfig, AlertmanagerConfig
from leakwatch.notify.notifier import Notifier, addresses

BASE = "http://leakwatch.example.com"
BUSY: Answer = (503, "", b"")


def config(*addresses: str, more: str = "", outer: str = "") -> AlertingConfig:
    """Return a configuration with one entry of `alertmanagers` for all addresses."""
    text = (
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: {json.dumps(addresses)}}}]{more}}}]{outer}}}"
    )
    return parse(text, "f.yml", Path()).alerting


def told(receiver: Receiver) -> list[str]:
    """Return the functions that a receiver was told of."""
    return [alert["labels"]["function"] for posted in receiver.posted for alert in posted]


async def until(look: Callable[[], object]) -> None:
    """Wait until `look` is true."""
    async with asyncio.timeout(20):
        while not look():  # noqa: ASYNC110  the other side is a thread
            await asyncio.sleep(0.02)


def play(steps: Callable[[Notifier, list[Leak]], Awaitable[None]]) -> list[str]:
    """Run a notifier over a list of leaks through `steps`; return the events it logged."""

    async def run() -> None:
        leaks: list[Leak] = []
        notifier = Notifier(Clock(), lambda: leaks, dict)
        notifier.start()
        await steps(notifier, leaks)
        await notifier.stop()

    with capture_logs() as logged:
        asyncio.run(run())
    return [line["event"] for line in logged]


def test_every_alertmanager_is_told_at_once() -> None:
    """All of all configurations get every alert when a verdict changes, not only at the next turn."""
    with receiving() as one, receiving() as two:

        async def steps(notifier: Notifier, leaks: list[Leak]) -> None:
            notifier.configure(config(one.address, two.address, outer=", external_labels: {cluster: east}"), BASE)
            await asyncio.sleep(0.7)  # it has looked, and the next turn is a quarter of a minute away
            leaks.append(leak())
            notifier.wake()
            await until(lambda: one.posted and two.posted)

        play(steps)
        assert one.posted == two.posted
        assert one.posted[0][0]["labels"]["cluster"] == "east"
        assert one.posted[0][0]["generatorURL"].startswith(f"{BASE}/leaks/shop/")


def test_a_reload_keeps_what_is_due() -> None:
    """What stays keeps its queue, with new settings too; what is gone is told no more; what is new hears all."""
    with receiving(BUSY) as stays, receiving() as goes, receiving() as comes:

        async def steps(notifier: Notifier, leaks: list[Leak]) -> None:
            notifier.configure(config(stays.address, goes.address), BASE)
            leaks += [leak(function="main.a"), leak(function="main.b")]
            await until(lambda: stays.posted and goes.posted)
            leaks.clear()
            (old,) = (sender for sender in notifier.senders.values() if stays.address in sender.address.url)
            assert len(old.outbox) == 2
            notifier.configure(config(comes.address, stays.address, more=", timeout: 3s"), BASE)
            await until(lambda: comes.posted and len(notifier.senders) == 2)
            (new,) = (sender for sender in notifier.senders.values() if stays.address in sender.address.url)
            assert (new.outbox is old.outbox, new is old, new.config.timeout) == (True, False, 3.0)
            stays.posted.clear()
            stays.answer = lambda _: TAKEN
            await until(lambda: len(new.outbox) == 0)

        logged = play(steps)
        assert told(comes) == told(stays) == ["main.a", "main.b"]
        assert told(goes) == ["main.a", "main.b"]
        assert logged.count("Alertmanager is gone") == 1


def test_alertmanagers_from_a_file(tmp_path: Path) -> None:
    """They are found as targets are; a file that becomes unreadable keeps those that were found."""
    file = tmp_path / "am.json"
    with receiving() as one, receiving() as two:
        file.write_text(json.dumps([{"targets": [one.address], "labels": {"__alerts_path__": "/x"}}]))

        async def steps(notifier: Notifier, leaks: list[Leak]) -> None:
            text = "alerting: {alertmanagers: [{file_sd_configs: [{files: [am.json], refresh_interval: 20ms}]}]}"
            notifier.configure(parse(text, "f.yml", tmp_path).alerting, BASE)
            leaks.append(leak())
            await until(lambda: one.posted)
            file.write_text('[{"targets')
            await asyncio.sleep(0.1)
            assert len(notifier.senders) == 1
            file.write_text(json.dumps([{"targets": [one.address, two.address]}]))
            await until(lambda: two.posted)

        play(steps)
        assert one.paths[0] == "/x"
        assert two.paths == ["/api/v2/alerts"]


def test_no_alertmanager_any_more() -> None:
    """An empty configuration tells nobody."""
    with receiving() as one:

        async def steps(notifier: Notifier, leaks: list[Leak]) -> None:
            leaks.append(leak())
            notifier.configure(config(one.address), BASE)
            await until(lambda: one.posted)
            notifier.configure(AlertingConfig(), BASE)
            leaks.append(leak(function="main.later"))
            notifier.wake()
            await asyncio.sleep(0.7)
            assert notifier.senders == {}

        play(steps)
        assert told(one) == [leak().stack.blamed.function]


def test_a_mistake_of_ours_is_not_the_end() -> None:
    """A leak that breaks the look is said, and the next look tells what can be told."""
    with receiving() as one:

        async def steps(notifier: Notifier, leaks: list[Leak]) -> None:
            notifier.configure(config(one.address), BASE)
            leaks.append("no leak")  # type: ignore[arg-type]  # on purpose
            notifier.wake()
            await asyncio.sleep(0.7)
            leaks[:] = [leak()]
            notifier.wake()
            await until(lambda: one.posted)

        assert "no alert could be made because of a mistake of ours" in play(steps)


@pytest.mark.parametrize(
    ("more", "labels", "url"),
    [
        ({}, {}, "http://am:9093/api/v2/alerts"),
        ({"path_prefix": "alerts/"}, {}, "http://am:9093/alerts/api/v2/alerts"),
        ({"path_prefix": "/a/b", "scheme": "https"}, {}, "https://am:9093/a/b/api/v2/alerts"),
        ({}, {"__scheme__": "https", "__alerts_path__": "/push"}, "https://am:9093/push"),
    ],
)
def test_where_alerts_go(more: dict[str, str], labels: dict[str, str], url: str) -> None:
    """Scheme and path as configured, or as the labels of the group say."""
    found = AlertmanagerConfig.model_validate({"static_configs": [{"targets": ["am:9093"]}], **more})
    assert [one.url for one in addresses([TargetGroup(targets=("am:9093",), labels=labels)], found)] == [url]


def test_addresses_that_are_none() -> None:
    """One that makes no URL is left out and said; two unix sockets are two."""
    found = AlertmanagerConfig.model_validate({"static_configs": [{"targets": ["am:9093"]}]})
    groups = [
        TargetGroup(targets=("xn--a:2", "unix:///run/a.sock", "unix:///run/b.sock")),
        TargetGroup(targets=("b:1",), labels={"__scheme__": "ftp"}),
    ]
    with capture_logs() as logged:
        assert [one.name for one in addresses(groups, found)] == ["unix:///run/a.sock", "unix:///run/b.sock"]
    assert [line["address"] for line in logged] == ["xn--a:2", "b:1"]
