"""Discovers the Alertmanagers, evaluates the alert rules, and queues the alerts for each Alertmanager."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import httpx
import structlog

from leakwatch.clock import Clock
from leakwatch.detect.plain import Plain
from leakwatch.discovery.relabel import relabel, rules
from leakwatch.discovery.runner import DiscoveryRunner
from leakwatch.discovery.target_group import TargetGroup
from leakwatch.http.client import Client, Tls
from leakwatch.leaks.model import Leak
from leakwatch.model import Target, TargetHealth
from leakwatch.notify import saved_alerts
from leakwatch.notify.alertmanager import AlertmanagerAddress, AlertmanagerClient
from leakwatch.notify.alerts import Alerts
from leakwatch.notify.config import AlertingConfig, AlertmanagerConfig
from leakwatch.notify.links import AlertLinks
from leakwatch.notify.queue import AlertQueue
from leakwatch.notify.rules import AlertRules

log = structlog.get_logger()

INTERVAL = 15.0  # seconds between evaluations
PAUSE = 0.5  # seconds at least between evaluations: the blocks of many targets close at the same time


class Notifier:
    """Sends alerts from `start` to `stop`; `leaks` and `health` return the current leaks and target health."""

    def __init__(
        self,
        clock: Clock,
        leaks: Callable[[], Iterable[Leak]],
        health: Callable[[], Mapping[Target, TargetHealth]],
    ) -> None:
        self.clients: dict[str, AlertmanagerClient] = {}
        """The clients by the name of their address."""
        self._clock = clock
        self._leaks = leaks
        self._health = health
        self._config = AlertingConfig()
        self._rules = AlertRules(clock.wall)
        self._alerts = Alerts()
        self._discovery = DiscoveryRunner(self._reconcile, clock)
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._evaluating: tuple[asyncio.Task[None], ...] = ()

    def configure(self, config: AlertingConfig, links: AlertLinks, target_labels: tuple[str, ...] = ()) -> None:
        """Apply a configuration. An Alertmanager that stays keeps its queue.

        `target_labels`: names of the labels of targets that alerts have.
        """
        self._config, self._rules.links, self._rules.target_labels = config, links, target_labels
        self._alerts.resend = config.resend_delay
        self._alerts.interval = min(INTERVAL, config.resend_delay)
        self._discovery.configure({_job(i): settings for i, settings in enumerate(config.alertmanagers)})
        self._reconcile()
        self.wake()

    def start(self) -> None:
        """Start to evaluate the rules; requires a running event loop."""
        self._evaluating = (asyncio.create_task(self._run()), asyncio.create_task(self._wake_at_intervals()))

    def to_plain(self) -> Plain:
        """Return the states of all alerts as plain values."""
        return saved_alerts.to_plain(self._alerts, self._rules)

    def restore(self, plain: Any) -> None:
        """Continue with the alerts of an earlier process, before `start`. Raise StateError."""
        saved_alerts.restore(plain, self._alerts, self._rules)

    async def stop(self) -> None:
        """Stop evaluating and sending. Alerts are not resolved, because the leaks do not end with leakwatch."""
        self._discovery.stop()
        for task in self._evaluating:
            task.cancel()
        for name in list(self.clients):
            self._remove(name)
        await asyncio.gather(*self._closing)

    def wake(self) -> None:
        """Evaluate the rules now, because a verdict has changed."""
        self._woken.set()

    def evaluate(self) -> None:
        """Evaluate the rules, and queue the alerts that are due for every Alertmanager."""
        time = self._clock.time()
        alerts = self._alerts.update(self._rules.evaluate(self._leaks(), self._health(), time), time)
        if alerts:
            for client in self.clients.values():
                client.enqueue(alerts)

    async def _run(self) -> None:
        while True:
            try:
                self.evaluate()
            except Exception:
                log.exception("internal error while evaluating alert rules")
            await self._clock.sleep(PAUSE)
            await self._woken.wait()
            self._woken.clear()

    async def _wake_at_intervals(self) -> None:
        while True:
            await self._clock.sleep(self._alerts.interval)
            self.wake()

    def _reconcile(self) -> None:
        """Start a client for each discovered Alertmanager, and stop the clients of all others."""
        discovered: dict[str, tuple[AlertmanagerAddress, AlertmanagerConfig]] = {}
        for i, config in enumerate(self._config.alertmanagers):
            for address in addresses(self._discovery.groups(_job(i)), config):
                discovered.setdefault(address.name, (address, config))
        if not self._discovery.waiting()[0]:
            # A discoverer without a result yet may return the same Alertmanager under another job.
            for name in self.clients.keys() - discovered.keys():
                log.info("Alertmanager removed", alertmanager=name)
                self._remove(name)
        for name, (address, config) in discovered.items():
            old = self.clients.get(name)
            if old is None or old.config != config:
                self._add(address, config, old)
        for client in self.clients.values():
            client.external_labels = self._config.external_labels

    def _add(
        self, address: AlertmanagerAddress, config: AlertmanagerConfig, old: AlertmanagerClient | None
    ) -> None:
        """Start a client with the queue of `old`, or with all firing alerts if the Alertmanager is new."""
        name = address.name
        if old:
            self._remove(name)
        tls = Tls(config.tls_config, secure=address.url.startswith("https:"))
        http_client = Client(tls, timeout=config.timeout, socket=address.socket)
        queue = old.queue if old else AlertQueue()
        client = self.clients[name] = AlertmanagerClient(address, config, http_client, queue, self._clock)
        if old:
            client.requests, client.seconds = old.requests, old.seconds
        else:
            log.info("Alertmanager discovered", alertmanager=name)
            client.enqueue(self._alerts.current())
        self._sending[name] = asyncio.create_task(client.run())

    def _remove(self, name: str) -> None:
        """Stop a client, and close its connection in the background."""
        self._sending.pop(name).cancel()
        closing = asyncio.create_task(self.clients.pop(name).close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


def addresses(groups: Iterable[TargetGroup], config: AlertmanagerConfig) -> Iterator[AlertmanagerAddress]:
    """Yield the addresses of the Alertmanagers in `groups`. An invalid address is logged and skipped."""
    relabel_rules = rules(config.relabel_configs)
    for group in groups:
        for target in group.targets:
            defaults = {"__scheme__": config.scheme, "__alerts_path__": config.path}
            labels = relabel({**defaults, **group.labels, "__address__": target}, relabel_rules)
            if labels is None:
                continue
            try:
                yield address_of(labels)
            except (httpx.InvalidURL, UnicodeError) as error:
                log.error("Alertmanager skipped: invalid address", address=target, error=str(error))  # noqa: TRY400  the message is enough


def address_of(labels: Mapping[str, str]) -> AlertmanagerAddress:
    """Return the address that the labels of an Alertmanager define; raise httpx.InvalidURL or UnicodeError."""
    scheme, path = labels.get("__scheme__", ""), labels.get("__alerts_path__", "")
    address = labels.get("__address__", "")
    socket = address.removeprefix("unix://") if address.startswith("unix://") else None
    url = httpx.URL(f"{scheme}://{'localhost' if socket else address}/{path.lstrip('/')}")
    if not url.host or url.scheme not in {"http", "https"}:
        raise httpx.InvalidURL(f"the scheme {scheme!r} is not http or https, or the host is missing")
    return AlertmanagerAddress(str(url), socket)


def _job(number: int) -> str:
    """Return the job name of an entry of `alertmanagers` in discovery."""
    return f"alertmanagers[{number}]"
