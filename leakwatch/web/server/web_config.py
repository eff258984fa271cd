"""The web configuration: TLS, users and headers, in the format that Prometheus's exporters share.

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
"""What a browser may do with our pages: use the styles and scripts that we serve, and ask us; nothing else."""
HASH = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
COSTS = range(4, 15)
"""Of a hash. 14 takes a second of a core for each password; each step doubles it."""


class Headers(BaseSettings):
    """`headers`: what to add to every answer; "" takes one away."""

    content_security_policy: HeaderValue = Field(CONTENT_POLICY, alias="Content-Security-Policy")
    """What a browser may do with our pages."""
    frame_options: Literal["deny", "sameorigin"] = Field("deny", alias="X-Frame-Options")
    """Who may show them in a frame."""
    content_type_options: Literal["nosniff"] = Field("nosniff", alias="X-Content-Type-Options")
    """Not to guess what an answer is."""
    xss_protection: HeaderValue = Field("", alias="X-XSS-Protection")
    """For old browsers."""
    transport_security: HeaderValue = Field("", alias="Strict-Transport-Security")
    """To come by TLS only from now on."""

    def encoded(self) -> list[tuple[bytes, bytes]]:
        """Return those that are not empty, as ASGI has them."""
        given = self.model_dump(by_alias=True).items()
        return [(name.lower().encode(), value.encode()) for name, value in given if value]


class HttpServerConfig(BaseSettings):
    """`http_server_config`: how we speak HTTP."""

    http2: bool = False
    """Taken and said: we speak HTTP/1.1, which every client falls back to."""
    headers: Headers = Headers()


def _users(value: Any) -> Any:
    if value is not None and not isinstance(value, Mapping):
        raise unquoted_error("must be a mapping of user names to bcrypt hashes")
    return value or {}


def _user(name: str) -> str:
    if ":" in name:
        raise ValueError("a user name with a colon can never log in")
    return name


def _hash(secret: SecretStr) -> SecretStr:
    match = HASH.fullmatch(secret.get_secret_value())
    if match is None:
        raise unquoted_error(
            "is no bcrypt hash, and passwords do not stand here; `htpasswd -nBC 10 USER` makes a hash"
        )
    if int(match[1]) not in COSTS:
        raise unquoted_error(
            f"is a bcrypt hash of cost {int(match[1])}; it must be from {COSTS[0]} to {COSTS[-1]}"
        )
    return secret


PasswordHash = Annotated[Secret, AfterValidator(_hash)]
Users = Annotated[dict[Annotated[str, AfterValidator(_user)], PasswordHash], BeforeValidator(_users)]


class WebSettings(BaseSettings):
    """The whole file of `--web.config.file`."""

    tls_server_config: TlsServerConfig | None = None
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: Users = Field(default_factory=dict)
    """User -> bcrypt hash of the password (`htpasswd -nBC 10 USER`)."""

    def hashes(self) -> dict[bytes, bytes]:
        """Return user -> hash."""
        return {
            name.encode(): secret.get_secret_value().encode() for name, secret in self.basic_auth_users.items()
        }

    def summary(self) -> str:
        """Return in a few words what it asks for."""
        tls = self.tls_server_config
        said = [f"TLS from {tls.min_version}" if tls else "no TLS"]
        if tls and tls.client_auth_type != "NoClientCert":
            said.append(tls.client_auth_type)
        users = len(self.basic_auth_users)
        said.append(f"{users} user{'s' if users > 1 else ''}" if users else "no password")
        return ", ".join(said) + ("; HTTP/1.1 only, http2 is not spoken" if self.http_server_config.http2 else "")
