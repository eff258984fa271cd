"""What the configuration says of alerts that we push: `alerting`."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from leakwatch.discovery.runner import DiscoverySettings
from leakwatch.discovery.target_group import LabelName
from leakwatch.http.settings import HttpSettings
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import Duration, expand

PUSH = "api/v2/alerts"


def _prefix(text: str) -> str:
    path = f"/{text.strip('/')}"
    if any(mark in path for mark in "?#") or not path.isprintable() or " " in path:
        raise ValueError(f"{text!r} is no path; write for example /alertmanager")
    return path


class AlertmanagerConfig(DiscoverySettings, HttpSettings):
    """One of `alertmanagers`: where some are, and how to speak to them."""

    scheme: Literal["http", "https"] = "http"
    """The label `__scheme__` overrides it."""
    path_prefix: Annotated[str, AfterValidator(_prefix)] = "/"
    """What comes before /api/v2/alerts; the label `__alerts_path__` overrides both."""
    timeout: Duration = 10.0
    """Of one request."""
    api_version: Literal["v2"] = "v2"
    """The only one that there is."""

    @model_validator(mode="after")
    def _finds_something(self) -> Self:
        if not self.discoverer_configs():
            raise ValueError("there is no Alertmanager: give it static_configs or file_sd_configs")
        return self

    @property
    def path(self) -> str:
        """Where alerts are posted, unless the label `__alerts_path__` says otherwise."""
        return f"{self.path_prefix.rstrip('/')}/{PUSH}"


class AlertingConfig(BaseSettings):
    """`alerting`: who is told of leaks, besides those who read the metrics."""

    alertmanagers: tuple[AlertmanagerConfig, ...] = ()
    """Each that is found gets every alert."""
    external_labels: dict[LabelName, Annotated[str, AfterValidator(expand)]] = Field(default_factory=dict)
    """Are added to each alert that has no label of that name, as Prometheus adds its own."""
    resend_delay: Duration = 60.0
    """Seconds after which an alert that still fires is sent again."""
