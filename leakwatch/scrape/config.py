"""What the configuration says of scraping: `global` and `scrape_configs`."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from leakwatch.discovery.runner import DiscoverySettings
from leakwatch.http.settings import HttpSettings
from leakwatch.profile.body import Format
from leakwatch.scrape.probes.config import ProbeSettings
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.messages import cross_field_error
from leakwatch.settings.types import Duration, Size
from leakwatch.settings.units import format_duration

DEFAULT_PATH = "/debug/pprof"
DEFAULT_METRICS = "/metrics"
DEFAULT_SIZE = 64 * 1024**2

Share = Annotated[float, Field(gt=0, le=1)]


def too_long(timeout: float, interval: float) -> str:
    """Return what is said of a timeout that is longer than the interval."""
    return f"scrape_timeout {format_duration(timeout)} is longer than scrape_interval {format_duration(interval)}"


class GlobalConfig(BaseSettings):
    """`global`: what every scrape configuration starts from."""

    scrape_interval: Duration = 15.0
    """Between two scrapes of a target."""
    scrape_timeout: Duration = 10.0
    """Over the whole answer; never longer than the interval."""
    scrape_cost_limit: Share = 0.01
    """Share of one of the service's cores: the interval stretches to last duration / limit."""
    body_size_limit: Size = DEFAULT_SIZE
    """Of a profile, decompressed; a larger one fails as `too_large`."""

    @model_validator(mode="after")
    def _timeout_fits(self) -> Self:
        timeout, interval = self.scrape_timeout, self.scrape_interval
        # The default gives way to a short interval.
        misfits = [(("scrape_timeout",), too_long(timeout, interval))] if timeout > interval else []
        if "scrape_timeout" in self.model_fields_set and (error := cross_field_error(misfits)):
            raise error
        return self


class ScrapeConfig(DiscoverySettings, HttpSettings, ProbeSettings):
    """One of `scrape_configs`: which targets, and how to scrape them."""

    job_name: Annotated[str, Field(min_length=1)]
    """Of its own in the file; also the label `service`, unless a target group sets another."""
    scrape_interval: Duration | None = None
    """Without it that of `global`."""
    scrape_timeout: Duration | None = None
    """Without it that of `global`."""
    scrape_cost_limit: Share | None = None
    """Without it that of `global`."""
    body_size_limit: Size | None = None
    """Without it that of `global`."""
    scheme: Literal["http", "https"] = "http"
    """The label `__scheme__` overrides it."""
    profile_path: Annotated[str, Field(pattern="^/")] = DEFAULT_PATH
    """Where net/http/pprof is; the label `__profile_path__` overrides it."""
    profile_format: Format = "text"
    """`debug=1` or `debug=0`, which is smaller and has wait reasons by itself."""
    metrics_path: Annotated[str, Field(pattern=r"^(/[^?#]*)?$")] = DEFAULT_METRICS
    """Where the service's own metrics are, which say what memory it uses; "" to never ask."""
    memory_limit: Size | None = None
    """Of each target, in bytes; where it is not said, that of the cgroup of a process on this machine."""
    target_limit: Annotated[int, Field(ge=0)] = 0
    """The most targets after relabeling, 0 for any number: when more are found, the former ones stay."""

    @field_validator("metrics_path")
    @classmethod
    def _is_no_profile(cls, path: str) -> str:
        if path.startswith(DEFAULT_PATH):
            raise ValueError("is where the service's own metrics are; where its profiles are is profile_path")
        return path

    @model_validator(mode="after")
    def _watches_something(self) -> Self:
        if not self.discoverer_configs():
            raise ValueError(
                f"job {self.job_name!r} has no targets: give it static_configs or one of the ..._sd_configs"
            )
        return self
