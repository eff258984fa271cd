"""leakwatch itself: configuration, discovery, alert delivery, ignore rules, resource usage."""

import platform
from collections.abc import Iterator

from leakwatch import __version__
from leakwatch.errors import without_credentials
from leakwatch.web.api import own_usage
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.api.models import status as models
from leakwatch.web.api.state import OwnState


def status(view: FleetView, own: OwnState, url: str) -> models.Status:
    """Return the status of leakwatch. `url`: the URL of the overview."""
    error, loaded = own.last_reload()
    health = view.health.values()
    return models.Status(
        now=view.wall(view.now),
        version=__version__,
        python=platform.python_version(),
        started_at=view.wall(own.started()),
        uptime_seconds=view.now - own.started(),
        url=url,
        ready=own.ready(),
        access=own.access(),
        configuration=own.configuration_yaml(),
        reload=models.Reload(at=view.wall(loaded), mistake=error),
        jobs=list(_jobs(view, own)),
        alertmanagers=list(_alertmanagers(own)),
        ignore=list(_rules(view)),
        usage=_usage(view, own),
        storage=_storage(view, own),
        services=len({target.service for target in view.health}),
        targets=len(health),
        targets_up=sum(target_health.up is True for target_health in health),
        targets_down=sum(target_health.up is False for target_health in health),
        leaks=len(view.leaks),
    )


def _usage(view: FleetView, own: OwnState) -> models.OwnUsage:
    states = view.pipeline.targets.values()
    return models.OwnUsage(
        memory_bytes=own_usage.memory(),
        cpu_seconds=own_usage.cpu(),
        lag_seconds=own.lag.total(),
        overloaded=own.starts.overloaded,
        missed_scrapes=own.starts.missed,
        series=sum(len(state.history.rows) + len(state.sites.rows) for state in states),
    )


def _storage(view: FleetView, own: OwnState) -> models.StorageStatus:
    status = own.storage
    return models.StorageStatus(
        path=None if status.folder is None else str(status.folder),
        error=status.error,
        bytes=status.size,
        saved_at=None if status.saved_at is None else view.wall(status.saved_at),
        full=status.is_full,
    )


def _jobs(view: FleetView, own: OwnState) -> Iterator[models.JobStatus]:
    discoverers = own.discoverers()
    for job, targets in own.built_targets().items():
        mechanisms = [
            models.MechanismStatus(
                mechanism=discoverer.mechanism,
                failures=discoverer.failures,
                succeeded_at=None if discoverer.succeeded is None else view.wall(discoverer.succeeded),
            )
            for discoverer in discoverers
            if discoverer.job == job
        ]
        yield models.JobStatus(
            job=job,
            kept=len(targets.endpoints),
            dropped=targets.dropped,
            invalid=targets.invalid,
            mechanisms=mechanisms,
        )


def _alertmanagers(own: OwnState) -> Iterator[models.AlertmanagerStatus]:
    for name, client in own.alertmanagers.items():
        queue = client.queue
        yield models.AlertmanagerStatus(
            alertmanager=without_credentials(name),
            due=len(queue),
            sent=queue.sent,
            failed=queue.failed,
            dropped=queue.dropped,
            requests=client.requests,
            seconds=client.seconds,
            trouble=without_credentials(client.last_error),
        )


def _rules(view: FleetView) -> Iterator[models.IgnoreRule]:
    hidden, unmatched = view.pipeline.ignored(), view.pipeline.unmatched()
    for rule in view.pipeline.settings.ignore:
        yield models.IgnoreRule(
            rule=str(rule),
            owner=rule.owner,
            reason=rule.reason,
            until=rule.until,
            over=rule.is_over(view.now),
            at_most=rule.at_most,
            hides=hidden.get(str(rule), 0),
            matches=rule not in unmatched,
        )
