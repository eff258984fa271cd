"""Base class of all settings."""

from pydantic import BaseModel, ConfigDict


class BaseSettings(BaseModel):
    """Base of all settings. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class CredentialSettings(BaseSettings):
    """Base of settings with a secret. Errors quote none of their values: the secret may be at the wrong key."""
