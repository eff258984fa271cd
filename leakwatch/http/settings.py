"""Settings of HTTP clients, as in the scrape configuration of Prometheus."""

import re
import ssl
from functools import cache
from pathlib import Path
from typing import Annotated, Self

import httpx
from pydantic import AfterValidator, Field, field_serializer, model_validator

from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import ConfigFile, Secret

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HIDDEN = "**********"
"""What pydantic shows of a secret."""


class BasicAuth(BaseSettings):
    """`basic_auth`: user name and password, or a file with the password."""

    username: str
    """Who asks."""
    password: Secret | None = None
    """Or `password_file`; one of the two."""
    password_file: ConfigFile | None = None
    """Read anew for each request."""

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if (self.password is None) == (self.password_file is None):
            raise ValueError("basic_auth needs one of password and password_file")
        return self


class Authorization(BaseSettings):
    """`authorization`: what stands in the header of that name."""

    type: str = "Bearer"
    """What stands before the secret; `Basic` is refused: use `basic_auth`."""
    credentials: Secret | None = None
    """Or `credentials_file`; one of the two."""
    credentials_file: ConfigFile | None = None
    """Read anew for each request."""

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.credentials is None) == (self.credentials_file is None):
            raise ValueError("authorization needs one of credentials and credentials_file")
        if self.type.lower() == "basic":
            raise ValueError('authorization type cannot be "basic": use basic_auth')
        return self


class TlsConfig(BaseSettings):
    """`tls_config`: whom to trust and how to show who we are."""

    ca_file: ConfigFile | None = None
    """Who is trusted, in PEM; without it those whom the system trusts."""
    cert_file: ConfigFile | None = None
    """Our certificate, in PEM; together with `key_file`."""
    key_file: ConfigFile | None = None
    """Its private key."""
    server_name: str | None = None
    """Which name the certificate of the server must have; without it the host of the address."""
    insecure_skip_verify: bool = False
    """Trust any certificate: whoever is in between may read and change all."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("tls_config needs both cert_file and key_file, or neither")
        try:
            if self.files():
                self.context()
        except OSError as error:
            raise ValueError(f"tls_config: {' '.join(map(str, self.files()))}: {error}") from error
        return self

    def files(self) -> list[Path]:
        """Return the files that are named."""
        return [file for file in (self.ca_file, self.cert_file, self.key_file) if file]

    def context(self) -> ssl.SSLContext:
        """Return the TLS context; raises OSError (ssl.SSLError too) for files that do not fit."""
        if not (self.ca_file or self.cert_file or self.insecure_skip_verify):
            return _usual_context()
        context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        if self.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file and self.key_file:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context


@cache
def _usual_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _header_name(text: str) -> str:
    if not HEADER_NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no header name")
    return text


def _header_value(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError("a header value must be printable ASCII")
    return text


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]


class HttpHeader(BaseSettings):
    """One of `http_headers`: values in the open, secret, or in files."""

    values: tuple[HeaderValue, ...] = ()
    """Shown on no page, but in the open here."""
    secrets: tuple[Secret, ...] = ()
    """Shown nowhere."""
    files: tuple[ConfigFile, ...] = ()
    """Read anew for each request."""

    @field_serializer("values", when_used="json")
    def _hide(self, values: tuple[str, ...]) -> list[str]:
        return [HIDDEN] * len(values)  # a key may stand in the open here; it is shown nowhere else

    def all(self) -> list[str]:
        """Return every value; reads the files."""
        hidden = [secret.get_secret_value() for secret in self.secrets]
        return [*self.values, *hidden, *(path.read_text().strip() for path in self.files)]


class HttpSettings(BaseSettings):
    """What every HTTP client of ours can be told."""

    basic_auth: BasicAuth | None = None
    """At most one of it and `authorization`."""
    authorization: Authorization | None = None
    """At most one of it and `basic_auth`."""
    tls_config: TlsConfig = TlsConfig()
    http_headers: dict[HeaderName, HttpHeader] = Field(default_factory=dict)
    """More headers, by their names."""
    follow_redirects: bool = True
    """Only to the same host."""

    @model_validator(mode="after")
    def _one_authorization(self) -> Self:
        if self.basic_auth and self.authorization:
            raise ValueError("at most one of basic_auth and authorization")
        return self

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers of a request; secret files are read anew each time, so they may rotate.

        Raises OSError for a file that cannot be read, HeaderError for what can be no header.
        """
        headers = [(name, value) for name, header in self.http_headers.items() for value in header.all()]
        if self.basic_auth:
            password = _secret(self.basic_auth.password, self.basic_auth.password_file)
            request = httpx.Request("GET", "http://x")
            next(httpx.BasicAuth(self.basic_auth.username, password).auth_flow(request))
            headers.append(("Authorization", request.headers["Authorization"]))
        if self.authorization:
            secret = _secret(self.authorization.credentials, self.authorization.credentials_file)
            headers.append(("Authorization", f"{self.authorization.type} {secret}"))
        for name, value in headers:
            if not (value.isascii() and value.isprintable()):  # said here, because others would quote the secret
                raise HeaderError(f"what is to stand in header {name} is not one line of printable ASCII")
        return headers


def _secret(value: Secret | None, file: Path | None) -> str:
    if value is not None:
        return value.get_secret_value()
    return file.read_text().strip() if file else ""


class HeaderError(OSError):
    """A secret cannot be put into a header as it is."""
