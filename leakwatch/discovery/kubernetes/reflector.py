"""Reflector: keeps a store of the current objects of one resource. It lists the objects once, then watches them.

A watch continues at the resource version that the store has, also over a new connection. Bookmarks advance the
version while no object changes. If the API server no longer has the version (410 Gone), the objects are listed
again. After an error the store stays, and the reflector retries with exponential backoff.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from leakwatch.clock import Clock
from leakwatch.discovery.kubernetes.api_client import GONE, ApiClient, ApiError, Resource, ResourceExpired
from leakwatch.discovery.kubernetes.objects import (
    Bookmark,
    KubernetesObject,
    KubernetesStatus,
    ListMeta,
    ListPage,
    UncheckedPage,
    WatchEvent,
)
from leakwatch.discovery.status import DiscoveryStatus
from leakwatch.errors import quote
from leakwatch.settings.messages import friendly_message

log = structlog.get_logger()

API_SERVER = "API server"  # source of the failures in the discovery status

PAGE_LIMIT = 500  # objects per page, so that the JSON of 50,000 pods is never in memory at once
DELETED = "DELETED"
CHANGES = {"ADDED", "MODIFIED", DELETED}


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTiming:
    """Pauses and timeouts of Kubernetes discovery, in seconds."""

    debounce: float = 5.0
    """Pause between two updates."""
    backoff: float = 1.0
    """Pause before the first retry; doubled after each further failure."""
    max_backoff: float = 30.0
    watch_timeout: float = 300.0
    """Minimum duration of a watch; a random value up to its double, so that watches do not end together."""
    idle_timeout: float = 150.0
    """A watch without a line for this long is ended. Bookmarks arrive every minute; a dead server sends no end."""
    response_timeout: float = 30.0
    """Until a response begins, and between two parts of a page."""

    def pause(self, failures: int) -> float:
        """Return the pause after this number of consecutive failures."""
        return min(self.max_backoff, self.backoff * 2.0 ** min(failures, 16)) * _jitter() / 2

    def next_watch_timeout(self) -> int:
        """Return the duration of the next watch."""
        return max(1, int(self.watch_timeout * _jitter()))


def _jitter() -> float:
    return random.uniform(1, 2)  # noqa: S311  spreads load, guards nothing


@dataclass(slots=True)
class ReflectorFailures:
    """The failing reflectors of one discoverer. An error that several have in common is logged once.

    The API server works again when the last failing reflector works.
    """

    status: DiscoveryStatus
    _failing: set[object] = field(default_factory=set)

    def failed(self, reflector: object, error: ApiError, objects: int) -> None:
        """Report an error of a reflector, which has this number of objects in its store."""
        self._failing.add(reflector)
        needs = {"needs": error.fix} if error.fix else {}
        self.status.failed(API_SERVER, str(error), targets=objects, **needs)

    def works(self, reflector: object) -> None:
        """Report that a reflector works."""
        self._failing.discard(reflector)
        if not self._failing:
            self.status.works(API_SERVER)


Object = TypeVar("Object", bound=KubernetesObject)
Stored = TypeVar("Stored")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSource(Generic[Object, Stored]):
    """A resource to list and watch, its models, and the conversion of an object to an entry of the store."""

    resource: Resource
    object_type: type[Object]
    page_type: type[ListPage[Object]]
    stored: Callable[[Object], Stored]


@dataclass(eq=False, slots=True, kw_only=True)
class Reflector(Generic[Object, Stored]):
    """Reflector of one resource. `changed` is called when the store changes or the reflector begins to fail."""

    source: ObjectSource[Object, Stored]
    client: ApiClient
    selector: dict[str, str]
    """Request parameters that select objects."""
    timing: WatchTiming
    clock: Clock
    failures: ReflectorFailures
    changed: Callable[[], None]
    store: dict[str, Stored] = field(default_factory=dict)
    """The objects by namespace/name; complete if `is_listed`."""
    is_listed: bool = False
    is_failing: bool = False
    """Whether the latest attempt failed."""
    _version: str | None = None
    _had_events: bool = False

    async def run(self) -> None:
        """List and watch until cancelled."""
        failures = 0
        try:
            while True:
                retry_after = 0.0
                self._had_events = False
                try:
                    if self._version is None:
                        await self._list()
                    await self._watch()
                    failures = 0
                except ApiError as error:
                    failures = 1 if self._had_events else failures + 1
                    retry_after = error.retry_after
                    self._fail(error, failures)
                await self.clock.sleep(max(retry_after, self.timing.pause(failures)))
        finally:
            await self.client.close()

    def _fail(self, error: ApiError, failures: int) -> None:
        if isinstance(error, ResourceExpired):
            self._version = None
            return
        if error.fix or failures > 1:  # one failure that may be temporary is not reported
            self.failures.failed(self, error, len(self.store))
        if not self.is_failing:
            self.is_failing = True
            self.changed()

    def _succeed(self) -> None:
        self.is_failing = False
        self.failures.works(self)

    async def _list(self) -> None:
        """Replace the store by a list of all objects; raises ApiError."""
        store: dict[str, Stored] = {}
        parameters = self.selector | {"limit": str(PAGE_LIMIT)}
        while True:
            meta, objects = self._parse_page(await self.client.page(parameters))
            store |= {item.key: self.source.stored(item) for item in objects}
            if not meta.next_page:
                break
            parameters["continue"] = meta.next_page
        is_changed = store != self.store or not self.is_listed
        self.store, self.is_listed, self._version = store, True, meta.version
        self._succeed()
        if is_changed:
            self.changed()

    def _parse_page(self, body: bytes) -> tuple[ListMeta, Iterable[Object]]:
        try:
            page = self.source.page_type.model_validate_json(body)
        except ValidationError:  # parse one by one, so that an invalid object does not discard the others
            unchecked = _parse(UncheckedPage.model_validate_json, body)
            return unchecked.metadata, list(filter(None, map(self._parse_object, unchecked.items or ())))
        return page.metadata, page.items or ()

    async def _watch(self) -> None:
        """Apply events to the store until the watch ends; raises ApiError."""
        parameters = self.selector | {
            "watch": "1",
            "resourceVersion": self._version or "",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(self.timing.next_watch_timeout()),
        }
        async with self.client.watch(parameters, self.timing.idle_timeout) as lines:
            self._succeed()
            async for line in lines:
                self._apply(_parse(WatchEvent.model_validate_json, line))
                self._had_events = True

    def _apply(self, event: WatchEvent) -> None:
        """Apply an event to the store; raises ApiError."""
        if event.type == "ERROR":
            status = _parse(KubernetesStatus.model_validate, event.object)
            raise (ResourceExpired if status.code == GONE else ApiError)(
                f"the watch ended: {status.message or status.reason}"
            )
        meta = _parse(Bookmark.model_validate, event.object).metadata
        if event.type in CHANGES and (item := self._parse_object(event.object)):
            previous = self.store.pop(item.key, None) if event.type == DELETED else self.store.get(item.key)
            if event.type != DELETED:
                self.store[item.key] = self.source.stored(item)
            if previous != self.store.get(item.key):
                self.changed()
        self._version = meta.version

    def _parse_object(self, data: dict[str, Any]) -> Object | None:
        """Return an object; log an invalid object and return None."""
        try:
            return self.source.object_type.model_validate(data)
        except ValidationError as error:
            message = _first_error(error)
            log.warning("invalid Kubernetes object left out", error=message, object=_object_name(data))
            return None


Raw = TypeVar("Raw")
Parsed = TypeVar("Parsed", bound=BaseModel)


def _parse(validate: Callable[[Raw], Parsed], raw: Raw) -> Parsed:
    try:
        return validate(raw)
    except ValidationError as error:
        message = f"unexpected response of the API server: {_first_error(error)}: {quote(str(raw))}"
        raise ApiError(message) from error


def _first_error(error: ValidationError) -> str:
    first = error.errors()[0]
    location = ".".join(str(part) for part in first["loc"])
    return f"{location}: {friendly_message(first)}" if location else friendly_message(first)


def _object_name(data: dict[str, Any]) -> str:
    meta = data.get("metadata")
    return f"{meta.get('namespace')}/{meta.get('name')}" if isinstance(meta, dict) else "?"
