"""One leak: its stack, the targets that it is on, and what to do about it. Pure: state in, models out."""

import math
from datetime import UTC, datetime

import yaml

from leakwatch.detect.trend import slopes
from leakwatch.leaks.labels import leak_labels, leak_url
from leakwatch.leaks.model import Leak
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Frame, Verdict
from leakwatch.notify import annotations as text
from leakwatch.notify.rules import LEAK, SUSPECTED, alert_labels
from leakwatch.web.api import findings as closer
from leakwatch.web.api.aggregate import history_of
from leakwatch.web.api.commands import commands
from leakwatch.web.api.leaks import find, hourly, per_hour, reference, sparklines, summary
from leakwatch.web.api.models import leaks as models
from leakwatch.web.api.models.types import whole
from leakwatch.web.api.state import AppState

ON = 100  # targets of one leak; beyond, there is the list of targets
STACKS = 20  # of a site


def leak_view(source: AppState, service: str, stack: str) -> models.Leak:
    """Return all of one leak; raises NotFoundError."""
    leak = find(source, service, stack)
    found = source.pipeline.service(leak.service)
    states = list(found.targets.values()) if found else []
    on = sorted((_on(source, leak, state) for state in states), key=_rank)
    parts = _stacks(source, leak)
    lines = sparklines(source, leak.service, {leak.stack.fingerprint: leak.goroutines})
    return models.Leak(
        **summary(source, leak, lines),
        now=source.wall(source.now()),
        highest=leak.highest.word,
        grew_per_hour=hourly(leak.grew),
        truncated=leak.stack.truncated,
        findings=closer.findings(leak.findings),
        frames=[_frame(source, leak, at) for at in leak.stack.frames],
        stacks=parts[:STACKS],
        stacks_total=len(parts),
        related_stacks=_related(source, leak),
        on=on[:ON],
        on_total=len(on),
        ignore=ignore_rule(leak, source.now()),
        commands=commands(source, leak),
        alert=alert(source, leak),
    )


def _frame(source: AppState, leak: Leak, at: Frame) -> models.Frame:
    own, link = source.pipeline.is_own(at), source.pipeline.source_link(leak, at)
    return models.Frame(function=at.function, file=at.file, line=at.line, own=own, source=link)


def _on(source: AppState, leak: Leak, state: TargetState) -> models.OnTarget:
    """Return what is known of a leak on one target."""
    key = leak.stack.fingerprint
    said = state.judgement_of(key)
    health = source.health().get(state.target)
    followed = history_of(state, key)
    slope = float(slopes(followed[0], [followed[1]])[0]) if followed else 0.0
    return models.OnTarget(
        target=state.target.name,
        goroutines=state.count(key),
        judged=said is not None,
        verdict=(said.verdict if said else Verdict.NORMAL).word,
        growth_per_hour=hourly(said.growth) if said else per_hour(slope),
        confidence=said.confidence if said else 0.0,
        first_seen=source.wall(said.first_seen) if said else None,
        restarted=said.restarted if said else False,
        up=health.up if health else None,
    )


def _rank(on: models.OnTarget) -> tuple[bool, float, int, str]:
    return not on.judged, -(on.growth_per_hour.value or 0.0), -on.goroutines, on.target


def _stacks(source: AppState, leak: Leak) -> list[models.StackRef]:
    """Return the stacks that a site is made of, the largest first; none for a single stack."""
    found = source.pipeline.service(leak.service)
    if found is None or not leak.stack.site:
        return []
    stacks, sums = {}, dict[str, int]()
    for state in found.targets.values():
        history = state.history
        for stack in history.stacks:
            if stack is not None and stack.blamed.function == leak.stack.blamed.function:
                key = stack.fingerprint
                stacks[key] = stack
                sums[key] = sums.get(key, 0) + int(history.last[history.rows[key]])
    largest = sorted(stacks.values(), key=lambda stack: -sums[stack.fingerprint])
    return [reference(stack, sums[stack.fingerprint]) for stack in largest]


def _related(source: AppState, leak: Leak) -> list[models.StackRef]:
    service = source.pipeline.service(leak.service)
    candidates = service.leaks.candidates if service else {}
    found = []
    for stack in leak.related:
        candidate = candidates.get(stack.fingerprint)
        count = source.pipeline.count(leak.service, stack.fingerprint)
        found.append(reference(stack, count, candidate.verdict if candidate else Verdict.NORMAL))
    return sorted(found, key=lambda other: -other.goroutines)


def ignore_rule(leak: Leak, now: float) -> str:
    """Return the rule of `ignore` that keeps out a leak, as YAML."""
    rule: dict[str, object] = {"function": whole(leak.stack.blamed.function)}
    rule["labels"] = {"service": whole(leak.service)}
    if leak.owner:
        rule["owner"] = whole(leak.owner)
    rule["reason"] = (
        f"why this is no leak, or who mends it; known since {datetime.fromtimestamp(now, UTC):%Y-%m-%d}"
    )
    rule["at_most"] = _ceiling(leak.goroutines)
    text: str = yaml.dump({"ignore": [rule]}, Dumper=Plain, sort_keys=False, allow_unicode=True, width=math.inf)
    return text


class Plain(yaml.SafeDumper):
    """Writes text as it is where it is plain, and with escapes where it is not: no line end may get lost."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    plain = text.isascii() and text.isprintable()
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


Plain.add_representer(str, _text)


def _ceiling(goroutines: int) -> int:
    """Return a round number, about twice as many."""
    step: int = 10 ** max(len(str(goroutines)) - 1, 1)
    return (2 * goroutines // step + 1) * step


def alert(source: AppState, leak: Leak) -> models.Alert:
    """Return the alert of a leak as it is sent to Alertmanager."""
    url, first_seen = leak_url(source.url, leak), source.wall(leak.first_seen)
    told = leak.detected_at is not None
    rule = LEAK if told else SUSPECTED
    said = text.leaking(leak, url, first_seen) if told else text.suspected(leak, url, first_seen)
    external = source.config().alerting.external_labels
    return models.Alert(labels={**external, **dict(alert_labels(rule, leak_labels(leak)))}, annotations=dict(said))
