"""One leak: its stack, its targets, an ignore rule, commands, the alert. Pure: state in, models out."""

import math
from datetime import UTC, datetime

import yaml

from leakwatch.detect.alive import uptime
from leakwatch.detect.trend import slopes
from leakwatch.leaks.leak_json import caller_json
from leakwatch.leaks.model import Leak, RelatedStack
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Frame, Verdict
from leakwatch.notify import annotations as text
from leakwatch.notify.rules import LEAK, SUSPECTED, leak_alert_labels
from leakwatch.web.api import findings as closer
from leakwatch.web.api.commands import commands
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.api.leaks import hourly, per_hour, reference, sparklines, summary
from leakwatch.web.api.models import leaks as models
from leakwatch.web.api.models.types import valid_text
from leakwatch.web.api.state import AlertContext

TARGETS = 100  # of one leak; the list of targets has the rest
STACKS = 20  # of a site


def leak_view(view: FleetView, alerts: AlertContext, leak: Leak) -> models.Leak:
    """Return all details of a leak."""
    targets = sorted((_on_target(view, leak, state) for state in view.states(leak.service)), key=_rank)
    stacks = _stacks(view, leak)
    lines = sparklines(view, leak.service, {leak.stack.fingerprint: leak.goroutines})
    return models.Leak(
        **summary(view, leak, lines),
        now=view.wall(view.now),
        highest=leak.highest.word,
        grew_per_hour=hourly(leak.grew),
        truncated=leak.stack.truncated,
        findings=closer.findings(leak.findings, lambda frame: view.pipeline.source_link(leak, frame), view.wall),
        frames=[_frame(view, leak, frame) for frame in leak.stack.frames],
        stacks=stacks[:STACKS],
        stacks_total=len(stacks),
        related_stacks=[_related(related) for related in leak.related],
        holders=[reference(holder.stack, holder.goroutines) for holder in leak.holders],
        callers=[models.Caller.model_validate(caller_json(caller)) for caller in leak.callers],
        in_step=[reference(stack, view.pipeline.count(leak.service, stack.fingerprint)) for stack in leak.in_step],
        on=targets[:TARGETS],
        on_total=len(targets),
        ignore=ignore_rule(leak, view.now),
        commands=commands(view, leak),
        alert=alert(view, alerts, leak),
        unobserved=[
            models.Period(start=view.wall(pause.start), end=view.wall(pause.end))
            for pause in view.pauses.since(leak.first_seen)
        ],
    )


def _frame(view: FleetView, leak: Leak, frame: Frame) -> models.Frame:
    own, link = view.pipeline.is_own(frame), view.pipeline.source_link(leak, frame)
    return models.Frame(function=frame.function, file=frame.file, line=frame.line, own=own, source=link)


def _on_target(view: FleetView, leak: Leak, state: TargetState) -> models.OnTarget:
    """Return the count and the judgement of a leak on one target."""
    key = leak.stack.fingerprint
    series, judgement, health = state.series(key), state.judgement_of(key), view.health.get(state.target)
    process = state.process_tracker.process
    slope = float(slopes(series.history, [series.row])[0]) if series and not judgement else 0.0
    return models.OnTarget(
        target=state.target.name,
        goroutines=series.count if series else 0,
        judged=judgement is not None,
        verdict=(judgement.verdict if judgement else Verdict.NORMAL).word,
        growth_per_hour=hourly(judgement.growth) if judgement else per_hour(slope),
        confidence=judgement.confidence if judgement else 0.0,
        first_seen=view.wall(judgement.first_seen) if judgement else None,
        restarted=judgement.restarted if judgement else False,
        up=health.up if health else None,
        build=process.build if process else "",
        uptime_seconds=uptime(state.history) if state.history.since is not None else None,
    )


def _rank(target: models.OnTarget) -> tuple[bool, float, int, str]:
    return not target.judged, -(target.growth_per_hour.value or 0.0), -target.goroutines, target.target


def _stacks(view: FleetView, leak: Leak) -> list[models.StackRef]:
    """Return the stacks of a site, largest first; [] for a leak that is a single stack."""
    if not leak.stack.site:
        return []
    stacks, sums = {}, dict[str, int]()
    for state in view.states(leak.service):
        history = state.history
        for stack in history.stacks:
            if stack is not None and stack.blamed.function == leak.stack.blamed.function:
                key = stack.fingerprint
                stacks[key] = stack
                sums[key] = sums.get(key, 0) + int(history.last[history.rows[key]])
    largest = sorted(stacks.values(), key=lambda stack: -sums[stack.fingerprint])
    return [reference(stack, sums[stack.fingerprint]) for stack in largest]


def _related(related: RelatedStack) -> models.RelatedStack:
    shown = reference(related.stack, related.goroutines, related.verdict)
    return models.RelatedStack(**shown.model_dump(), growth_per_hour=hourly(related.grew))


def ignore_rule(leak: Leak, now: float) -> str:
    """Return a rule of `ignore` that hides a leak, as YAML."""
    function, service = valid_text(leak.stack.blamed.function), valid_text(leak.service)
    rule: dict[str, object] = {"function": function, "labels": {"service": service}}
    if leak.owner:
        rule["owner"] = valid_text(leak.owner)
    rule["reason"] = (
        f"why this is not a leak, or who fixes it; known since {datetime.fromtimestamp(now, UTC):%Y-%m-%d}"
    )
    rule["at_most"] = _ceiling(leak.goroutines)
    text: str = yaml.dump(
        {"ignore": [rule]}, Dumper=RuleDumper, sort_keys=False, allow_unicode=True, width=math.inf
    )
    return text


class RuleDumper(yaml.SafeDumper):
    """Writes printable ASCII plain and all other text quoted, so that a line end is not lost."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    plain = text.isascii() and text.isprintable()
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


RuleDumper.add_representer(str, _represent_text)


def _ceiling(goroutines: int) -> int:
    """Return a round number, about twice `goroutines`."""
    step: int = 10 ** max(len(str(goroutines)) - 1, 1)
    return (2 * goroutines // step + 1) * step


def alert(view: FleetView, alerts: AlertContext, leak: Leak) -> models.Alert:
    """Return the alert of a leak as leakwatch sends it to Alertmanager."""
    links, first_seen = alerts.links, view.wall(leak.first_seen)
    if leak.detected_at is None:
        rule, annotations = SUSPECTED, text.suspected(leak, links, first_seen)
    else:
        rule, annotations = LEAK, text.leaking(leak, links, first_seen)
    labels = {**alerts.external_labels(), **dict(leak_alert_labels(rule, leak))}
    return models.Alert(labels=labels, annotations=dict(annotations))
