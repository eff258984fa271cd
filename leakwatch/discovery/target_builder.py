"""Builds scrape endpoints from target groups: applies relabel rules, and parses the resulting labels.

A job can have 100,000 addresses, most of which its rules drop. Results are cached while discovery returns the same
address with the same labels. New addresses are processed in slices, so that the event loop is not blocked.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx
import structlog

from leakwatch.discovery.relabel import Drop, RelabelConfig, dropping_rule, relabel, rules
from leakwatch.discovery.target_group import HOST, TargetGroup, check_address
from leakwatch.errors import DiscoveryError, redacted
from leakwatch.model import Target
from leakwatch.settings.redaction import hide
from leakwatch.settings.units import exact_duration, parse_duration, parse_size

log = structlog.get_logger()

PORTS = {"http": 80, "https": 443}
SLICE = 0.01  # seconds of work before other tasks of the event loop run
MAX_LOGGED = 10  # invalid addresses that are logged one by one
PARAM = "__param_"
OWN_PARAMS = frozenset({"debug", "gc", "seconds"})
"""Query parameters of net/http/pprof that leakwatch sets by itself."""

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetDefaults:
    """The settings of a job that its targets have unless labels override them, and its relabel rules.

    Times in seconds, `memory_limit` in bytes.
    """

    job: str
    scheme: str
    path: str
    interval: float = 15.0
    timeout: float = 10.0
    rules: tuple[RelabelConfig, ...] = ()
    metrics_path: str = ""
    memory_limit: int | None = None
    params: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Query parameters of profiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A target, the URL of its profile, and its scrape times in seconds."""

    target: Target
    url: httpx.URL
    """Its query has the parameters of the job, which may be secrets. Show `shown_url` instead."""
    interval: float
    timeout: float
    socket: str | None = None
    """Path of a unix socket."""
    metrics_path: str = ""
    """Path of the service's own metrics; "" if leakwatch must not request them."""
    memory_limit: int | None = None
    """Bytes."""

    @property
    def shown_url(self) -> str:
        """The URL for pages and commands, without the values of the job's parameters."""
        hidden = dict.fromkeys(self.url.params.keys() - OWN_PARAMS, "hidden")
        return str(self.url.copy_merge_params(hidden)) if hidden else str(self.url)

    @property
    def shown_profile_url(self) -> str:
        """The URL of the protobuf profile for commands, without the values of the job's parameters."""
        return str(httpx.URL(self.shown_url).copy_remove_param("debug")).removesuffix("?")


@dataclass(slots=True)
class RelabeledTargets:
    """The addresses of a job after relabeling."""

    endpoints: list[Endpoint] = field(default_factory=list)
    dropped: int = 0
    """Number of addresses that a rule dropped."""
    invalid: int = 0
    """Number of addresses with invalid labels."""


class TargetBuilder:
    """Builds the endpoints of one job."""

    def __init__(self, defaults: TargetDefaults) -> None:
        self.defaults = defaults
        self._rules = rules(defaults.rules)
        self._default_labels = {
            "job": defaults.job,
            "__scheme__": defaults.scheme,
            "__profile_path__": defaults.path,
            **({"__metrics_path__": defaults.metrics_path} if defaults.metrics_path else {}),
            **({"__memory_limit__": f"{defaults.memory_limit}B"} if defaults.memory_limit else {}),
            "__scrape_interval__": exact_duration(defaults.interval),
            "__scrape_timeout__": exact_duration(defaults.timeout),
            **{f"{PARAM}{name}": values[0] for name, values in defaults.params.items() if values},
        }
        self._results: dict[tuple[_LabelsKey, str], Endpoint | DiscoveryError | None] = {}

    async def build(self, groups: Iterable[TargetGroup]) -> RelabeledTargets:
        """Return the endpoints of `groups`; count addresses that are dropped or invalid, log new invalid ones."""
        loop = asyncio.get_running_loop()
        previous, self._results = self._results, {}
        targets, new_errors = RelabeledTargets(), []
        slice_end = loop.time() + SLICE
        for group in groups:
            labels = _LabelsKey(group.labels)
            for address in group.targets:
                key = labels, address
                result = previous[key] if key in previous else self.relabeled(address, group.labels)
                self._results[key] = result
                if isinstance(result, Endpoint):
                    targets.endpoints.append(result)
                elif result is None:
                    targets.dropped += 1
                else:
                    targets.invalid += 1
                    if key not in previous:
                        new_errors.append((address, result))
                if loop.time() > slice_end:
                    await asyncio.sleep(0)
                    slice_end = loop.time() + SLICE
        self._log_errors(new_errors)
        return targets

    def initial_labels(self, address: str, labels: Labels) -> dict[str, str]:
        """Return the labels of an address before relabeling: those of the job, then those of its group."""
        group_labels = {name: value for name, value in labels.items() if value}
        return self._default_labels | group_labels | {"__address__": address}

    def relabeled(self, address: str, labels: Labels) -> Endpoint | DiscoveryError | None:
        """Return the endpoint of one address, None if a rule drops it, or the error of its labels."""
        try:
            result = relabel(self.initial_labels(address, labels), self._rules)
            return None if result is None else endpoint(result, self.defaults)
        except DiscoveryError as error:
            return error

    def drop(self, address: str, labels: Labels) -> Drop | None:
        """Return the rule that drops an address, None if no rule does."""
        return dropping_rule(self.initial_labels(address, labels), self._rules)

    def _log_errors(self, errors: list[tuple[str, DiscoveryError]]) -> None:
        for address, error in errors[:MAX_LOGGED]:
            log.error(
                "target left out", job=self.defaults.job, target=redacted(address), error=hide(str(error), address)
            )
        if len(errors) > MAX_LOGGED:
            log.error("further targets left out", job=self.defaults.job, number=len(errors) - MAX_LOGGED)


class _LabelsKey:
    """Labels as a key of a mapping. A frozenset of them would double the memory of 100,000 targets."""

    __slots__ = ("_hash", "_labels")

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._hash = hash(frozenset(labels.items()))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _LabelsKey) and self._labels == other._labels


def endpoint(labels: Labels, defaults: TargetDefaults) -> Endpoint:
    """Return the endpoint that the labels of a target describe after all rules; raises DiscoveryError.

    If the rules removed a label, the default of the job applies. An address without a port gets the port of its
    scheme. The label `service` names the service, by default `job` does. The label `target` names the target, by
    default its address does.
    """
    scheme = labels.get("__scheme__", defaults.scheme)
    if scheme not in PORTS:
        raise DiscoveryError(f"__scheme__ {scheme!r} must be 'http' or 'https'")
    address = _address(labels.get("__address__", ""), scheme)
    interval = _seconds(labels, "__scrape_interval__", defaults.interval)
    timeout = _seconds(labels, "__scrape_timeout__", defaults.timeout)
    if timeout > interval:
        durations = f"{exact_duration(timeout)} is longer than __scrape_interval__ {exact_duration(interval)}"
        raise DiscoveryError(f"__scrape_timeout__ {durations}")
    shown = {name: value for name, value in labels.items() if not name.startswith("__")}
    service = shown.get("service") or shown.get("job") or defaults.job
    path = labels.get("__profile_path__", defaults.path).rstrip("/")
    socket = address.removeprefix("unix://") if address.startswith("unix://") else None
    return Endpoint(
        target=Target(service, shown.get("target") or address, shown),
        url=_url(scheme, "localhost" if socket else address, path, _params(labels, defaults)),
        interval=interval,
        timeout=timeout,
        socket=socket,
        metrics_path=_metrics_path(labels, defaults),
        memory_limit=_memory_limit(labels, defaults),
    )


def _address(text: str, scheme: str) -> str:
    match = HOST.fullmatch(text)
    if match and not match[1]:
        text = f"{text}:{PORTS[scheme]}"
    if not text:
        raise DiscoveryError("__address__ is empty")
    try:
        return check_address(text)
    except ValueError as error:
        raise DiscoveryError(f"__address__ {error}") from error


def _seconds(labels: Labels, name: str, default: float) -> float:
    text = labels.get(name)
    if text is None or text == exact_duration(default):
        return default
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise DiscoveryError(f"{name} {error}") from error
    if not seconds:
        raise DiscoveryError(f"{name} {text!r} must be greater than 0")
    return seconds


def _metrics_path(labels: Labels, defaults: TargetDefaults) -> str:
    path = labels.get("__metrics_path__", defaults.metrics_path)
    # A job without metrics_path must never request metrics, so a label cannot override it.
    if not defaults.metrics_path or path == defaults.metrics_path:
        return defaults.metrics_path
    if not path.startswith("/") or "?" in path or "#" in path:
        raise DiscoveryError(f"__metrics_path__ {path!r} must be a path that begins with /")
    try:
        httpx.URL("http://localhost").copy_with(path=path)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise DiscoveryError(f"__metrics_path__ {path!r} is not a path: {error}") from error
    return path


def _memory_limit(labels: Labels, defaults: TargetDefaults) -> int | None:
    text = labels.get("__memory_limit__")
    if text is None:
        return defaults.memory_limit
    try:
        limit = parse_size(text)
    except ValueError as error:
        raise DiscoveryError(f"__memory_limit__ {error}") from error
    if not limit:
        raise DiscoveryError(f"__memory_limit__ {text!r} must be greater than 0")
    return limit


def _params(labels: Labels, defaults: TargetDefaults) -> dict[str, Sequence[str]]:
    """Return the query parameters of a target. As in Prometheus, a label sets the first value of its parameter."""
    params = {name: list(values) for name, values in defaults.params.items() if values}
    for label in sorted(labels):
        if label.startswith(PARAM):
            name = label.removeprefix(PARAM)
            if name in OWN_PARAMS:
                raise DiscoveryError(f"{label}: leakwatch sets this parameter")
            params[name] = [labels[label], *params.get(name, ())[1:]]
    return {"debug": ["1"], **params}


def _url(scheme: str, host: str, path: str, params: Mapping[str, Sequence[str]]) -> httpx.URL:
    try:
        url = httpx.URL(f"{scheme}://{host}{path}/goroutine", params=params)
        # httpx decodes an international host name only here, and raises an error if it is invalid.
        if url.host:
            return url
        error: Exception = ValueError("no host")
    except (httpx.InvalidURL, UnicodeError) as url_error:
        error = url_error
    raise DiscoveryError(f"invalid URL: {error}") from error
