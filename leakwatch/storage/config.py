"""Configuration of the storage: `storage`."""

from typing import Literal

from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import ConfigPath, Duration, Size


class StorageConfig(BaseSettings):
    """`storage`: the folder in which leakwatch keeps its state over restarts."""

    path: ConfigPath | Literal[""] | None = None
    """The folder, which is created if it is missing; "" keeps the state in memory only. By default the folder
    `data` in the working directory, if it exists and leakwatch runs with a configuration file."""
    retention: Duration = 7 * 86400.0
    """How long the state of a service is kept after the service is no longer scraped."""
    size_limit: Size = 1024**3
    """The maximum size of the state. Above it, services that are no longer scraped are removed, and targets
    without a leak are not saved."""
