"""Settings of scraping: `global` and `scrape_configs`."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from leakwatch.discovery.runner import DiscoverySettings
from leakwatch.discovery.target_builder import OWN_PARAMS, TargetDefaults
from leakwatch.http.settings import HttpSettings
from leakwatch.profile.body import Format
from leakwatch.scrape.probes.config import ProbeSettings
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.messages import cross_field_error
from leakwatch.settings.types import Duration, Secret, Size, unquoted_error
from leakwatch.settings.units import format_duration

DEFAULT_PATH = "/debug/pprof"
DEFAULT_METRICS = "/metrics"
DEFAULT_SIZE = 64 * 1024**2

Share = Annotated[float, Field(gt=0, le=1)]


def too_long(timeout: float, interval: float) -> str:
    """Return the error of a timeout that is longer than the interval."""
    return f"scrape_timeout {format_duration(timeout)} is longer than scrape_interval {format_duration(interval)}"


class GlobalConfig(BaseSettings):
    """`global`: defaults of all scrape configurations."""

    scrape_interval: Duration = 15.0
    """Time between two scrapes of a target."""
    scrape_timeout: Duration = 10.0
    """Time until the response is complete; not longer than the interval."""
    scrape_cost_limit: Share = 0.01
    """Share of one core that scrapes may take. Slow scrapes stretch the interval to duration / limit."""
    body_size_limit: Size = DEFAULT_SIZE
    """Largest size of a profile, decompressed. The scrape of a larger profile fails as `too_large`."""

    @model_validator(mode="after")
    def _timeout_fits(self) -> Self:
        timeout, interval = self.scrape_timeout, self.scrape_interval
        # The default timeout may be longer: it is cut to the interval.
        misfits = [(("scrape_timeout",), too_long(timeout, interval))] if timeout > interval else []
        if "scrape_timeout" in self.model_fields_set and (error := cross_field_error(misfits)):
            raise error
        return self


class ScrapeConfig(DiscoverySettings, HttpSettings, ProbeSettings):
    """One of `scrape_configs`: targets, and how they are scraped."""

    job_name: Annotated[str, Field(min_length=1)]
    """Unique name of the job. It is also the label `service`, unless a target group sets that label."""
    scrape_interval: Duration | None = None
    """Default: the key of `global`."""
    scrape_timeout: Duration | None = None
    """Default: the key of `global`."""
    scrape_cost_limit: Share | None = None
    """Default: the key of `global`."""
    body_size_limit: Size | None = None
    """Default: the key of `global`."""
    scheme: Literal["http", "https"] = "http"
    """Scheme of the URL; the label `__scheme__` overrides it."""
    profile_path: Annotated[str, Field(pattern="^/[^?#]*$")] = DEFAULT_PATH
    """Path of net/http/pprof; the label `__profile_path__` overrides it."""
    params: dict[Annotated[str, Field(min_length=1)], tuple[Secret, ...]] = Field(default_factory=dict)
    """Query parameters of profiles, such as `authKey`. A label `__param_<name>` overrides the first value."""
    profile_format: Format = "text"
    """`text` is `debug=1`; `proto` is `debug=0`, which is smaller and contains wait reasons."""
    metrics_path: Annotated[str, Field(pattern=r"^(/[^?#]*)?$")] = DEFAULT_METRICS
    """Path of the metrics of the service, which have its memory usage; "" disables the request."""
    memory_limit: Size | None = None
    """Memory limit of each target; default: the limit of the cgroup, for a process on the same machine."""
    target_limit: Annotated[int, Field(ge=0)] = 0
    """Largest number of targets after relabeling, 0 for no limit. Above it, the previous targets stay."""

    @field_validator("params")
    @classmethod
    def _has_no_own_params(cls, params: dict[str, tuple[SecretStr, ...]]) -> dict[str, tuple[SecretStr, ...]]:
        if own := sorted(OWN_PARAMS & params.keys()):
            raise unquoted_error(f"leakwatch sets the parameter {own[0]}; profile_format is the format")
        return params

    @field_validator("metrics_path")
    @classmethod
    def _is_not_profile_path(cls, path: str) -> str:
        if path.startswith(DEFAULT_PATH):
            raise ValueError(
                "must be the path of the metrics of the service; the path of its profiles is profile_path"
            )
        return path

    @model_validator(mode="after")
    def _has_targets(self) -> Self:
        if not self.discoverer_configs():
            raise ValueError(
                f"job {self.job_name!r} has no targets: give it static_configs or one of the ..._sd_configs"
            )
        return self

    def job(self, defaults: GlobalConfig) -> "ScrapeJob":
        """Return the job of this configuration, with missing keys taken from `global`."""
        interval = self.scrape_interval or defaults.scrape_interval
        return ScrapeJob(
            name=self.job_name,
            defaults=TargetDefaults(
                job=self.job_name,
                scheme=self.scheme,
                path=self.profile_path,
                interval=interval,
                timeout=min(self.scrape_timeout or defaults.scrape_timeout, interval),
                rules=self.relabel_configs,
                metrics_path=self.metrics_path,
                memory_limit=self.memory_limit,
                params=self.query_params(),
            ),
            http=HttpSettings.model_construct(**self._part(HttpSettings)),
            probes=ProbeSettings.model_construct(**self._part(ProbeSettings)),
            cost_limit=self.scrape_cost_limit or defaults.scrape_cost_limit,
            size_limit=self.body_size_limit or defaults.body_size_limit,
            form=self.profile_format,
            target_limit=self.target_limit,
            discovery=self,
        )

    def query_params(self) -> dict[str, list[str]]:
        """Return the values of `params`, which may be secrets."""
        return {name: [value.get_secret_value() for value in values] for name, values in self.params.items()}

    def _part(self, kind: type[BaseSettings]) -> dict[str, Any]:
        """Return the keys that belong to one of the base classes."""
        return {name: getattr(self, name) for name in kind.model_fields}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeJob:
    """A scrape configuration with all defaults filled in.

    Jobs are equal if they scrape their targets in the same way: what labels can override is part of the endpoint.

    `cost_limit`: share of a core; `size_limit`: bytes; `target_limit`: largest number of targets, 0 for no limit.
    """

    name: str
    defaults: TargetDefaults = field(compare=False)
    http: HttpSettings
    probes: ProbeSettings
    cost_limit: float
    size_limit: int
    form: Format
    target_limit: int = field(compare=False)
    discovery: DiscoverySettings = field(compare=False)
