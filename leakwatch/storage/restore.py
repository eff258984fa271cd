"""Restores what a database has: services one by one, so that an invalid value costs one service."""

from collections.abc import Iterator
from typing import Any, Final, Protocol

import structlog
from pydantic import TypeAdapter, ValidationError

from leakwatch.clock import Clock, ClockReading, Turns
from leakwatch.errors import StateError
from leakwatch.leaks.service_state import ServicePlain
from leakwatch.pipeline import Pipeline
from leakwatch.storage.pauses import Pauses
from leakwatch.storage.rows import ALERTS, CLOCK, PAUSES, StoredService, StoredState

log = structlog.get_logger()

READING: Final = TypeAdapter(ClockReading)
YOUNG: Final = (
    3600.0  # seconds after the start in which the history of this process is worth less than a stored one
)


class Restorable(Protocol):
    """A part of the daemon that continues with the state of an earlier process."""

    def restore(self, plain: Any) -> None:
        """Restore a state; raise StateError."""


class Restorer:
    """Restores into `pipeline`, and sets `clock`. It omits services that were saved `retention` seconds ago."""

    def __init__(self, pipeline: Pipeline, clock: Clock, retention: float) -> None:
        self.rejected: list[str] = []
        """The errors of what could not be restored."""
        self._pipeline = pipeline
        self._clock = clock
        self._retention = retention

    async def restore(self, stored: StoredState, alerts: Restorable, pauses: Pauses) -> None:
        """Restore everything, before the first scrape."""
        self.rejected += stored.errors
        values = stored.values
        if CLOCK in values:
            self._restore_clock(values[CLOCK], pauses, values.get(PAUSES, []))
        turns = Turns()
        for service in self._recent(stored):
            self._restore_service(service, self._pipeline)
            await turns.pause()
        if ALERTS in values:
            try:
                alerts.restore(values[ALERTS])
            except StateError as error:
                self.rejected.append(str(error))
        if stored.services:
            services = self._pipeline.services.values()
            leaks = sum(len(service.leaks.groups.keys() - service.leaks.rules.keys()) for service in services)
            targets = len(self._pipeline.targets)
            log.info("state restored", services=len(services), targets=targets, leaks=leaks)

    async def adopt(self, stored: StoredState, started: float) -> None:
        """Continue with stored services that another process watched until now; `started`: of this process."""
        self.rejected += stored.errors
        turns, adopted = Turns(), 0
        for service in self._recent(stored):
            if service.saved < started and self._clock.time() - started > YOUNG:
                continue
            other = Pipeline(self._pipeline.settings)
            self._restore_service(service, other)
            if service.name in other.services:
                self._pipeline.adopt(service.name, other)
                adopted += 1
            await turns.pause()
        log.info("state of another process taken over", services=adopted)

    def _recent(self, stored: StoredState) -> Iterator[StoredService]:
        oldest = self._clock.time() - self._retention
        return (service for service in stored.services if service.saved >= oldest)

    def _restore_service(self, service: StoredService, pipeline: Pipeline) -> None:
        plain = ServicePlain(service.shared, service.document, service.targets)
        try:
            pipeline.restore([plain], self._clock.stopwatch())
        except StateError as error:
            self.rejected.append(f"service {service.name!r}: {error}")
        except Exception as error:  # otherwise leakwatch would not start until someone removes the file
            log.exception("internal error while restoring a service", service=service.name)
            self.rejected.append(f"service {service.name!r}: {error!r}")

    def _restore_clock(self, reading: Any, pauses: Pauses, plain_pauses: Any) -> None:
        try:
            last = READING.validate_python(reading)
            pauses.restore(plain_pauses)
        except (ValidationError, StateError) as error:
            self.rejected.append(f"clock: {error}")
            return
        self._clock.resume(last)
        pauses.add(last.time, self._clock.time())
