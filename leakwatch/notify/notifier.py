"""Finds the Alertmanagers, and tells each of them what fires."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import httpx
import structlog

from leakwatch.clock import Clock
from leakwatch.discovery.relabel import relabel, rules
from leakwatch.discovery.runner import DiscoveryRunner
from leakwatch.discovery.target_group import TargetGroup
from leakwatch.http.client import Client, Tls
from leakwatch.leaks.model import Leak
from leakwatch.model import Target, TargetHealth
from leakwatch.notify.alertmanager import AlertmanagerAddress, AlertmanagerClient
from leakwatch.notify.alerts import Alerts
from leakwatch.notify.config import AlertingConfig, AlertmanagerConfig
from leakwatch.notify.queue import AlertQueue
from leakwatch.notify.rules import Rules

log = structlog.get_logger()

INTERVAL = 15.0  # seconds from one look to the next
PAUSE = 0.5  # seconds between two looks at least: blocks of many targets close at once


class Notifier:
    """Pushes alerts from `start` to `stop`; `leaks` and `health` are asked for what is known now."""

    def __init__(
        self,
        clock: Clock,
        leaks: Callable[[], Iterable[Leak]],
        health: Callable[[], Mapping[Target, TargetHealth]],
    ) -> None:
        self.senders: dict[str, AlertmanagerClient] = {}
        """By the name of their address."""
        self._clock = clock
        self._leaks = leaks
        self._health = health
        self._config = AlertingConfig()
        self._rules = Rules(clock.wall)
        self._alerts = Alerts()
        self._finder = DiscoveryRunner(self._reconcile, clock)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    def configure(self, config: AlertingConfig, base: str) -> None:
        """Push as `config` says from now on; an Alertmanager that stays keeps its queue.

        `base`: the URL of our first page.
        """
        self._config, self._rules.base = config, base
        self._alerts.resend = config.resend_delay
        self._alerts.interval = min(INTERVAL, config.resend_delay)
        self._finder.configure({_name(i): one for i, one in enumerate(config.alertmanagers)})
        self._reconcile()
        self.wake()

    def start(self) -> None:
        """Begin to look; needs the event loop."""
        self._looking = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Look and send no more; nothing is resolved, because what leaks goes on leaking without us."""
        self._finder.stop()
        if self._looking:
            self._looking.cancel()
        for name in list(self.senders):
            self._end(name)
        await asyncio.gather(*self._closing)

    def wake(self) -> None:
        """Say that a verdict has changed: look now, not at the next turn."""
        self._news.set()

    def look(self) -> None:
        """Make due to every Alertmanager what is to be sent now."""
        time = self._clock.time()
        due = self._alerts.update(self._rules.holding(self._leaks(), self._health(), time), time)
        if due:
            for sender in self.senders.values():
                sender.tell(due)

    async def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                log.exception("no alert could be made because of a mistake of ours")
            await asyncio.sleep(PAUSE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._alerts.interval):
                    await self._news.wait()
            self._news.clear()

    def _reconcile(self) -> None:
        """Make the senders those of the Alertmanagers found."""
        found: dict[str, tuple[AlertmanagerAddress, AlertmanagerConfig]] = {}
        for i, config in enumerate(self._config.alertmanagers):
            for address in addresses(self._finder.groups(_name(i)), config):
                found.setdefault(address.name, (address, config))
        if not self._finder.waiting()[0]:
            # Who has not told yet may know one under another name: nobody goes before all have told.
            for name in self.senders.keys() - found.keys():
                log.info("Alertmanager is gone", alertmanager=name)
                self._end(name)
        for name, (address, config) in found.items():
            old = self.senders.get(name)
            if old is None or old.config != config:
                self._begin(address, config, old)
        for sender in self.senders.values():
            sender.external = self._config.external_labels

    def _begin(
        self, address: AlertmanagerAddress, config: AlertmanagerConfig, old: AlertmanagerClient | None
    ) -> None:
        """Start to inform one Alertmanager, of what was due so far or of all that fires."""
        name = address.name
        if old:
            self._end(name)
        tls = Tls(config.tls_config, secure=address.url.startswith("https:"))
        client = Client(tls, timeout=config.timeout, socket=address.socket)
        outbox = old.outbox if old else AlertQueue()
        sender = self.senders[name] = AlertmanagerClient(
            address, config, client, outbox, self._clock.time, self._clock.wall
        )
        if old:
            sender.requests, sender.seconds = old.requests, old.seconds
        else:
            log.info("Alertmanager found", alertmanager=name)
            sender.tell(self._alerts.current())
        self._tasks[name] = asyncio.create_task(sender.run())

    def _end(self, name: str) -> None:
        self._tasks.pop(name).cancel()
        closing = asyncio.create_task(self.senders.pop(name).close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


def addresses(groups: Iterable[TargetGroup], config: AlertmanagerConfig) -> Iterator[AlertmanagerAddress]:
    """Yield where the Alertmanagers of `groups` take alerts; one that makes no URL is left out and said."""
    chosen = rules(config.relabel_configs)
    for group in groups:
        for target in group.targets:
            start = {"__scheme__": config.scheme, "__alerts_path__": config.path, **group.labels}
            labels = relabel(start | {"__address__": target}, chosen)
            if labels is None:
                continue
            try:
                yield address_of(labels)
            except (httpx.InvalidURL, UnicodeError) as error:
                log.error("Alertmanager left out: its address makes no URL", address=target, error=str(error))  # noqa: TRY400  a traceback says less


def address_of(labels: Mapping[str, str]) -> AlertmanagerAddress:
    """Return where the Alertmanager with these labels takes alerts; raises httpx.InvalidURL and UnicodeError."""
    scheme, path = labels.get("__scheme__", ""), labels.get("__alerts_path__", "")
    address = labels.get("__address__", "")
    socket = address.removeprefix("unix://") if address.startswith("unix://") else None
    url = httpx.URL(f"{scheme}://{'localhost' if socket else address}/{path.lstrip('/')}")
    if not url.host or url.scheme not in {"http", "https"}:
        raise httpx.InvalidURL(f"{scheme!r} is no scheme, or there is no host")
    return AlertmanagerAddress(str(url), socket)


def _name(number: int) -> str:
    return f"alertmanagers[{number}]"
