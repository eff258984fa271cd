"""Targets: the list with its filters, and one target with its stacks. Pure: state in, models out."""

from collections.abc import Collection
from typing import Literal

import numpy as np

from leakwatch.detect.columns import Mask, Sums
from leakwatch.detect.history import History
from leakwatch.detect.trend import slopes
from leakwatch.detect.windows import BLOCK_WINDOWS
from leakwatch.errors import NotFoundError
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Target, TargetHealth, Verdict
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.api.leaks import hourly, per_hour, quoted
from leakwatch.web.api.models import targets as models
from leakwatch.web.api.models.types import valid_text

FIRST = min(window.columns for window in BLOCK_WINDOWS)
"""Blocks of the shortest window: no verdict is possible before."""

State = Literal["up", "down", "unknown"]
LEAST_CHANGE, NOISE = 5.0, 3.0
"""Goroutines, and standard deviations of random arrivals, by which the count of a steady stack may change."""
UNREACHED = frozenset({"connection", "tls"})
"""Reasons for failed scrapes that cost the target nothing."""
STATES: dict[bool | None, State] = {True: "up", False: "down", None: "unknown"}


def target_list(
    view: FleetView,
    *,
    service: str = "",
    states: Collection[str] = (),
    q: str = "",
    limit: int = 100,
    offset: int = 0,
) -> models.TargetList:
    """Return the targets that pass all filters: those that are down first, then by service and name.

    `q`: text in the service, the name, the error or a label; case does not matter.
    """
    text = valid_text(q).casefold()
    selected = [
        (target, health)
        for target, health in view.health.items()
        if (not service or valid_text(target.service) == service)
        and (not states or STATES[health.up] in states)
        and (not text or text in _searched(target, health))
    ]
    selected.sort(key=lambda pair: (pair[1].up is not False, pair[0].service, pair[0].name))
    return models.TargetList(
        now=view.wall(view.now),
        total=len(selected),
        known=len(view.health),
        up=sum(health.up is True for health in view.health.values()),
        down=sum(health.up is False for health in view.health.values()),
        targets=[
            models.TargetSummary(**summary(view, target, health))
            for target, health in selected[offset : offset + limit]
        ],
    )


def find(view: FleetView, path: str) -> tuple[Target, TargetHealth]:
    """Return the target at `path`, service/name; raise NotFoundError.

    Both names may contain slashes: the first split that gives a target counts.
    """
    parts = path.split("/")
    for number in range(1, len(parts)):
        target = Target("/".join(parts[:number]), "/".join(parts[number:]))
        if target in view.health:
            state = view.pipeline.targets.get(target)
            return (state.target if state else target), view.health[target]
    raise NotFoundError(f"there is no target {path!r}; a removed target has no page")


def summary(view: FleetView, target: Target, health: TargetHealth) -> dict[str, object]:
    """Return the fields of a list entry."""
    state = view.pipeline.targets.get(target)
    return {
        "id": f"{quoted(target.service)}/{quoted(target.name)}",
        "service": target.service,
        "target": target.name,
        "up": health.up,
        "reason": health.reason,
        "error": health.error,
        "since": view.wall(health.since) if health.since else None,
        "scraped_at": view.wall(health.time) if health.time else None,
        "duration_seconds": health.duration,
        "body_bytes": health.body_bytes,
        "interval_seconds": health.interval,
        "stretched_by": health.stretched_by,
        "cost_ratio": cost_ratio(health),
        "goroutines": state.total if state else 0,
        "stacks": int(np.count_nonzero(state.history.last)) + state.history.folded_stacks if state else 0,
        "restarts": state.restarts if state else 0,
        "mixed": state.process_tracker.mixed if state else False,
        "judged_in_seconds": judged_in(state),
    }


def cost_ratio(health: TargetHealth) -> float | None:
    """Return the largest share of one core that scrapes of a target may take; None if it could not be reached."""
    return None if health.up is False and health.reason in UNREACHED else health.cost


def judged_in(state: TargetState | None) -> float | None:
    """Return the seconds until the first verdict on a target is possible, None before its first scrape."""
    if state is None or state.history.since is None:
        return None
    history = state.history
    if history.closed >= FIRST:
        return 0.0
    return max(history.block_start + (FIRST - history.closed) * history.block - (history.time or 0.0), 0.0)


def target_view(
    view: FleetView, path: str, *, sort: models.Sort = "growth", q: str = "", limit: int = 50, offset: int = 0
) -> models.Target:
    """Return all details of a target, with one page of its stacks; raise NotFoundError.

    `q`: text in the function, file, origin, wait reason or fingerprint of a stack; case does not matter.
    """
    target, health = find(view, path)
    state, scrape_target = view.pipeline.targets.get(target), view.scrape_targets.get(target)
    process = state.process_tracker.process if state else None
    history = state.history if state else None
    rows = stack_rows(state, sort, q) if state else []
    return models.Target(
        **summary(view, target, health),
        now=view.wall(view.now),
        job=scrape_target.job.name if scrape_target else "",
        url=scrape_target.endpoint.shown_url if scrape_target else "",
        configured_interval_seconds=scrape_target.endpoint.interval if scrape_target else None,
        labels=dict(target.labels),
        process=models.Process(start=process.start, build=process.build) if process else None,
        results=dict(health.results),
        watched_since=view.wall(history.since) if history and history.since else None,
        block_seconds=history.block if history else 0.0,
        blocks_closed=history.closed if history else 0,
        full_dump_at=view.wall(history.dumps.time) if history and history.dumps.time else None,
        full_dump_pause_seconds=(state.probe_results.longest_pause or None) if state else None,
        folded_stacks=history.folded_stacks if history else 0,
        folded_goroutines=history.folded if history else 0,
        sort=sort,
        stacks_found=len(rows),
        stacks_shown=rows[offset : offset + limit],
    )


def stack_rows(state: TargetState, sort: models.Sort, q: str = "") -> list[models.StackRow]:
    """Return the stacks of a target that have goroutines or a verdict, sorted."""
    history, text, rows = state.history, valid_text(q).casefold(), []
    slope = slopes(history)
    steady = _steady(history, slope)
    for key, row in history.rows.items():
        stack, count = history.stacks[row], int(history.last[row])
        judgement = state.judgement_of(key)
        if stack is None or not (count or judgement):
            continue
        blamed = stack.blamed
        fields = {"function": blamed.function, "file": blamed.file, "origin": stack.origin, "wait": stack.wait}
        if text and text not in valid_text("\n".join((*fields.values(), key))).casefold():
            continue
        rows.append(
            models.StackRow(
                stack=key,
                **fields,
                line=blamed.line,
                goroutines=count,
                growth_per_hour=hourly(judgement.growth) if judgement else per_hour(float(slope[row])),
                steady=judgement is None and bool(steady[row]),
                verdict=(judgement.verdict if judgement else Verdict.NORMAL).word,
                liveness=history.liveness.word(key),
            )
        )
    orders = {
        "growth": lambda row: (
            0.0 if row.steady else -(row.growth_per_hour.value or 0.0),
            -row.goroutines,
            row.stack,
        ),
        "count": lambda row: (-row.goroutines, row.stack),
        "name": lambda row: (row.function, row.stack),
    }
    return sorted(rows, key=orders[sort])


def _steady(history: History, slope: Sums) -> Mask:
    """Return whether the count of each row has changed over the latest blocks by at most the noise."""
    change = np.abs(slope) * np.count_nonzero(history.blocks.scrapes) * history.block
    return np.asarray(change <= np.maximum(NOISE * np.sqrt(history.last), LEAST_CHANGE), np.bool_)


def _searched(target: Target, health: TargetHealth) -> str:
    parts = (target.service, target.name, health.reason, health.error, *target.labels.values())
    return valid_text("\n".join(parts)).casefold()
