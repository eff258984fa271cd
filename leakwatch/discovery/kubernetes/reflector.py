"""Keeps the objects of one resource as they are now: lists them once, then watches what happens to them.

A watch goes on from the version up to which we know everything, also over another connection. Bookmarks move that
version on while nothing happens. When the API server no longer remembers it (410 Gone) everything is listed anew.
Whatever fails, what is known stays, and is tried again, less and less often.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from leakwatch.discovery.kubernetes.api_client import GONE, ApiClient, ApiError, Resource, ResourceExpired
from leakwatch.discovery.kubernetes.objects import (
    Bookmark,
    KubernetesStatus,
    LoosePage,
    Page,
    PageMeta,
    Thing,
    WatchEvent,
)
from leakwatch.discovery.status import DiscoveryStatus, progress
from leakwatch.errors import quote
from leakwatch.settings.messages import reworded

log = structlog.get_logger()

API_SERVER = "API server"  # what a failure is told of

PAGE = 500  # objects in one answer, so that 50,000 pods are never in memory as text
END = "DELETED"
CHANGES = {"ADDED", "MODIFIED", END}


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    debounce: float = 5.0
    """Between two updates."""
    pause: float = 1.0
    """Before the next attempt, doubled with each that fails."""
    longest_pause: float = 30.0
    watch: float = 300.0
    """How long a watch may last, up to twice of it: spread, so that not all come back at once."""
    silence: float = 150.0
    """After which a watch is given up. Bookmarks come every minute; a server that vanished sends no end."""
    answer: float = 30.0
    """Within which an answer begins, and a page of a list goes on."""

    def wait(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row."""
        return min(self.longest_pause, self.pause * 2.0 ** min(failures, 16)) * _spread() / 2

    def lasts(self) -> int:
        """Return how long the next watch shall last."""
        return max(1, int(self.watch * _spread()))


def _spread() -> float:
    return random.uniform(1, 2)  # noqa: S311  spreads load, guards nothing


@dataclass(slots=True)
class Troubles:
    """What hinders the watches of one mechanism: each thing is said once for all of them, and when all is over."""

    progress: DiscoveryStatus = field(default_factory=progress)
    _hindered: set[object] = field(default_factory=set)

    def begin(self, whose: object, error: ApiError, kept: int) -> None:
        """Say what hinders one of them, which goes on with the `kept` objects that it knows."""
        self._hindered.add(whose)
        needs = {"needs": error.mend} if error.mend else {}
        self.progress.failed(API_SERVER, str(error), kept=kept, **needs)

    def end(self, whose: object) -> None:
        """Nothing hinders this one any more."""
        self._hindered.discard(whose)
        if not self._hindered:
            self.progress.works(API_SERVER)


Received = TypeVar("Received", bound=Thing)
Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class ObjectSource(Generic[Received, Kept]):
    """What can be watched, and what is kept of each object."""

    resource: Resource
    kind: type[Received]
    page: type[Page[Received]]
    keep: Callable[[Received], Kept]


@dataclass(eq=False, slots=True)
class Reflector(Generic[Received, Kept]):
    """One source in one namespace, or in all. `changed`: called when `kept` changes and when it begins to fail."""

    source: ObjectSource[Received, Kept]
    api: ApiClient
    selector: dict[str, str]
    timing: Timing
    troubles: Troubles
    changed: Callable[[], None]
    kept: dict[str, Kept] = field(default_factory=dict)
    """By namespace/name; whole once `listed`."""
    listed: bool = False
    failed: bool = False
    """Whether the latest attempt failed."""
    _version: str | None = None
    _heard: bool = False

    async def run(self) -> None:
        """List and watch until cancelled."""
        failures = 0
        try:
            while True:
                after = 0.0
                self._heard = False
                try:
                    if self._version is None:
                        await self._list()
                    await self._follow()
                    failures = 0
                except ApiError as error:
                    failures = 1 if self._heard else failures + 1
                    after = error.after
                    self._fail(error, failures)
                await asyncio.sleep(max(after, self.timing.wait(failures)))
        finally:
            await self.api.close()

    def _fail(self, error: ApiError, failures: int) -> None:
        if isinstance(error, ResourceExpired):
            self._version = None
            return
        if error.mend or failures > 1:  # what may pass by itself has one more chance
            self.troubles.begin(self, error, len(self.kept))
        if not self.failed:
            self.failed = True
            self.changed()

    def _works(self) -> None:
        self.failed = False
        self.troubles.end(self)

    async def _list(self) -> None:
        """Learn all that there is; raises ApiError."""
        found: dict[str, Kept] = {}
        parameters = self.selector | {"limit": str(PAGE)}
        while True:
            meta, things = self._page(await self.api.page(parameters))
            found |= {one.key: self.source.keep(one) for one in things}
            if not meta.rest:
                break
            parameters["continue"] = meta.rest
        changed = found != self.kept or not self.listed
        self.kept, self.listed, self._version = found, True, meta.version
        self._works()
        if changed:
            self.changed()

    def _page(self, body: bytes) -> tuple[PageMeta, Iterable[Received]]:
        try:
            page = self.source.page.model_validate_json(body)
        except ValidationError:  # one that cannot be read does not take the others with it
            loose = _read(LoosePage.model_validate_json, body)
            return loose.metadata, list(filter(None, map(self._object, loose.items or ())))
        return page.metadata, page.items or ()

    async def _follow(self) -> None:
        """Learn what happens until the watch ends; raises ApiError."""
        parameters = self.selector | {
            "watch": "1",
            "resourceVersion": self._version or "",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(self.timing.lasts()),
        }
        async with self.api.watch(parameters, self.timing.silence) as lines:
            self._works()
            async for line in lines:
                self._learn(_read(WatchEvent.model_validate_json, line))
                self._heard = True

    def _learn(self, event: WatchEvent) -> None:
        """Take in what happened; raises ApiError."""
        if event.type == "ERROR":
            status = _read(KubernetesStatus.model_validate, event.object)
            raise (ResourceExpired if status.code == GONE else ApiError)(
                f"the watch ended: {status.message or status.reason}"
            )
        meta = _read(Bookmark.model_validate, event.object).metadata
        if event.type in CHANGES and (one := self._object(event.object)):
            before = self.kept.pop(one.key, None) if event.type == END else self.kept.get(one.key)
            if event.type != END:
                self.kept[one.key] = self.source.keep(one)
            if before != self.kept.get(one.key):
                self.changed()
        self._version = meta.version

    def _object(self, received: dict[str, Any]) -> Received | None:
        """Return an object, None if it cannot be read, which is said."""
        try:
            return self.source.kind.model_validate(received)
        except ValidationError as error:
            log.warning(
                "Kubernetes object left out: it cannot be read", error=_first(error), object=_name(received)
            )
            return None


Raw = TypeVar("Raw")
Read = TypeVar("Read", bound=BaseModel)


def _read(parse: Callable[[Raw], Read], raw: Raw) -> Read:
    try:
        return parse(raw)
    except ValidationError as error:
        raise ApiError(
            f"the API server sent what is none of its own: {_first(error)}: {quote(str(raw))}"
        ) from error


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {reworded(first)}" if where else reworded(first)


def _name(received: dict[str, Any]) -> str:
    meta = received.get("metadata")
    return f"{meta.get('namespace')}/{meta.get('name')}" if isinstance(meta, dict) else "?"
