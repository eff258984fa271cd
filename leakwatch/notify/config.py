"""Configuration of the alerts that leakwatch sends: `alerting`."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from leakwatch.discovery.runner import DiscoverySettings
from leakwatch.discovery.target_group import LabelName
from leakwatch.http.settings import HttpSettings
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import Duration, expand

ALERTS_PATH = "api/v2/alerts"


def _prefix(text: str) -> str:
    path = f"/{text.strip('/')}"
    if any(mark in path for mark in "?#") or not path.isprintable() or " " in path:
        raise ValueError(f"{text!r} is not a path; write for example /alertmanager")
    return path


class AlertmanagerConfig(DiscoverySettings, HttpSettings):
    """One of `alertmanagers`: how to discover Alertmanagers, and how to send requests to them."""

    scheme: Literal["http", "https"] = "http"
    """The scheme of requests; the label `__scheme__` overrides it."""
    path_prefix: Annotated[str, AfterValidator(_prefix)] = "/"
    """The path before /api/v2/alerts; the label `__alerts_path__` overrides both."""
    timeout: Duration = 10.0
    """The timeout of one request."""
    api_version: Literal["v2"] = "v2"
    """The version of Alertmanager's API."""

    @model_validator(mode="after")
    def _has_a_discoverer(self) -> Self:
        if not self.discoverer_configs():
            raise ValueError("there is no Alertmanager: add static_configs or file_sd_configs")
        return self

    @property
    def path(self) -> str:
        """The path that alerts are posted to, unless the label `__alerts_path__` overrides it."""
        return f"{self.path_prefix.rstrip('/')}/{ALERTS_PATH}"


class AlertingConfig(BaseSettings):
    """`alerting`: the Alertmanagers that leakwatch sends alerts to."""

    alertmanagers: tuple[AlertmanagerConfig, ...] = ()
    """Each discovered Alertmanager gets every alert."""
    external_labels: dict[LabelName, Annotated[str, AfterValidator(expand)]] = Field(default_factory=dict)
    """Labels that are added to each alert without a label of that name, as Prometheus does."""
    resend_delay: Duration = 60.0
    """How often a firing alert is sent again."""
