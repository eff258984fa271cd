"""Tells one Alertmanager: POST /api/v2/alerts, at its own pace, until it has heard all that is due."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import structlog

from leakwatch.errors import DeliveryError, RefusedError, quote
from leakwatch.http.client import Client, system_message
from leakwatch.notify.alerts import Alert
from leakwatch.notify.config import AlertmanagerConfig
from leakwatch.notify.queue import AlertQueue

log = structlog.get_logger()

REDIRECTS: Final = 3
READ: Final = 1000  # bytes of an answer: enough to say what is wrong
REFUSALS: Final = {400, 422}
TOO_LARGE: Final = 413


@dataclass(frozen=True, slots=True)
class AlertmanagerAddress:
    """Where an Alertmanager takes alerts; `socket` is the path of a unix socket, if it is behind one."""

    url: str
    socket: str | None = None

    @property
    def name(self) -> str:
        """What tells it from others."""
        return f"unix://{self.socket}" if self.socket else self.url


class AlertmanagerClient:
    """Keeps one Alertmanager informed.

    `now`: returns the time in unix seconds; `wall`: turns that into the wall clock's; `external`: labels that are
    added to alerts which have none of the name.
    """

    def __init__(
        self,
        address: AlertmanagerAddress,
        config: AlertmanagerConfig,
        client: Client,
        outbox: AlertQueue,
        now: Callable[[], float],
        wall: Callable[[float], float],
    ) -> None:
        self.address = address
        self.config = config
        self.outbox = outbox
        self.external: Mapping[str, str] = {}
        self.requests = 0
        self.seconds = 0.0
        """What they took, in all."""
        self._client = client
        self._now = now
        self._wall = wall
        self._news = asyncio.Event()
        self.trouble = ""
        """Why the latest attempt failed, "" if it did not."""
        self._log = log.bind(alertmanager=address.name)

    def tell(self, alerts: Iterable[Alert]) -> None:
        """Make `alerts` due."""
        self.outbox.put(alerts, self._now())
        self._news.set()

    async def run(self) -> None:
        """Deliver what is due as soon as possible; never ends."""
        while True:
            try:
                await self.work()
            except Exception:
                log.exception("sending broke because of a mistake of ours", alertmanager=self.address.name)
                self.outbox.failed_at(self._now(), [])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.outbox.pause(self._now())):
                    await self._news.wait()
            self._news.clear()

    async def work(self) -> None:
        """Deliver what is due now, until nothing is or an attempt fails."""
        while batch := self.outbox.batch(self._now()):
            await self._deliver(batch)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def _deliver(self, alerts: Sequence[Alert]) -> bool:
        """Send `alerts`, one by one when Alertmanager cannot take one of them; tell whether it can be reached."""
        try:
            await self._post(alerts)
        except RefusedError as error:
            if len(alerts) > 1:
                for alert in alerts:
                    if not await self._deliver([alert]):
                        return False
                return True
            self._log.error("alert dropped: Alertmanager refuses it", error=str(error), **dict(alerts[0].labels))
            self.outbox.refused_at(self._now(), alerts[0])
        except DeliveryError as error:
            self.outbox.failed_at(self._now(), alerts)
            if str(error) != self.trouble:  # once, not at every attempt
                self._log.warning(
                    "alerts cannot be delivered, they stay due", error=str(error), due=len(self.outbox)
                )
            self.trouble = str(error)
            return False
        else:
            self.outbox.delivered(alerts)
            if self.trouble:
                self._log.info("alerts are delivered again")
            self.trouble = ""
        """Why the latest attempt failed, "" if it did not."""
        return True

    async def _post(self, alerts: Sequence[Alert]) -> None:
        """Send `alerts` in one request; raises DeliveryError."""
        content = encode(alerts, self.external, self._wall)
        begin = self._now()
        try:
            async with asyncio.timeout(self.config.timeout):
                await self._follow(content)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise DeliveryError(f"no answer within {self.config.timeout:g} s") from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, UnicodeError) as error:
            raise DeliveryError(system_message(error) or str(error) or type(error).__name__) from error
        finally:
            self.requests += 1
            self.seconds += self._now() - begin

    async def _follow(self, content: bytes) -> None:
        """Post `content`, and again where a redirect within the host asks for exactly that."""
        url = first = httpx.URL(self.address.url)
        for _ in range(REDIRECTS + 1):
            response, said = await self._answer(url, content)
            if not response.has_redirect_location:
                _check(response, said)
                return
            following = url.join(response.headers["Location"])
            if response.status_code not in {307, 308} or not self.config.follow_redirects:
                raise DeliveryError(f"HTTP {response.status_code}: redirects to {following}")
            if (following.scheme, following.host, following.port) != (first.scheme, first.host, first.port):
                raise DeliveryError(f"redirects to another host, {following}: not followed")
            url = following
        raise DeliveryError(f"redirects more than {REDIRECTS} times")

    async def _answer(self, url: httpx.URL, content: bytes) -> tuple[httpx.Response, bytes]:
        """Return what is answered, and how that begins."""
        client, tls = await self._client.get(), self.config.tls_config
        headers = [*self.config.headers(), ("Content-Type", "application/json"), ("Accept-Encoding", "identity")]
        extensions = {"sni_hostname": tls.server_name} if tls.server_name else {}
        request = client.build_request("POST", url, headers=headers, content=content, extensions=extensions)
        response = await client.send(request, stream=True, follow_redirects=False)
        said = b""
        try:
            async for piece in response.aiter_raw():
                said += piece[:READ]
                if len(said) >= READ:
                    break
        finally:
            await response.aclose()
        return response, said


def encode(alerts: Iterable[Alert], external: Mapping[str, str], wall: Callable[[float], float]) -> bytes:
    """Return the body of a request: `alerts` as Alertmanager's API v2 takes them."""

    def moment(time: float) -> str:
        return datetime.fromtimestamp(wall(time), UTC).isoformat(timespec="milliseconds")

    def one(alert: Alert) -> dict[str, Any]:
        return {
            "labels": {**external, **dict(alert.labels)},
            "annotations": dict(alert.annotations),
            "startsAt": moment(alert.starts),
            "endsAt": moment(alert.ends),
            "generatorURL": alert.url,
        }

    return json.dumps([one(alert) for alert in alerts], ensure_ascii=False).encode("utf-8", "replace")


def _check(response: httpx.Response, said: bytes) -> None:
    """Raise DeliveryError unless this is Alertmanager saying that it has taken the alerts."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if response.is_success and kind != "text/html":
        return
    line = said.strip().partition(b"\n")[0]
    message = f"HTTP {response.status_code}" + (f": {quote(line)}" if line else "")
    if response.is_success:
        raise DeliveryError(f"{message}: this is no Alertmanager")
    # Only Alertmanager itself can tell that an alert is wrong, and it speaks JSON. What stands before it cannot.
    if response.status_code == TOO_LARGE or (response.status_code in REFUSALS and kind == "application/json"):
        raise RefusedError(message)
    raise DeliveryError(message)
