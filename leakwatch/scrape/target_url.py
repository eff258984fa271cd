"""Targets of the command line: `--target [service=]URL`."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pydantic import ValidationError

from leakwatch.discovery.target_builder import OWN_PARAMS
from leakwatch.discovery.target_group import HOST
from leakwatch.errors import UsageError, quote, redacted, without_credentials
from leakwatch.scrape.config import DEFAULT_PATH, ScrapeConfig
from leakwatch.settings.messages import friendly_message
from leakwatch.settings.redaction import hide

PORTS = {"http": 80, "https": 443}
"""Default ports of URLs. An address without a scheme must have a port."""


def with_targets(jobs: Sequence[ScrapeConfig], texts: Iterable[str]) -> tuple[ScrapeConfig, ...]:
    """Return `jobs` and those of targets of the command line, written [service=]URL; raises UsageError.

    A target with a service has a job of this name, together with other such targets of the same settings. If
    another job has the name, the job of the target is named by its whole text.
    """
    own: list[ScrapeConfig] = []
    for text in texts:
        job = target_job(text)
        same_name = [other for other in (*jobs, *own) if other.job_name == job.job_name]
        first = next((other for other in own if _can_join(job, other)), None)
        if first:
            job = first.model_copy(update={"static_configs": (*first.static_configs, *job.static_configs)})
            own[own.index(first)] = job
            continue
        is_repeated = any(job.static_configs[0] in other.static_configs for other in same_name)
        if same_name and not is_repeated:  # the configuration rejects a target that is given twice
            job = job.model_copy(update={"job_name": _without_secrets(text)})
        own.append(job)
    return (*jobs, *own)


def _can_join(job: ScrapeConfig, other: ScrapeConfig) -> bool:
    """Return whether both jobs differ in their target only."""
    return (
        other.model_copy(update={"static_configs": job.static_configs}) == job
        and job.static_configs[0] not in other.static_configs
    )


def _without_secrets(text: str) -> str:
    return without_credentials(text).partition("?")[0]


def target_job(text: str) -> ScrapeConfig:
    """Return the scrape configuration of a target of the command line; raises UsageError."""
    name, equals, url = text.partition("=")
    service, url = (name, url) if equals and "://" not in name else ("", text)
    try:
        if url != text and not service:
            raise ValueError("there is no service before the =")  # noqa: TRY301  gets the message of the errors below
        parts = urlsplit(url if "://" in url else f"http://{url}")
        return ScrapeConfig.model_validate(_settings(text, parts, service))
    except ValidationError as error:
        # An unknown scheme causes the other errors.
        first = min(error.errors(), key=lambda detail: detail["loc"] != ("scheme",))
        raise _error(text, friendly_message(first)) from error
    except ValueError as error:
        raise _error(text, str(error)) from error


def _error(text: str, problem: str) -> UsageError:
    return UsageError(f"target {quote(redacted(text))}: {hide(problem, text)}")


def _settings(text: str, parts: SplitResult, service: str) -> dict[str, Any]:
    """Return the keys of a scrape configuration for one URL."""
    socket = parts.scheme == "unix"
    address = f"unix://{parts.path}" if socket else parts.netloc.rpartition("@")[2]
    host = HOST.fullmatch(address)
    if "://" in text and parts.scheme in PORTS and host and not host[1]:
        address = f"{address}:{PORTS[parts.scheme]}"
    path = "" if socket else parts.path.rstrip("/").removesuffix("/goroutine")
    settings: dict[str, Any] = {
        "job_name": service or _without_secrets(text),
        "scheme": "http" if socket else parts.scheme,
        "profile_path": path or DEFAULT_PATH,
        "static_configs": ({"targets": (address,), "labels": {"service": service or address}},),
    }
    params = {name: tuple(values) for name, values in parse_qs(parts.query).items() if name not in OWN_PARAMS}
    if params:
        settings["params"] = params
    if parts.username:
        settings["basic_auth"] = {"username": unquote(parts.username), "password": unquote(parts.password or "")}
    return settings
