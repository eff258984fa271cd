"""Sends the alerts of one queue to one Alertmanager: POST /api/v2/alerts, again until the queue is empty."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import structlog

from leakwatch.clock import Clock
from leakwatch.errors import DeliveryError, RejectedError, quote
from leakwatch.http.client import Client
from leakwatch.http.fetch import without_secrets
from leakwatch.http.sockets import system_message
from leakwatch.notify.alerts import Alert
from leakwatch.notify.config import AlertmanagerConfig
from leakwatch.notify.queue import AlertQueue

log = structlog.get_logger()

REDIRECTS: Final = 3
READ_LIMIT: Final = 1000  # bytes of a response: enough for an error message
REFUSALS: Final = {400, 422}
TOO_LARGE: Final = 413


@dataclass(frozen=True, slots=True)
class AlertmanagerAddress:
    """The address that alerts are posted to; `socket`: the path of a unix socket, None for TCP."""

    url: str
    socket: str | None = None

    @property
    def name(self) -> str:
        """The name of the Alertmanager in metrics and log."""
        return f"unix://{self.socket}" if self.socket else self.url


class AlertmanagerClient:
    """Sends the alerts of `queue` to one Alertmanager.

    `external_labels` are added to alerts that have no label of that name.
    """

    def __init__(
        self,
        address: AlertmanagerAddress,
        config: AlertmanagerConfig,
        client: Client,
        queue: AlertQueue,
        clock: Clock,
    ) -> None:
        self.address = address
        self.config = config
        self.queue = queue
        self.external_labels: Mapping[str, str] = {}
        self.requests = 0
        self.seconds = 0.0
        """The duration of all requests together."""
        self.last_error = ""
        """The error of the latest request, "" if it succeeded."""
        self._client = client
        self._clock = clock
        self._queued = asyncio.Event()
        self._log = log.bind(alertmanager=address.name)

    def enqueue(self, alerts: Iterable[Alert]) -> None:
        """Queue alerts, and wake `run`."""
        self.queue.put(alerts, self._clock.time())
        self._queued.set()

    async def run(self) -> None:
        """Send queued alerts as soon as possible; never return."""
        while True:
            pause = self.queue.pause(self._clock.time())
            if pause is None:
                await self._queued.wait()
            else:
                await self._clock.sleep(pause)
            self._queued.clear()
            try:
                await self.send_queued()
            except Exception:
                log.exception("internal error while sending alerts", alertmanager=self.address.name)
                self.queue.mark_failed([], self._clock.time())

    async def send_queued(self) -> None:
        """Send until the queue is empty or a request fails."""
        while batch := self.queue.batch(self._clock.time()):
            await self._deliver(batch)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def _deliver(self, alerts: Sequence[Alert]) -> bool:
        """Send alerts, one by one if Alertmanager refuses one of them; return whether Alertmanager responds."""
        try:
            await self._post(alerts)
        except RejectedError as error:
            if len(alerts) > 1:
                for alert in alerts:
                    if not await self._deliver([alert]):
                        return False
                return True
            self._log.error("alert dropped: Alertmanager refused it", error=str(error), **dict(alerts[0].labels))
            self.queue.mark_refused(alerts[0], self._clock.time())
        except DeliveryError as error:
            self.queue.mark_failed(alerts, self._clock.time())
            if str(error) != self.last_error:  # the same error is logged once, not at every attempt
                self._log.warning(
                    "alerts cannot be delivered, they stay queued", error=str(error), queued=len(self.queue)
                )
            self.last_error = str(error)
            return False
        else:
            self.queue.mark_delivered(alerts)
            if self.last_error:
                self._log.info("alerts are delivered again")
            self.last_error = ""
        return True

    async def _post(self, alerts: Sequence[Alert]) -> None:
        """Send alerts in one request; raise DeliveryError or RejectedError."""
        content = encode(alerts, self.external_labels, self._clock.wall)
        start = self._clock.stopwatch()
        try:
            async with asyncio.timeout(self.config.timeout):
                await self._post_following_redirects(content)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise DeliveryError(f"no response within {self.config.timeout:g} s") from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, UnicodeError) as error:
            raise DeliveryError(system_message(error) or str(error) or type(error).__name__) from error
        finally:
            self.requests += 1
            self.seconds += self._clock.stopwatch() - start

    async def _post_following_redirects(self, content: bytes) -> None:
        """Post `content`. Follow 307 and 308, which ask for the same request, within the host."""
        url = first = httpx.URL(self.address.url)
        for _ in range(REDIRECTS + 1):
            response, body = await self._request(url, content)
            if not response.has_redirect_location:
                _check(response, body)
                return
            location = url.join(response.headers["Location"])
            if response.status_code not in {307, 308} or not self.config.follow_redirects:
                raise DeliveryError(f"HTTP {response.status_code}: redirects to {without_secrets(location)}")
            if (location.scheme, location.host, location.port) != (first.scheme, first.host, first.port):
                raise DeliveryError(f"redirects to another host, {without_secrets(location)}: not followed")
            url = location
        raise DeliveryError(f"redirects more than {REDIRECTS} times")

    async def _request(self, url: httpx.URL, content: bytes) -> tuple[httpx.Response, bytes]:
        """Return the response and the first bytes of its body."""
        client, tls = await self._client.get(), self.config.tls_config
        headers = [*self.config.headers(), ("Content-Type", "application/json"), ("Accept-Encoding", "identity")]
        extensions = {"sni_hostname": tls.server_name} if tls.server_name else {}
        request = client.build_request("POST", url, headers=headers, content=content, extensions=extensions)
        response = await client.send(request, stream=True, follow_redirects=False)
        body = b""
        try:
            async for piece in response.aiter_raw():
                body += piece[:READ_LIMIT]
                if len(body) >= READ_LIMIT:
                    break
        finally:
            await response.aclose()
        return response, body


def encode(alerts: Iterable[Alert], external_labels: Mapping[str, str], wall: Callable[[float], float]) -> bytes:
    """Return the JSON body of a request of Alertmanager's API v2."""

    def timestamp(time: float) -> str:
        return datetime.fromtimestamp(wall(time), UTC).isoformat(timespec="milliseconds")

    def alert_json(alert: Alert) -> dict[str, Any]:
        return {
            "labels": {**external_labels, **dict(alert.labels)},
            "annotations": dict(alert.annotations),
            "startsAt": timestamp(alert.starts_at),
            "endsAt": timestamp(alert.ends_at),
            "generatorURL": alert.generator_url,
        }

    return json.dumps([alert_json(alert) for alert in alerts], ensure_ascii=False).encode("utf-8", "replace")


def _check(response: httpx.Response, body: bytes) -> None:
    """Raise DeliveryError unless Alertmanager has accepted the alerts, RejectedError if it refuses one of them."""
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if response.is_success and content_type != "text/html":
        return
    line = body.strip().partition(b"\n")[0]
    message = f"HTTP {response.status_code}" + (f": {quote(line)}" if line else "")
    if response.is_success:
        raise DeliveryError(f"{message}: not an Alertmanager")
    # Alertmanager sends its errors as JSON. Other content comes from a proxy, which cannot judge an alert.
    if response.status_code == TOO_LARGE or (
        response.status_code in REFUSALS and content_type == "application/json"
    ):
        raise RejectedError(message)
    raise DeliveryError(message)
