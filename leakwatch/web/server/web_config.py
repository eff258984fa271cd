"""The web configuration file: TLS, users and headers, in the format of Prometheus's exporters.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from leakwatch.http.settings import HeaderValue
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import Secret, unquoted_error
from leakwatch.web.server.tls import TlsServerConfig

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Lets a browser use leakwatch's own styles and scripts and send requests to leakwatch, and nothing else."""
HASH = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
COSTS = range(4, 15)
"""Valid costs of a hash. 14 takes a second of a core for each password; each step doubles the time."""


class Headers(BaseSettings):
    """`headers`: headers of every response; "" removes a header."""

    content_security_policy: HeaderValue = Field(CONTENT_POLICY, alias="Content-Security-Policy")
    """Restricts what a browser may load and run."""
    frame_options: Literal["deny", "sameorigin"] = Field("deny", alias="X-Frame-Options")
    """Restricts frames with leakwatch's pages."""
    content_type_options: Literal["nosniff"] = Field("nosniff", alias="X-Content-Type-Options")
    """Makes browsers trust the content type."""
    xss_protection: HeaderValue = Field("", alias="X-XSS-Protection")
    """For old browsers."""
    transport_security: HeaderValue = Field("", alias="Strict-Transport-Security")
    """Makes browsers use TLS only."""

    def encoded(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that are not empty, in the form of ASGI."""
        headers = self.model_dump(by_alias=True).items()
        return [(name.lower().encode(), value.encode()) for name, value in headers if value]


class HttpServerConfig(BaseSettings):
    """`http_server_config`: HTTP settings of the server."""

    http2: bool = False
    """Accepted without effect: leakwatch serves HTTP/1.1, and every client falls back to it."""
    headers: Headers = Headers()


def _users(value: Any) -> Any:
    if value is not None and not isinstance(value, Mapping):
        raise unquoted_error("must be a mapping of user names to bcrypt hashes")
    return value or {}


def _user(name: str) -> str:
    if ":" in name:
        raise ValueError("a user with a colon in the name can never log in")
    return name


def _hash(secret: SecretStr) -> SecretStr:
    match = HASH.fullmatch(secret.get_secret_value())
    if match is None:
        raise unquoted_error("is not a bcrypt hash; `htpasswd -nBC 10 USER` prints the hash of a password")
    if int(match[1]) not in COSTS:
        raise unquoted_error(
            f"is a bcrypt hash of cost {int(match[1])}; it must be from {COSTS[0]} to {COSTS[-1]}"
        )
    return secret


PasswordHash = Annotated[Secret, AfterValidator(_hash)]
Users = Annotated[dict[Annotated[str, AfterValidator(_user)], PasswordHash], BeforeValidator(_users)]


class WebSettings(BaseSettings):
    """The file of `--web.config.file`."""

    tls_server_config: TlsServerConfig | None = None
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: Users = Field(default_factory=dict)
    """User -> bcrypt hash of the password (`htpasswd -nBC 10 USER`)."""

    def hashes(self) -> dict[bytes, bytes]:
        """Return the hash of each user's password."""
        return {
            name.encode(): secret.get_secret_value().encode() for name, secret in self.basic_auth_users.items()
        }

    def summary(self) -> str:
        """Return a summary of TLS and users."""
        tls = self.tls_server_config
        parts = [f"TLS from {tls.min_version}" if tls else "no TLS"]
        if tls and tls.client_auth_type != "NoClientCert":
            parts.append(tls.client_auth_type)
        users = len(self.basic_auth_users)
        parts.append(f"{users} user{'s' if users > 1 else ''}" if users else "no password")
        return ", ".join(parts) + (
            "; HTTP/1.1 only, http2 is not supported" if self.http_server_config.http2 else ""
        )
