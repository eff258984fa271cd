"""The configuration: what a file and the command line may say."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from leakwatch.detect.columns import SCRAPES_PER_BLOCK
from leakwatch.errors import ConfigError, UsageError
from leakwatch.evidence.config import EvidenceConfig
from leakwatch.leaks.config import DetectionConfig, IgnoreConfig
from leakwatch.leaks.ownership.config import CodeownersConfig, LinksConfig, Teams
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.notify.config import AlertingConfig
from leakwatch.scrape.config import GlobalConfig, ScrapeConfig, too_long
from leakwatch.scrape.prometheus_api import PrometheusConfig
from leakwatch.scrape.target_url import target_job
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.file import parse_settings, read_settings
from leakwatch.settings.messages import Location, cross_field_error, friendly_message
from leakwatch.settings.units import format_duration
from leakwatch.web.server.config import OPTIONS, WebConfig


class MetricsConfig(BaseSettings):
    """`metrics`: what protects Prometheus."""

    stacks_per_target: Annotated[int, Field(ge=0)] = 50
    """Stack series exported per target, and all that are judged; the rest is `stack="other"`."""
    series_limit: Annotated[int, Field(ge=0)] = 10_000
    """Of leakwatch_stack_goroutines, over all targets."""


class Config(BaseSettings):
    """The whole file: what is watched, how it is judged, and who is told."""

    global_: Annotated[GlobalConfig, Field(alias="global")] = GlobalConfig()
    scrape_configs: tuple[ScrapeConfig, ...] = ()
    detection: DetectionConfig = DetectionConfig()
    ignore: tuple[IgnoreConfig, ...] = ()
    owners: Teams = Field(default_factory=dict)
    """Package, or one above it, type or function -> team; the closest to the blamed function counts."""
    codeowners: tuple[CodeownersConfig, ...] = ()
    """Whose what is that `owners` does not name."""
    links: LinksConfig = LinksConfig()
    metrics: MetricsConfig = MetricsConfig()
    alerting: AlertingConfig = AlertingConfig()
    evidence: EvidenceConfig = EvidenceConfig()
    web: WebConfig = WebConfig()
    warm_from: PrometheusConfig | None = None
    """Whom to ask for what was known before."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if error := cross_field_error(self._misfits()):
            raise error
        return self

    def _misfits(self) -> Iterator[tuple[Location, str]]:
        """Yield each key that does not go with others."""
        names = [job.job_name for job in self.scrape_configs]
        for at, job in enumerate(self.scrape_configs):
            here = ("scrape_configs", at)
            if job.job_name in names[:at]:
                yield (*here, "job_name"), f"job_name {job.job_name!r} is used twice"
            interval = self.interval(job)
            if job.scrape_timeout is not None and job.scrape_timeout > interval:
                yield (*here, "scrape_timeout"), f"job {job.job_name!r}: {too_long(job.scrape_timeout, interval)}"
        yield from self._short_block()
        if self.links.needs_module and not self.codeowners:
            said = (
                "links.source has {path}, but no module is known: write {example.com/acme/shop: <template>},"
                " or name the module under codeowners"
            )
            yield ("links", "source"), said

    def _short_block(self) -> Iterator[tuple[Location, str]]:
        """Yield the key to blame where a block is too short for the job that scrapes least often."""
        at, interval = max(enumerate(map(self.interval, self.scrape_configs)), key=itemgetter(1), default=(0, 0.0))
        if self.detection.block >= SCRAPES_PER_BLOCK * interval:
            return
        job = self.scrape_configs[at]
        said = (
            f"job {job.job_name!r}: detection.block {format_duration(self.detection.block)} is shorter"
            f" than {SCRAPES_PER_BLOCK} times scrape_interval {format_duration(interval)}"
        )
        if "block" in self.detection.model_fields_set:
            yield ("detection", "block"), said
        elif job.scrape_interval:
            yield ("scrape_configs", at, "scrape_interval"), said
        else:
            yield ("global", "scrape_interval"), said

    def with_targets(self, urls: Sequence[str]) -> "Config":
        """Return the configuration with a job for each of `urls`, written [service=]URL; raises UsageError."""
        jobs = (*self.scrape_configs, *map(target_job, urls))
        return self._changed("scrape_configs", jobs, "--target")

    def serving(self, **given: str | None) -> "Config":
        """Return the configuration with other values of these keys of `web`, but for None; raises UsageError."""
        config = self
        for key, value in given.items():
            if value is not None:
                config = config._changed("web", config.web.model_dump() | {key: value}, OPTIONS[key])
        return config

    def warmed(self, url: str) -> "Config":
        """Return the configuration with another `warm_from.url`; raises UsageError."""
        known = self.warm_from.model_dump(exclude_unset=True) if self.warm_from else {}
        return self._changed("warm_from", known | {"url": url}, "--warm-from")

    def keeping(self, path: str) -> "Config":
        """Return the configuration with another `evidence.path`; raises UsageError."""
        known = self.evidence.model_dump(exclude_unset=True)
        return self._changed("evidence", known | {"path": path}, "--evidence.path")

    @property
    def summary(self) -> str:
        """What there is, for who wants to see that nothing was forgotten."""
        jobs, told = self.scrape_configs, self.alerting.alertmanagers
        found = {
            "scrape_configs": len(jobs),
            "static targets": sum(len(group.targets) for job in jobs for group in job.static_configs),
        }
        found |= Counter(
            f"{kind}_sd_configs" for job in jobs for kind, _ in job.discoverer_configs() if kind != "static"
        )
        found |= {"alertmanagers": len(told), "owners": len(self.owners), "codeowners": len(self.codeowners)}
        found["ignore rules"] = len(self.ignore)
        said = [f"{number} {what}" for what, number in found.items() if number or what == "scrape_configs"]
        return ", ".join([*said, *(["warm_from"] if self.warm_from else [])])

    def judging(self) -> DetectionSettings:
        """Return how the pipeline is to judge, and whose what it finds is."""
        repositories = tuple(one.repository() for one in self.codeowners)
        return DetectionSettings(
            self.detection.block,
            self.detection.own_code,
            self.owners,
            self.detection.series_limit,
            tuple(one.rule() for one in self.ignore),
            repositories,
            self.links.links(repositories),
        )

    def _changed(self, key: str, value: Any, option: str) -> "Config":
        known = {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}
        try:
            return Config.model_validate(known | {key: value})
        except ValidationError as error:
            raise UsageError(f"{option}: {friendly_message(error.errors()[0])}") from error

    def interval(self, job: ScrapeConfig) -> float:
        """Return the seconds between two scrapes of a job's targets."""
        return job.scrape_interval or self.global_.scrape_interval

    def timeout(self, job: ScrapeConfig) -> float:
        """Return the seconds that a scrape may take, never longer than the interval."""
        return min(job.scrape_timeout or self.global_.scrape_timeout, self.interval(job))

    def cost_limit(self, job: ScrapeConfig) -> float:
        """Return the share of a core that scraping may cost a target."""
        return job.scrape_cost_limit or self.global_.scrape_cost_limit

    def size_limit(self, job: ScrapeConfig) -> int:
        """Return the largest body taken from a target, in bytes."""
        return job.body_size_limit or self.global_.body_size_limit


def load(path: Path, targets: Sequence[str] = ()) -> Config:
    """Return the configuration in `path` with more `targets`, written [service=]URL.

    Raises ConfigError, also when there is nothing to watch.
    """
    config = read_config(path).with_targets(targets)
    if not config.scrape_configs:
        raise ConfigError(f"{path}: nothing to watch: no scrape_configs, and no --target is given")
    return config


def read_config(path: Path) -> Config:
    """Return the configuration in `path`, which may watch nothing; raises ConfigError."""
    return read_settings(path, Config)


def parse(text: str, name: str, directory: Path) -> Config:
    """Return the configuration in `text`, which errors call `name`; raises ConfigError with a line per mistake."""
    return parse_settings(text, name, directory, Config)


def schema() -> str:
    """Return the JSON Schema of the file, for editors."""
    return json.dumps(Config.model_json_schema(by_alias=True), indent=2) + "\n"
