"""leakwatch itself: configuration, discovery, alert delivery, rules, and what it takes."""

import platform
from collections.abc import Iterator

import yaml

from leakwatch import __version__
from leakwatch.config import Config
from leakwatch.errors import without_credentials
from leakwatch.web.api import own_usage as usage
from leakwatch.web.api.models import status as models
from leakwatch.web.api.state import AppState


def status(source: AppState) -> models.Status:
    """Return how leakwatch itself fares."""
    now, health = source.now(), source.health()
    mistake, taken = source.reloaded()
    return models.Status(
        now=source.wall(now),
        version=__version__,
        python=platform.python_version(),
        started_at=source.wall(source.started) if source.started else None,
        uptime_seconds=now - source.started if source.started else 0.0,
        url=source.url,
        ready=source.ready(),
        access=source.web_file.terms().settings.summary() if source.web_file else "",
        configuration=shown(source.config()),
        reload=models.Reload(at=source.wall(taken) if taken else None, mistake=mistake),
        jobs=list(_jobs(source)),
        alertmanagers=list(_alertmanagers(source)),
        ignore=list(_rules(source)),
        usage=models.Usage(
            memory_bytes=usage.memory(),
            cpu_seconds=usage.cpu(),
            lag_seconds=source.lag.total(),
            series=sum(
                len(state.history.rows) + len(state.sites.rows) for state in source.pipeline.targets.values()
            ),
        ),
        services=len({target.service for target in health}),
        targets=len(health),
        targets_up=sum(target_health.up is True for target_health in health.values()),
        targets_down=sum(target_health.up is False for target_health in health.values()),
        leaks=len(source.leaks()),
    )


def shown(config: Config) -> str:
    """Return a configuration as YAML without its secrets: those hide themselves when they become JSON."""
    text: str = yaml.safe_dump(
        config.model_dump(mode="json", by_alias=True, exclude_none=True), sort_keys=False, allow_unicode=True
    )
    return text


def _jobs(source: AppState) -> Iterator[models.Job]:
    if source.targets is None:
        return
    outlook = source.targets.discoverers()
    for name, found in source.targets.counts().items():
        yield models.Job(
            job=name,
            kept=len(found.endpoints),
            dropped=found.dropped,
            invalid=found.invalid,
            mechanisms=[
                models.Mechanism(
                    mechanism=one.mechanism,
                    failures=one.failures,
                    succeeded_at=None if one.succeeded is None else source.wall(one.succeeded),
                )
                for one in outlook
                if one.job == name
            ],
        )


def _alertmanagers(source: AppState) -> Iterator[models.Alertmanager]:
    for name, sender in source.senders.items():
        outbox = sender.queue
        yield models.Alertmanager(
            alertmanager=without_credentials(name),
            due=len(outbox),
            sent=outbox.sent,
            failed=outbox.failed,
            dropped=outbox.dropped,
            requests=sender.requests,
            seconds=sender.seconds,
            trouble=without_credentials(sender.last_error),
        )


def _rules(source: AppState) -> Iterator[models.IgnoreRule]:
    hidden, idle = source.pipeline.ignored(), source.pipeline.unmatched()
    for rule in source.pipeline.settings.ignore:
        yield models.IgnoreRule(
            rule=str(rule),
            owner=rule.owner,
            reason=rule.reason,
            until=rule.until,
            over=rule.is_over(source.now()),
            at_most=rule.at_most,
            hides=hidden.get(str(rule), 0),
            matches=rule not in idle,
        )
