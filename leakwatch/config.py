"""The configuration: what a file may say, and errors that name file, line, key and the nearest good key."""

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from leakwatch.client import HttpSettings, Settings
from leakwatch.columns import SCRAPES_PER_BLOCK
from leakwatch.discovery.file import FileConfig
from leakwatch.discovery.static import StaticConfig
from leakwatch.errors import ConfigError, quote
from leakwatch.judging import DetectionConfig, IgnoreConfig
from leakwatch.units import Duration, Size, format_duration

DEFAULT_PATH = "/debug/pprof"
DEFAULT_SIZE = 64 * 1024**2

MESSAGES = {
    "tuple_type": "must be a list",
    "model_type": "must be a mapping of keys",
    "dict_type": "must be a mapping",
    "missing": "is missing",
    "string_type": "must be text",
}
"""What pydantic says, in the words of somebody who writes YAML."""

Share = Annotated[float, Field(gt=0, le=1)]


def _listen(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} must be host:port, for example 127.0.0.1:9979 or :9979")
    if ":" in host.strip("[]") and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"{text!r}: write an IPv6 address in brackets")
    return text


Listen = Annotated[str, AfterValidator(_listen)]


class GlobalConfig(Settings):
    """`global`: what every scrape configuration starts from."""

    scrape_interval: Duration = 15.0
    scrape_timeout: Duration = 10.0
    scrape_cost_limit: Share = 0.01
    """Share of one of the service's cores: the interval stretches to last duration / limit."""
    body_size_limit: Size = DEFAULT_SIZE


class ScrapeConfig(HttpSettings):
    """One of `scrape_configs`: which targets, and how to scrape them."""

    job_name: Annotated[str, Field(min_length=1)]
    scrape_interval: Duration | None = None
    scrape_timeout: Duration | None = None
    scrape_cost_limit: Share | None = None
    body_size_limit: Size | None = None
    scheme: Literal["http", "https"] = "http"
    profile_path: Annotated[str, Field(pattern="^/")] = DEFAULT_PATH
    profile_format: Literal["text"] = "text"
    static_configs: tuple[StaticConfig, ...] = ()
    file_sd_configs: tuple[FileConfig, ...] = ()


class MetricsConfig(Settings):
    """`metrics`: what protects Prometheus."""

    stacks_per_target: Annotated[int, Field(ge=0)] = 50
    series_limit: Annotated[int, Field(ge=0)] = 10_000
    """Of leakwatch_stack_goroutines, over all targets."""


class WebConfig(Settings):
    """`web`: where to listen."""

    listen: Listen = "127.0.0.1:9979"
    external_url: Annotated[str, Field(pattern="^https?://")] | None = None


class Config(Settings):
    """The whole file. `GlobalConfig` is called `global` there."""

    global_: Annotated[GlobalConfig, Field(alias="global")] = GlobalConfig()
    scrape_configs: tuple[ScrapeConfig, ...] = ()
    detection: DetectionConfig = DetectionConfig()
    ignore: tuple[IgnoreConfig, ...] = ()
    owners: dict[str, str] = Field(default_factory=dict)
    """Prefix of a package -> team; the longest prefix of the blamed function counts."""
    metrics: MetricsConfig = MetricsConfig()
    web: WebConfig = WebConfig()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [job.job_name for job in self.scrape_configs]
        for job in self.scrape_configs:
            if names.count(job.job_name) > 1:
                raise ValueError(f"job_name {job.job_name!r} is used twice")
            interval = self.interval(job)
            if job.scrape_timeout is not None and job.scrape_timeout > interval:
                raise ValueError(
                    f"job {job.job_name!r}: scrape_timeout {format_duration(job.scrape_timeout)} is longer than"
                    f" scrape_interval {format_duration(interval)}"
                )
            if self.detection.block < SCRAPES_PER_BLOCK * interval:
                raise ValueError(
                    f"job {job.job_name!r}: detection.block {format_duration(self.detection.block)} is shorter"
                    f" than {SCRAPES_PER_BLOCK} times scrape_interval {format_duration(interval)}"
                )
        return self

    def with_targets(self, urls: Sequence[str]) -> "Config":
        """Return the configuration with a job for each of `urls`, written [service=]URL; raises ConfigError."""
        jobs = (*self.scrape_configs, *map(target_job, urls))
        return self._changed("scrape_configs", jobs)

    def listening(self, listen: str) -> "Config":
        """Return the configuration with another address to listen on; raises ConfigError."""
        return self._changed("web", self.web.model_dump() | {"listen": listen})

    def _changed(self, key: str, value: Any) -> "Config":
        known = {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}
        try:
            return Config.model_validate(known | {key: value})
        except ValidationError as error:
            raise ConfigError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error

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


def load(path: Path) -> Config:
    """Return the configuration in `path`; files it names are relative to it. Raises ConfigError."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return parse(text, str(path), path.parent)


def parse(text: str, name: str, directory: Path) -> Config:
    """Return the configuration in `text`, which errors call `name`; raises ConfigError with a line per mistake."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
        mistakes = list(_repeated_keys(node, name))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"{name}:{mark.line + 1 if mark else 1}: {error.problem or error.context}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: nested too deeply, or within itself") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{name}: {error}") from error
    if not mistakes:
        try:
            return Config.model_validate({} if data is None else data, context={"directory": directory})
        except ValidationError as error:
            details = sorted(error.errors(), key=lambda detail: _line(detail["loc"], node))
            mistakes = [_mistake(detail, node, name) for detail in details]
    raise ConfigError("\n".join(mistakes))


def without_user(url: str) -> str:
    """Return `url` without the user and password in it, to be shown."""
    return re.sub(r"//[^/@]*@", "//", url)


def target_job(text: str) -> ScrapeConfig:
    """Return the scrape configuration of one --target, [service=]URL; raises ConfigError."""
    name, equals, url = text.partition("=")
    service, url = (name, url) if equals and "://" not in name else ("", text)
    if "://" not in url:
        url = f"http://{url}"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"--target {quote(without_user(text))}: {error}") from error
    socket = parts.scheme == "unix"
    address = f"unix://{parts.path}" if socket else parts.netloc.rpartition("@")[2]
    path = "" if socket else parts.path.rstrip("/").removesuffix("/goroutine")
    settings: dict[str, Any] = {
        "job_name": without_user(text),
        "scheme": "http" if socket else parts.scheme,
        "profile_path": path or DEFAULT_PATH,
        "static_configs": ({"targets": (address,), "labels": {"service": service or address}},),
    }
    if parts.username:
        settings["basic_auth"] = {"username": unquote(parts.username), "password": unquote(parts.password or "")}
    try:
        return ScrapeConfig.model_validate(settings)
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"--target {quote(without_user(text))}: {said}") from error


def schema() -> str:
    """Return the JSON Schema of the file, for editors."""
    return json.dumps(Config.model_json_schema(by_alias=True), indent=2) + "\n"


def _repeated_keys(node: yaml.Node | None, name: str) -> Iterator[str]:
    """Yield a mistake for each key that a mapping has twice: YAML would silently take the last."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield f"{name}:{key.start_mark.line + 1}: {quote(str(key.value))} is given twice"
            seen.add(key.value)
            yield from _repeated_keys(value, name)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated_keys(item, name)


def _mistake(detail: ErrorDetails, node: yaml.Node | None, name: str) -> str:
    """Return one line that says where a mistake is and how to mend it."""
    place = f"{name}:{_line(detail['loc'], node)}"
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"]).lstrip(".")
    if detail["type"] == "extra_forbidden":
        key, known = str(detail["loc"][-1]), _known_keys(detail["loc"][:-1])
        close = difflib.get_close_matches(key, known, 1, 0.6)
        hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
        return f"{place}: unknown key {where!r}; {hint}"
    said = MESSAGES.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    given = detail["input"]
    found = (
        f", found {quote(str(given))}" if isinstance(given, str | int | float) and str(given) not in said else ""
    )
    return f"{place}: {where + ': ' if where else ''}{said}{found}"


def _line(loc: tuple[int | str, ...], node: yaml.Node | None) -> int:
    """Return the line of `loc`, or of its nearest ancestor that the file has."""
    line = 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys that may stand at `loc`."""
    models: list[type[Settings]] = [Config]
    for part in loc:
        if isinstance(part, str):
            fields = [field for model in models for key, field in _fields(model).items() if key == part]
            models = [model for field in fields for model in _models(field.annotation)] or models
    return [key for model in models for key in _fields(model)]


def _fields(model: type[Settings]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _models(annotation: Any) -> list[type[Settings]]:
    """Return the models within a type such as tuple[Model, ...] or Model | None."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]
