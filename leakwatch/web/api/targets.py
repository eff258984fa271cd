"""Targets: the list, filtered, and all of one with its stacks. Pure: state in, models out."""

from collections.abc import Collection
from typing import Literal

import numpy as np

from leakwatch.detect.trend import slopes
from leakwatch.detect.windows import BLOCK_WINDOWS
from leakwatch.errors import NotFoundError
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Target, TargetHealth, Verdict
from leakwatch.web.api.commands import plan_of
from leakwatch.web.api.leaks import hourly, per_hour, quoted
from leakwatch.web.api.models import targets as models
from leakwatch.web.api.models.types import whole
from leakwatch.web.api.state import AppState

FIRST = min(window.columns for window in BLOCK_WINDOWS)
"""Blocks that the shortest window needs: before, there is no verdict."""

State = Literal["up", "down", "unknown"]
UNREACHED = frozenset({"connection", "tls"})
"""Reasons for which a scrape fails before the target has any work with it."""
STATES: dict[bool | None, State] = {True: "up", False: "down", None: "unknown"}


def target_list(
    source: AppState,
    *,
    service: str = "",
    states: Collection[str] = (),
    q: str = "",
    limit: int = 100,
    offset: int = 0,
) -> models.TargetList:
    """Return the targets that pass all filters: those that are down first, then by service and name.

    `q`: text that is in the service, the name, the error or a label, in any case.
    """
    health = source.health()
    words = whole(q).casefold()
    found = [
        (target, state)
        for target, state in health.items()
        if (not service or whole(target.service) == service)
        and (not states or STATES[state.up] in states)
        and (not words or words in _searched(target, state))
    ]
    found.sort(key=lambda one: (one[1].up is not False, one[0].service, one[0].name))
    return models.TargetList(
        now=source.wall(source.now()),
        total=len(found),
        known=len(health),
        up=sum(state.up is True for state in health.values()),
        down=sum(state.up is False for state in health.values()),
        targets=[
            models.TargetSummary(**summary(source, target, state))
            for target, state in found[offset : offset + limit]
        ],
    )


def find(source: AppState, path: str) -> tuple[Target, TargetHealth]:
    """Return the target at `path`, service/name; raises NotFoundError.

    Both may have slashes in them: the first way to part them that gives a target counts.
    """
    parts = path.split("/")
    health = source.health()
    for cut in range(1, len(parts)):
        target = Target("/".join(parts[:cut]), "/".join(parts[cut:]))
        if target in health:
            known = source.pipeline.targets.get(target)
            return (known.target if known else target), health[target]
    raise NotFoundError(f"there is no target {path!r}; one that goes away is forgotten here at once")


def summary(source: AppState, target: Target, target_health: TargetHealth) -> dict[str, object]:
    """Return the fields of a summary."""
    state = source.pipeline.targets.get(target)
    return {
        "id": f"{quoted(target.service)}/{quoted(target.name)}",
        "service": target.service,
        "target": target.name,
        "up": target_health.up,
        "reason": target_health.reason,
        "error": target_health.error,
        "since": source.wall(target_health.since) if target_health.since else None,
        "scraped_at": source.wall(target_health.time) if target_health.time else None,
        "duration_seconds": target_health.duration,
        "body_bytes": target_health.body_bytes,
        "interval_seconds": target_health.interval,
        "cost_ratio": cost_ratio(target_health),
        "goroutines": state.total if state else 0,
        "stacks": int(np.count_nonzero(state.history.last)) + state.history.folded_stacks if state else 0,
        "restarts": state.restarts if state else 0,
        "mixed": state.process_tracker.mixed if state else False,
        "judged_in_seconds": judged_in(state),
    }


def cost_ratio(state: TargetHealth) -> float | None:
    """Return the share of one core that scraping takes of a target, at most; None if it was not even reached."""
    if state.up is False and state.reason in UNREACHED:
        return None
    return state.duration / state.interval if state.interval else 0.0


def judged_in(state: TargetState | None) -> float | None:
    """Return the seconds until a first verdict on a target is possible, None while it was never scraped."""
    if state is None or state.history.since is None:
        return None
    history = state.history
    if history.closed >= FIRST:
        return 0.0
    return max(history.block_start + (FIRST - history.closed) * history.block - (history.time or 0.0), 0.0)


def target_view(
    source: AppState, path: str, *, sort: models.Sort = "growth", q: str = "", limit: int = 50, offset: int = 0
) -> models.Target:
    """Return all of one target, with a page of its stacks; raises NotFoundError.

    `q`: text that is in the function, file, origin, wait reason or fingerprint of a stack, in any case.
    """
    target, target_health = find(source, path)
    state = source.pipeline.targets.get(target)
    plan = plan_of(source, target)
    process = state.process_tracker.process if state else None
    history = state.history if state else None
    rows = stack_rows(state, sort, q) if state else []
    return models.Target(
        **summary(source, target, target_health),
        now=source.wall(source.now()),
        job=plan.job.name if plan else "",
        url=str(plan.endpoint.url) if plan else "",
        configured_interval_seconds=plan.endpoint.interval if plan else None,
        labels=dict(target.labels),
        process=models.Process(start=process.start, build=process.build) if process else None,
        results=dict(target_health.results),
        watched_since=source.wall(history.since) if history and history.since else None,
        block_seconds=history.block if history else 0.0,
        blocks_closed=history.closed if history else 0,
        folded_stacks=history.folded_stacks if history else 0,
        folded_goroutines=history.folded if history else 0,
        sort=sort,
        stacks_found=len(rows),
        stacks_shown=rows[offset : offset + limit],
    )


def stack_rows(state: TargetState, sort: models.Sort, q: str = "") -> list[models.StackRow]:
    """Return the stacks of a target that have goroutines or a verdict, sorted."""
    history, words, found = state.history, whole(q).casefold(), []
    slope = slopes(history)
    for key, row in history.rows.items():
        stack, count = history.stacks[row], int(history.last[row])
        said = state.judged.get(key)
        if stack is None or not (count or said):
            continue
        at = stack.blamed
        fields = {"function": at.function, "file": at.file, "origin": stack.origin, "wait": stack.wait}
        if words and words not in whole("\n".join((*fields.values(), key))).casefold():
            continue
        found.append(
            models.StackRow(
                stack=key,
                **fields,
                line=at.line,
                goroutines=count,
                growth_per_hour=hourly(said.judgement.growth) if said else per_hour(float(slope[row])),
                verdict=(said.judgement.verdict if said else Verdict.NORMAL).word,
            )
        )
    orders = {
        "growth": lambda one: (-(one.growth_per_hour.value or 0.0), -one.goroutines, one.stack),
        "count": lambda one: (-one.goroutines, one.stack),
        "name": lambda one: (one.function, one.stack),
    }
    return sorted(found, key=orders[sort])


def _searched(target: Target, state: TargetHealth) -> str:
    return whole(
        "\n".join((target.service, target.name, state.reason, state.error, *target.labels.values()))
    ).casefold()
