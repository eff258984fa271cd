"""Settings of HTTP clients, as in the scrape configuration of Prometheus."""

import re
import ssl
from functools import cache
from pathlib import Path
from typing import Annotated, Self

import httpx
from pydantic import AfterValidator, Field, field_serializer, model_validator

from leakwatch.errors import MASK
from leakwatch.settings.base import BaseSettings, CredentialSettings
from leakwatch.settings.types import ConfigFile, Secret

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class BasicAuth(CredentialSettings):
    """`basic_auth`: user name and password, or a file with the password."""

    username: str
    """User name."""
    password: Secret | None = None
    """Password. Exactly one of `password` and `password_file` is required."""
    password_file: ConfigFile | None = None
    """File with the password, read before each request."""

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if (self.password is None) == (self.password_file is None):
            raise ValueError("basic_auth needs one of password and password_file")
        return self


class Authorization(CredentialSettings):
    """`authorization`: value of the header Authorization."""

    type: str = "Bearer"
    """Authentication scheme, which precedes the credentials. For `Basic`, use `basic_auth`."""
    credentials: Secret | None = None
    """Credentials. Exactly one of `credentials` and `credentials_file` is required."""
    credentials_file: ConfigFile | None = None
    """File with the credentials, read before each request."""

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.credentials is None) == (self.credentials_file is None):
            raise ValueError("authorization needs one of credentials and credentials_file")
        if self.type.lower() == "basic":
            raise ValueError('authorization type cannot be "basic": use basic_auth')
        return self


class TlsConfig(BaseSettings):
    """`tls_config`: trusted certificates, and the client certificate."""

    ca_file: ConfigFile | None = None
    """Trusted CA certificates in PEM. By default, those of the system."""
    cert_file: ConfigFile | None = None
    """Client certificate in PEM. Requires `key_file`."""
    key_file: ConfigFile | None = None
    """Private key of the client certificate."""
    server_name: str | None = None
    """Name that the certificate of the server must have. By default, the host of the address."""
    insecure_skip_verify: bool = False
    """Accept any certificate. A man in the middle can then read and change all traffic."""

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
        """Return all configured files."""
        return [file for file in (self.ca_file, self.cert_file, self.key_file) if file]

    def context(self) -> ssl.SSLContext:
        """Return the TLS context; raises OSError (also ssl.SSLError) if a file is unreadable or invalid."""
        if not (self.ca_file or self.cert_file or self.insecure_skip_verify):
            return _default_context()
        context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        if self.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file and self.key_file:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context


@cache
def _default_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _header_name(text: str) -> str:
    if not HEADER_NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not a header name")
    return text


def _header_value(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError("a header value must be printable ASCII")
    return text


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]


class HttpHeader(CredentialSettings):
    """One of `http_headers`: values in clear text, as secrets, or in files."""

    values: tuple[HeaderValue, ...] = ()
    """Values in clear text. Pages do not show them."""
    secrets: tuple[Secret, ...] = ()
    """Values that are secrets."""
    files: tuple[ConfigFile, ...] = ()
    """Files with values, read before each request."""

    @field_serializer("values", when_used="json")
    def _mask(self, values: tuple[str, ...]) -> list[str]:
        return [MASK] * len(values)  # a value may be a key in clear text

    def all(self) -> list[str]:
        """Return all values; reads the files."""
        secrets = [secret.get_secret_value() for secret in self.secrets]
        return [*self.values, *secrets, *(path.read_text().strip() for path in self.files)]


class HttpSettings(BaseSettings):
    """Keys of all HTTP clients of leakwatch."""

    basic_auth: BasicAuth | None = None
    """User name and password. Excludes `authorization`."""
    authorization: Authorization | None = None
    """Header Authorization. Excludes `basic_auth`."""
    tls_config: TlsConfig = TlsConfig()
    http_headers: dict[HeaderName, HttpHeader] = Field(default_factory=dict)
    """Additional headers, by name."""
    follow_redirects: bool = True
    """Whether to follow redirects to the same scheme, host and port."""

    @model_validator(mode="after")
    def _one_authorization(self) -> Self:
        if self.basic_auth and self.authorization:
            raise ValueError("at most one of basic_auth and authorization")
        return self

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers of a request; reads the files of secrets, which may be rotated.

        Raises OSError if a file is unreadable, UnicodeError if it is not UTF-8, and HeaderError if a value is not
        valid in a header.
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
            if not (value.isascii() and value.isprintable()):  # the error of httpx would quote the secret
                raise HeaderError(f"the value of header {name} is not one line of printable ASCII")
        return headers


def _secret(value: Secret | None, file: Path | None) -> str:
    if value is not None:
        return value.get_secret_value()
    return file.read_text().strip() if file else ""


class HeaderError(OSError):
    """A secret is not valid in a header."""
