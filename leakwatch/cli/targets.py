"""Lists the discovered addresses for `leakwatch targets`: targets, and other addresses with the reason."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from leakwatch.cli.terminal import json_text
from leakwatch.discovery.relabel import Drop, RelabelConfig
from leakwatch.discovery.runner import DiscoveryRunner
from leakwatch.discovery.target_builder import PARAM, Endpoint, TargetBuilder
from leakwatch.errors import MASK, redacted
from leakwatch.model import Target
from leakwatch.profile.escape import escaped
from leakwatch.scrape.config import ScrapeJob

Status = Literal["target", "dropped", "invalid", "duplicate"]
ADDRESS_LABEL = "__address__"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedAddress:
    """One address of a job. `reason`: of a status other than "target"; `labels`: before relabeling."""

    job: str
    address: str
    status: Status
    endpoint: Endpoint | None = None
    reason: str = ""
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class TargetListing:
    """The addresses of all jobs, by job, and a message per discoverer without a result or job above its limit."""

    jobs: dict[str, list[ListedAddress]]
    problems: list[str]


async def discover(jobs: Sequence[ScrapeJob], timeout: float) -> TargetListing:  # noqa: ASYNC109  of all discoverers
    """Return the addresses that the discoverers of `jobs` find within `timeout` seconds."""
    changed = asyncio.Event()
    runner = DiscoveryRunner(changed.set)
    runner.configure({job.name: job.discovery for job in jobs})
    with contextlib.suppress(TimeoutError):  # a discoverer without a result is reported below
        async with asyncio.timeout(timeout):
            while runner.waiting()[0]:
                await changed.wait()
                changed.clear()
    problems = [
        f"job {status.job}: {status.mechanism} discovery failed"
        for status in runner.statuses()
        if status.failures and status.succeeded is None
    ]
    if waiting := runner.waiting()[0]:
        problems.append(f"{waiting} of {len(runner.statuses())} discoverers did not answer in time")
    runner.stop()
    seen: dict[Target, Endpoint] = {}
    listed = {job.name: list(_addresses(job, runner, seen)) for job in jobs}
    return TargetListing(listed, [*problems, *_above_limits(jobs, listed)])


def _above_limits(jobs: Sequence[ScrapeJob], listed: dict[str, list[ListedAddress]]) -> Iterator[str]:
    for job in jobs:
        number = sum(address.endpoint is not None for address in listed[job.name])
        if job.target_limit and number > job.target_limit:
            yield f"job {job.name}: {number} targets exceed target_limit {job.target_limit}, none is scraped"


def _addresses(job: ScrapeJob, runner: DiscoveryRunner, seen: dict[Target, Endpoint]) -> Iterator[ListedAddress]:
    """Yield the addresses of a job; addresses with the same endpoint are one target. `seen`: targets so far."""
    builder = TargetBuilder(job.defaults)
    for group in runner.groups(job.name):
        for address in group.targets:
            result, drop = builder.relabeled(address, group.labels), builder.drop(address, group.labels)
            status: Status = "invalid"
            reason = ""
            if isinstance(result, Endpoint):
                first = seen.setdefault(result.target, result)
                if first is not result and first == result:
                    continue
                status = "target" if first is result else "duplicate"
                reason = "" if first is result else f"{first.shown_url} has the same service and name, and applies"
            elif drop is not None:
                status, reason = "dropped", _rule_text(drop, job.defaults.rules[drop.rule])
            else:
                reason = str(result)
            yield ListedAddress(
                job=job.name,
                address=redacted(address),
                status=status,
                endpoint=result if isinstance(result, Endpoint) else None,
                reason=reason,
                labels=_without_secrets(builder.initial_labels(address, group.labels)),
            )


def _rule_text(drop: Drop, rule: RelabelConfig) -> str:
    """Return the rule that dropped an address, and the value that it tested."""
    names = rule.separator.join(rule.source_labels)
    equal = rule.action in {"keepequal", "dropequal"}
    operand = rule.target_label if equal else repr(rule.regex)
    return f"relabel_configs[{drop.rule}]: {rule.action} {operand}, {names} is {drop.source!r}"


def _without_secrets(labels: dict[str, str]) -> dict[str, str]:
    hidden = {name: MASK for name in labels if name.startswith(PARAM)}
    return labels | hidden | {ADDRESS_LABEL: redacted(labels[ADDRESS_LABEL])}


def to_json(listing: TargetListing) -> str:
    """Return the addresses as a JSON list."""
    return json_text([_document(address) for addresses in listing.jobs.values() for address in addresses])


def _document(address: ListedAddress) -> dict[str, object]:
    document: dict[str, object] = {"job": address.job, "address": address.address, "status": address.status}
    if address.endpoint is not None:
        target = address.endpoint.target
        document |= {"service": target.service, "target": target.name, "url": address.endpoint.shown_url}
        document |= {"labels": dict(target.labels)}
    if address.reason:
        document |= {"reason": address.reason}
    return document | {"discovered_labels": dict(sorted(address.labels.items()))}


def text(listing: TargetListing) -> str:
    """Return the addresses for a terminal: per job its targets, then the other addresses with the reason."""
    lines: list[str] = []
    for job, addresses in listing.jobs.items():
        counts = Counter(address.status for address in addresses)
        number = counts.pop("target", 0)
        numbers = [
            f"{number} target{'' if number == 1 else 's'}",
            *(f"{counts[status]} {status}" for status in counts),
        ]
        lines.append(f"job {job}: {', '.join(numbers)}")
        for address in sorted(addresses, key=lambda address: address.status != "target"):
            lines += _lines(address)
    return "".join(f"{escaped(line)}\n" for line in lines)


def _lines(row: ListedAddress) -> list[str]:
    if row.status != "target" or row.endpoint is None:
        return [f"  {row.address}  {row.status}", f"      {row.reason}"]
    target = row.endpoint.target
    labels = ", ".join(f'{name}="{value}"' for name, value in sorted(target.labels.items()))
    return [f"  {target.service}  {target.name}  {row.endpoint.shown_url}", f"      {labels}"]
