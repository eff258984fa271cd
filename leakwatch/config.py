"""The configuration: keys of the file, and options of the command line that override them."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Final, Self

import yaml
from pydantic import AfterValidator, Field, PrivateAttr, ValidationError, model_validator

from leakwatch.causes.catalogue import Catalogue
from leakwatch.causes.catalogue import read as read_catalogue
from leakwatch.detect.columns import SCRAPES_PER_BLOCK
from leakwatch.discovery.target_group import LabelName
from leakwatch.errors import ConfigError, UsageError
from leakwatch.evidence.config import EvidenceConfig
from leakwatch.leaks.config import DetectionConfig, IgnoreConfig
from leakwatch.leaks.ownership.config import CodeownersConfig, LinksConfig, Teams
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.notify.config import AlertingConfig
from leakwatch.scrape.config import GlobalConfig, ScrapeConfig, ScrapeJob, too_long
from leakwatch.scrape.prometheus_api import PrometheusConfig
from leakwatch.scrape.target_url import with_targets
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.file import parse_settings, read_settings
from leakwatch.settings.messages import Location, cross_field_error, friendly_message
from leakwatch.settings.types import ConfigFile
from leakwatch.settings.units import format_duration
from leakwatch.storage.config import StorageConfig
from leakwatch.web.server.config import WebConfig

OPTIONS: Final = {
    ("web", "external_url"): "--web.external-url",  # first: an error of the whole section is about its path
    ("web", "listen"): "--listen",
    ("web", "route_prefix"): "--web.route-prefix",
    ("web", "allowed_hosts"): "--web.allowed-host",
    ("web", "enable_lifecycle"): "--web.enable-lifecycle",
    ("warm_from", "url"): "--warm-from",
    ("evidence", "path"): "--evidence.path",
    ("storage", "path"): "--storage.path",
}
"""Section and key -> the command line option that overrides it; `--target` adds to `scrape_configs`."""

DEFAULT_FOLDER: Final = Path("data")  # of the state, in the working directory
EVIDENCE: Final = "evidence"  # in the folder of the state

Value = str | bool | Sequence[str]
"""The value of an option."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """Values of command line options: additional `targets`, written [service=]URL, and values of `OPTIONS`."""

    targets: Sequence[str] = ()
    values: Mapping[tuple[str, str], Value | None] = field(default_factory=dict)
    """None: the option is not given."""

    @property
    def given(self) -> Mapping[tuple[str, str], Value]:
        """The values of the given options."""
        return {key: value for key, value in self.values.items() if value is not None}

    def option_at(self, location: Location) -> str:
        """Return the option of an invalid key: its own, another one of the section, or any given one."""
        if location[:1] == ("scrape_configs",) or not self.given:
            return "--target"
        given = [key for key in OPTIONS if key in self.given]
        return OPTIONS[max(given, key=lambda key: (key == location[:2], key[:1] == location[:1]))]


OF_TARGETS: Final = ("service", "target", "stack", "function", "wait", "verdict", "owner", "bound", "age")
OF_ALERTS: Final = ("severity", "alertname", "alertstate")
OF_PROCESS: Final = ("instance", "job", "pod", "container", "endpoint")
"""Labels of a process of leakwatch, which the alert rules remove."""


def _target_labels(names: tuple[str, ...]) -> tuple[str, ...]:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ValueError(f"{name!r} is named twice")
        if name.startswith("__"):
            raise ValueError(f"{name!r}: labels that begin with __ do not exist after relabeling")
        if name in {*OF_TARGETS, *OF_ALERTS, *OF_PROCESS}:
            hint = "; leaks have it without this key" if name == "owner" else ""
            raise ValueError(f"{name!r} is a label of leakwatch's own metrics or alerts{hint}")
    return names


class MetricsConfig(BaseSettings):
    """`metrics`: limits that protect Prometheus, and labels of targets."""

    stacks_per_target: Annotated[int, Field(ge=0)] = 50
    """Exported series of stacks per target, besides those of judged stacks; the rest is `stack="other"`."""
    series_limit: Annotated[int, Field(ge=0)] = 10_000
    """Series of leakwatch_stack_goroutines over all targets."""
    target_labels: Annotated[tuple[LabelName, ...], AfterValidator(_target_labels)] = ()
    """Labels of targets that leakwatch_up, the metrics of leaks, and alerts have. A leak has those labels that are
    equal on all targets of its service."""
    verdict_label: bool = False
    """Whether all metrics of leaks have the label `verdict`, for rules and dashboards that need it. The version
    after 0.1 removes this key; use leakwatch_leak_verdict."""


class Config(BaseSettings):
    """The whole file."""

    global_: Annotated[GlobalConfig, Field(alias="global")] = GlobalConfig()
    scrape_configs: tuple[ScrapeConfig, ...] = ()
    detection: DetectionConfig = DetectionConfig()
    ignore: tuple[IgnoreConfig, ...] = ()
    owners: Teams = Field(default_factory=dict)
    """Package, package prefix, type or function -> team; the most specific entry for the blamed function wins."""
    codeowners: tuple[CodeownersConfig, ...] = ()
    """Owners of the code that `owners` does not cover."""
    causes: tuple[ConfigFile, ...] = ()
    """Files of further likely causes, beside those of leakwatch. They are read at the start and at each reload."""
    links: LinksConfig = LinksConfig()
    metrics: MetricsConfig = MetricsConfig()
    alerting: AlertingConfig = AlertingConfig()
    evidence: EvidenceConfig = EvidenceConfig()
    storage: StorageConfig = StorageConfig()
    web: WebConfig = WebConfig()
    warm_from: PrometheusConfig | None = None
    """Prometheus from which leakwatch loads the histories at the start."""

    _catalogue: Catalogue = PrivateAttr(default_factory=Catalogue)

    @model_validator(mode="after")
    def _read_causes(self) -> Self:
        if self.causes:
            self._catalogue = read_catalogue(self.causes)
        return self

    @model_validator(mode="after")
    def _check_keys_together(self) -> Self:
        if error := cross_field_error(self._conflicts()):
            raise error
        return self

    def _conflicts(self) -> Iterator[tuple[Location, str]]:
        """Yield each key that conflicts with others, and a message."""
        names = [job.job_name for job in self.scrape_configs]
        for number, job in enumerate(self.scrape_configs):
            location = ("scrape_configs", number)
            if job.job_name in names[:number]:
                yield (*location, "job_name"), f"job_name {job.job_name!r} is used twice"
            interval = self.interval(job)
            if job.scrape_timeout is not None and job.scrape_timeout > interval:
                message = f"job {job.job_name!r}: {too_long(job.scrape_timeout, interval)}"
                yield (*location, "scrape_timeout"), message
        yield from self._short_block()
        if self.links.needs_module and not self.codeowners:
            message = (
                "links.source has {path}, but no module is known: write {example.com/acme/shop: <template>},"
                " or name the module under codeowners"
            )
            yield ("links", "source"), message

    def _short_block(self) -> Iterator[tuple[Location, str]]:
        """Yield the key to change if a block is too short for the job with the longest interval."""
        intervals = enumerate(map(self.interval, self.scrape_configs))
        number, interval = max(intervals, key=itemgetter(1), default=(0, 0.0))
        if self.detection.block >= SCRAPES_PER_BLOCK * interval:
            return
        job = self.scrape_configs[number]
        message = (
            f"job {job.job_name!r}: detection.block {format_duration(self.detection.block)} is shorter"
            f" than {SCRAPES_PER_BLOCK} times scrape_interval {format_duration(interval)}"
        )
        if "block" in self.detection.model_fields_set:
            yield ("detection", "block"), message
        elif job.scrape_interval:
            yield ("scrape_configs", number, "scrape_interval"), message
        else:
            yield ("global", "scrape_interval"), message

    def override(self, options: Overrides) -> "Config":
        """Return the configuration with the values of command line options; raises UsageError."""
        keys = {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}
        keys["scrape_configs"] = with_targets(self.scrape_configs, options.targets)
        for (section, key), value in options.given.items():
            if isinstance(keys[section], BaseSettings):
                keys[section] = keys[section].model_dump(exclude_unset=True)
            keys[section] = {**(keys[section] or {}), key: value}
        try:
            return Config.model_validate(keys)
        except ValidationError as error:
            detail = error.errors()[0]
            raise UsageError(f"{options.option_at(detail['loc'])}: {friendly_message(detail)}") from error

    def with_storage(self, default: Path | None) -> "Config":
        """Return the configuration with the folders of state and evidence; `default`: for the state."""
        folder = default if self.storage.path is None else self.storage.path
        storage = self.storage.model_copy(update={"path": folder or ""})
        evidence = self.evidence
        if evidence.path is None and folder:
            evidence = evidence.model_copy(update={"path": Path(folder) / EVIDENCE})
        return self.model_copy(update={"storage": storage, "evidence": evidence})

    @property
    def summary(self) -> str:
        """The number of jobs, targets, discoverers, receivers and rules, in one line."""
        jobs = self.scrape_configs
        counts = {
            "scrape_configs": len(jobs),
            "static targets": sum(len(group.targets) for job in jobs for group in job.static_configs),
        }
        counts |= Counter(
            f"{kind}_sd_configs" for job in jobs for kind, _ in job.discoverer_configs() if kind != "static"
        )
        counts |= {"alertmanagers": len(self.alerting.alertmanagers), "owners": len(self.owners)}
        counts |= {"codeowners": len(self.codeowners), "ignore rules": len(self.ignore)}
        counts |= {"files of causes": len(self.causes)}
        parts = [f"{number} {name}" for name, number in counts.items() if number or name == "scrape_configs"]
        return ", ".join([*parts, *(["warm_from"] if self.warm_from else [])])

    def to_yaml(self) -> str:
        """Return the configuration as YAML, with all defaults and without secrets."""
        data = self.model_dump(mode="json", by_alias=True, exclude_none=True)  # secrets hide themselves in JSON
        text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        return text

    def judging(self) -> DetectionSettings:
        """Return the settings of the detection, with ignore rules, owners and links."""
        repositories = tuple(repository.repository() for repository in self.codeowners)
        return DetectionSettings(
            block=self.detection.block,
            own_code=self.detection.own_code,
            owners=self.owners,
            series_limit=self.detection.series_limit,
            page_within=self.detection.page_within,
            ignore=tuple(rule.rule() for rule in self.ignore),
            repositories=repositories,
            links=self.links.links(repositories),
            causes=self._catalogue,
            redaction=self.evidence.redact.redaction(),
            target_labels=self.metrics.target_labels,
        )

    def interval(self, job: ScrapeConfig) -> float:
        """Return the interval of a job, in seconds."""
        return job.scrape_interval or self.global_.scrape_interval

    def jobs(self) -> list[ScrapeJob]:
        """Return the jobs of `scrape_configs`, with the defaults of `global` filled in."""
        return [job.job(self.global_) for job in self.scrape_configs]


def load(path: Path, options: Overrides = Overrides()) -> Config:
    """Return the configuration in `path`, overridden by `options`.

    Raises ConfigError if it is invalid or has no targets, and UsageError if an option is invalid.
    """
    config = read_config(path).override(options)
    if not config.scrape_configs:
        raise ConfigError(f"{path}: nothing to watch: no scrape_configs, and no --target is given")
    return config.with_storage(DEFAULT_FOLDER if DEFAULT_FOLDER.is_dir() else None)


def read_config(path: Path) -> Config:
    """Return the configuration in `path`, which may have no targets; raises ConfigError."""
    return read_settings(path, Config)


def parse(text: str, name: str, directory: Path) -> Config:
    """Return the configuration in `text`; raises ConfigError with a line per error, which begins with `name`."""
    return parse_settings(text, name, directory, Config)


def schema() -> str:
    """Return the JSON Schema of the file, for editors."""
    return json.dumps(Config.model_json_schema(by_alias=True), indent=2) + "\n"
