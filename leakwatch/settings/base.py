"""Base class of all settings."""

from pydantic import BaseModel, ConfigDict


class BaseSettings(BaseModel):
    """Base of all configuration: a key that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
