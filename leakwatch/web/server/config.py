"""`web` in the configuration: addresses of leakwatch's own server."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import public_url

HOST_NAME = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")


_external_url = public_url("https://example.com/leakwatch", "alerts")


def _listen(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} must be host:port, for example 127.0.0.1:9979 or :9979")
    if ":" in host.strip("[]") and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"{text!r}: write an IPv6 address in brackets")
    return text


def _prefix(text: str) -> str:
    trimmed = text.strip("/")
    prefix = f"/{trimmed}" if trimmed else ""
    if not PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/")):
        raise ValueError(f"{text!r} must be a path such as /leakwatch, of letters, digits and . _ ~ -")
    return prefix


def _host_name(text: str) -> str:
    name = text.lower().removesuffix(".")
    if not HOST_NAME.fullmatch(name):
        raise ValueError(f"{text!r} must be a host name without scheme and port, or like *.example.com")
    return name


class WebConfig(BaseSettings):
    """`web`: the address to listen on, and the URL that browsers use."""

    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:9979"
    """Address to listen on, as host:port."""
    external_url: Annotated[str, AfterValidator(_external_url)] | None = None
    """URL of leakwatch for browsers, used in links of alerts."""
    route_prefix: Annotated[str, AfterValidator(_prefix)] | None = None
    """Prefix of all paths; by default the path of external_url."""
    allowed_hosts: tuple[Annotated[str, AfterValidator(_host_name)], ...] = ()
    """Further host names in URLs of leakwatch, for access without TLS and password. `*.example.com` allows all
    names below example.com, `*` allows every name."""
    enable_lifecycle: bool = False
    """Whether other hosts may reload the configuration by `POST /-/reload`."""

    @model_validator(mode="after")
    def _prefix_fits(self) -> "WebConfig":
        self.prefix()
        return self

    def prefix(self) -> str:
        """Return the prefix of all paths, such as "/leakwatch", or ""; raise ValueError."""
        if self.route_prefix is not None:
            return self.route_prefix
        return _prefix(urlsplit(self.external_url or "").path)
