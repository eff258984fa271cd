"""From target groups to what is scraped: rules run over the labels, which become a target and its URL.

A job may have 100,000 addresses, of which its rules drop most: what was made of an address is remembered as long
as it is found, and new ones are worked off in slices, so that scraping goes on meanwhile.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import httpx
import structlog

from leakwatch.discovery.relabel import RelabelConfig, relabel, rules
from leakwatch.discovery.target_group import HOST, TargetGroup, check_address
from leakwatch.errors import DiscoveryError
from leakwatch.model import Target
from leakwatch.settings.units import exact_duration, parse_duration, parse_size

log = structlog.get_logger()

PORTS = {"http": 80, "https": 443}
SLICE = 0.01  # seconds that others may have to wait
MOST_SAID = 10  # of what is said at once about single targets

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class JobDefaults:
    """What each target of a job starts from, before its `rules`; times in seconds, `memory_limit` in bytes."""

    name: str
    scheme: str
    path: str
    interval: float = 15.0
    timeout: float = 10.0
    rules: tuple[RelabelConfig, ...] = ()
    metrics_path: str = ""
    memory_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a target's profile is and how often to fetch it; `socket`: path of a unix socket.

    `metrics_path`: where the metrics of the service itself are, "" to never ask; `memory_limit`: in bytes.
    """

    target: Target
    url: httpx.URL
    interval: float
    timeout: float
    socket: str | None = None
    metrics_path: str = ""
    memory_limit: int | None = None


@dataclass(slots=True)
class BuiltTargets:
    """What became of the addresses of a job."""

    endpoints: list[Endpoint] = field(default_factory=list)
    dropped: int = 0
    """By a rule."""
    invalid: int = 0
    """Left out, because no target could be made of them."""


class TargetBuilder:
    """Makes endpoints of the addresses of one job."""

    def __init__(self, job: JobDefaults) -> None:
        self.job = job
        self._rules = rules(job.rules)
        self._start = {
            "job": job.name,
            "__scheme__": job.scheme,
            "__profile_path__": job.path,
            **({"__metrics_path__": job.metrics_path} if job.metrics_path else {}),
            **({"__memory_limit__": f"{job.memory_limit}B"} if job.memory_limit else {}),
            "__scrape_interval__": exact_duration(job.interval),
            "__scrape_timeout__": exact_duration(job.timeout),
        }
        self._known: dict[tuple[_Same, str], Endpoint | DiscoveryError | None] = {}

    async def resolve(self, groups: Iterable[TargetGroup]) -> BuiltTargets:
        """Return what the rules keep of `groups`; what makes no target is left out, counted and said once."""
        loop = asyncio.get_running_loop()
        before, self._known = self._known, {}
        found, new = BuiltTargets(), []
        until = loop.time() + SLICE
        for group in groups:
            labels = _Same(group.labels)
            for address in group.targets:
                key = labels, address
                made = before[key] if key in before else self._made(address, group.labels)
                self._known[key] = made
                if isinstance(made, Endpoint):
                    found.endpoints.append(made)
                elif made is None:
                    found.dropped += 1
                else:
                    found.invalid += 1
                    if key not in before:
                        new.append((address, made))
                if loop.time() > until:
                    await asyncio.sleep(0)
                    until = loop.time() + SLICE
        self._say(new)
        return found

    def _say(self, mistakes: list[tuple[str, DiscoveryError]]) -> None:
        for address, error in mistakes[:MOST_SAID]:
            log.error("target left out", job=self.job.name, target=address, error=str(error))
        if len(mistakes) > MOST_SAID:
            log.error("and more targets left out", job=self.job.name, number=len(mistakes) - MOST_SAID)

    def _made(self, address: str, labels: Labels) -> Endpoint | DiscoveryError | None:
        """Return the endpoint of one address, None if a rule drops it, or why there is none."""
        start = self._start | {name: value for name, value in labels.items() if value} | {"__address__": address}
        try:
            left = relabel(start, self._rules)
            return left if left is None else endpoint(left, self.job)
        except DiscoveryError as error:
            return error


class _Same:
    """Labels as a key: a copy of them in a frozenset would double what 100,000 targets take."""

    __slots__ = ("_hash", "_labels")

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._hash = hash(frozenset(labels.items()))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._labels == other._labels


def endpoint(labels: Labels, job: JobDefaults) -> Endpoint:
    """Return the endpoint that the labels of a target describe after all rules; raises DiscoveryError.

    A label that the rules removed counts as the job's own value. An address without a port gets that of its
    scheme. The label `service` names the service, else `job` does; `target` names the target, else its address.
    """
    scheme = labels.get("__scheme__", job.scheme)
    if scheme not in PORTS:
        raise DiscoveryError(f"__scheme__ {scheme!r} must be 'http' or 'https'")
    address = _address(labels.get("__address__", ""), scheme)
    interval = _seconds(labels, "__scrape_interval__", job.interval)
    timeout = _seconds(labels, "__scrape_timeout__", job.timeout)
    if timeout > interval:
        given = f"{exact_duration(timeout)} is longer than __scrape_interval__ {exact_duration(interval)}"
        raise DiscoveryError(f"__scrape_timeout__ {given}")
    shown = {name: value for name, value in labels.items() if not name.startswith("__")}
    target = Target(shown.get("service") or shown.get("job") or job.name, shown.get("target") or address, shown)
    path = labels.get("__profile_path__", job.path).rstrip("/")
    socket = address.removeprefix("unix://") if address.startswith("unix://") else None
    url = _url(scheme, "localhost" if socket else address, path)
    return Endpoint(target, url, interval, timeout, socket, _metrics_path(labels, job), _memory_limit(labels, job))


def _address(text: str, scheme: str) -> str:
    match = HOST.fullmatch(text)
    if match and not match[1]:
        text = f"{text}:{PORTS[scheme]}"
    if not text:
        raise DiscoveryError("no __address__ is left")
    try:
        return check_address(text)
    except ValueError as error:
        raise DiscoveryError(f"__address__ {error}") from error


def _seconds(labels: Labels, name: str, usual: float) -> float:
    text = labels.get(name)
    if text is None or text == exact_duration(usual):
        return usual
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise DiscoveryError(f"{name} {error}") from error
    if not seconds:
        raise DiscoveryError(f"{name} {text!r} must be longer than nothing")
    return seconds


def _metrics_path(labels: Labels, job: JobDefaults) -> str:
    path = labels.get("__metrics_path__", job.metrics_path)
    if not job.metrics_path or path == job.metrics_path:  # who says never means the labels of others too
        return job.metrics_path
    if not path.startswith("/") or "?" in path or "#" in path:
        raise DiscoveryError(f"__metrics_path__ {path!r} must be a path that begins with /")
    try:
        httpx.URL("http://localhost").copy_with(path=path)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise DiscoveryError(f"__metrics_path__ {path!r} is no path: {error}") from error
    return path


def _memory_limit(labels: Labels, job: JobDefaults) -> int | None:
    text = labels.get("__memory_limit__")
    if text is None:
        return job.memory_limit
    try:
        limit = parse_size(text)
    except ValueError as error:
        raise DiscoveryError(f"__memory_limit__ {error}") from error
    if not limit:
        raise DiscoveryError(f"__memory_limit__ {text!r} must be more than nothing")
    return limit


def _url(scheme: str, host: str, path: str) -> httpx.URL:
    try:
        url = httpx.URL(f"{scheme}://{host}{path}/goroutine", params={"debug": "1"})
        # Asked here, because an international name is only decoded when it is asked for.
        if url.host:
            return url
        error: Exception = ValueError("no host")
    except (httpx.InvalidURL, UnicodeError) as wrong:
        error = wrong
    raise DiscoveryError(f"no such address is possible: {error}") from error
