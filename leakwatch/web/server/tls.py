"""TLS of leakwatch's own server: `tls_server_config` as in Prometheus's exporters, and its SSL context."""

import difflib
import ipaddress
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import ConfigFile, Secret

VERIFY = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
UNVERIFIED = {"RequestClientCert", "RequireAnyClientCert", "RequireClientCert"}
"""Go requests a certificate without verifying it; Python's ssl verifies every certificate that it requests."""

VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}

SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
"""Go's name -> OpenSSL's name of the cipher suites of TLS 1.2 that Go considers safe."""
SUITES_OF_13 = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
"""Always enabled; neither Go nor Python can select some of them."""

CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}


def _client_auth(text: str) -> str:
    if text in UNVERIFIED:
        raise ValueError(
            f"{text} requests a certificate without verifying it, which proves nothing and which Python's ssl"
            " does not support; use RequireAndVerifyClientCert"
        )
    if text not in VERIFY:
        raise ValueError(f"must be one of {', '.join(VERIFY)}")
    return text


def _version(text: str) -> str:
    if text in {"TLS10", "TLS11"}:
        raise ValueError(f"{text} is not safe; use TLS12 or TLS13")
    if text not in VERSIONS:
        raise ValueError("must be TLS12 or TLS13")
    return text


def _suite(text: str) -> str:
    suites = [*SUITES, *SUITES_OF_13]
    if text not in suites:
        close = difflib.get_close_matches(text, suites, 1)
        raise ValueError(
            f"{text!r} is not a cipher suite that Go considers safe"
            + (f"; did you mean {close[0]}?" if close else "")
        )
    return text


Version = Annotated[str, AfterValidator(_version)]


class TlsServerConfig(BaseSettings):
    """`tls_server_config`: the certificate of the server, and client certificates."""

    cert: str | None = None
    """Certificate of the server in PEM; or `cert_file`."""
    cert_file: ConfigFile | None = None
    """A file, read again after each change."""
    key: Secret | None = None
    """Private key of the certificate in PEM; or `key_file`."""
    key_file: ConfigFile | None = None
    """A file, read again after each change."""
    client_ca: str | None = None
    """Authorities of client certificates in PEM; or `client_ca_file`."""
    client_ca_file: ConfigFile | None = None
    """A file, read again after each change."""
    client_auth_type: Annotated[str, AfterValidator(_client_auth)] = "NoClientCert"
    """`NoClientCert`, `VerifyClientCertIfGiven` or `RequireAndVerifyClientCert`."""
    client_allowed_sans: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Allowed names in client certificates: a certificate must have one of them."""
    min_version: Version = "TLS12"
    """`TLS12` or `TLS13`."""
    max_version: Version = "TLS13"
    """`TLS12` or `TLS13`."""
    cipher_suites: tuple[Annotated[str, AfterValidator(_suite)], ...] = ()
    """Cipher suites of TLS 1.2 by Go's names; without them, all that Go considers safe."""
    prefer_server_cipher_suites: bool = True
    """Whether the order of cipher_suites has precedence over the client's order."""
    curve_preferences: tuple[Literal["CurveP256", "CurveP384", "CurveP521", "X25519"], ...] = ()
    """Without it, Python's defaults."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for inline, file in (("cert", "cert_file"), ("key", "key_file")):
            if (getattr(self, inline) is None) == (getattr(self, file) is None):
                raise ValueError(f"needs one of {inline} and {file}; without TLS leave tls_server_config out")
        if self.client_ca is not None and self.client_ca_file:
            raise ValueError("at most one of client_ca and client_ca_file")
        self._clients_fit()
        self._handshake_fits()
        try:
            self.context()
        except (OSError, ValueError) as error:
            where = " ".join(map(str, self.files())) or "the certificate or key in it"
            raise ValueError(f"{where}: {error}") from error
        return self

    def _clients_fit(self) -> None:
        authorities = self.client_ca is not None or self.client_ca_file is not None
        if authorities and self.client_auth_type == "NoClientCert":
            raise ValueError("a client CA has no effect without client_auth_type: RequireAndVerifyClientCert")
        if not authorities and self.client_auth_type != "NoClientCert":
            raise ValueError(
                f"client_auth_type {self.client_auth_type} needs client_ca_file: without it, a certificate of any"
                " public authority would be accepted"
            )
        if self.client_allowed_sans and self.client_auth_type != "RequireAndVerifyClientCert":
            raise ValueError("client_allowed_sans needs client_auth_type: RequireAndVerifyClientCert")

    def _handshake_fits(self) -> None:
        if self.min_version > self.max_version:
            raise ValueError(f"min_version {self.min_version} is above max_version {self.max_version}")
        chosen = SUITES_OF_13 & set(self.cipher_suites)
        if chosen and chosen != SUITES_OF_13 and self.max_version == "TLS13":
            raise ValueError(
                "cipher_suites: the suites of TLS 1.3 are always enabled; name none of them, or all three:"
                f" {', '.join(sorted(SUITES_OF_13))}"
            )
        if self.cipher_suites and not self._old_suites() and self.min_version == "TLS12":
            raise ValueError("cipher_suites: none of them is for TLS 1.2; add one, or set min_version: TLS13")
        if len(self.curve_preferences) > 1:
            raise ValueError("curve_preferences: Python's ssl can offer only one curve; name one, or none for all")

    def _old_suites(self) -> list[str]:
        return [SUITES[suite] for suite in self.cipher_suites if suite in SUITES]

    def files(self) -> list[Path]:
        """Return the files that the settings name."""
        return [file for file in (self.cert_file, self.key_file, self.client_ca_file) if file]

    def context(self) -> ssl.SSLContext:
        """Return the context for the current files; raise OSError (including ssl.SSLError) or ValueError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = VERSIONS[self.min_version]
        context.maximum_version = VERSIONS[self.max_version]
        context.options |= ssl.OP_NO_RENEGOTIATION
        if not self.prefer_server_cipher_suites:
            context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(["http/1.1"])
        if suites := self._old_suites():
            context.set_ciphers(":".join(suites))
            missing = set(suites) - {cipher["name"] for cipher in context.get_ciphers()}
            if missing:
                raise ValueError(f"this OpenSSL does not have {', '.join(sorted(missing))}")
        for curve in self.curve_preferences:
            context.set_ecdh_curve(CURVES[curve])
        key = self.key.get_secret_value() if self.key else ""
        with _as_file(self.cert_file, self.cert or "") as cert_path, _as_file(self.key_file, key) as key_path:
            # Without a password, OpenSSL would ask for the password of an encrypted key on the terminal.
            context.load_cert_chain(cert_path, key_path, password="")
        context.verify_mode = VERIFY[self.client_auth_type]
        if self.client_ca is not None or self.client_ca_file:
            context.load_verify_locations(self.client_ca_file, cadata=self.client_ca)
            # As in Go, every certificate in the file is trusted, including intermediate authorities.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    def allows(self, peer: Mapping[str, Any] | None) -> bool:
        """Return whether a client with this certificate (the result of `getpeercert`) may connect."""
        return self.client_allowed_sans is None or bool(names(peer) & set(self.client_allowed_sans))


def names(peer: Mapping[str, Any] | None) -> set[str]:
    """Return the alternative names (DNS, IP, e-mail, URI) in a certificate."""
    alternative_names = set()
    for kind, name in (peer or {}).get("subjectAltName", ()):
        # OpenSSL writes IPv6 addresses in full, Go in their short form.
        alternative_names.add(str(ipaddress.ip_address(name.strip())) if kind == "IP Address" else name)
    return alternative_names


@contextmanager
def _as_file(file: Path | None, text: str) -> Iterator[Path]:
    """Return `file`, or a path in memory with `text` until the block ends, so that a key is never on disk."""
    if file:
        yield file
        return
    descriptor = os.memfd_create("pem")
    try:
        with open(descriptor, "w", closefd=False) as memory:
            memory.write(text)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


class RotatingContext(ssl.SSLContext):
    """Uses the context that `current` returns for each new connection, so that new certificates take effect.

    asyncio calls `wrap_bio` of its context for every connection.
    """

    def __new__(cls, _: Callable[[], ssl.SSLContext]) -> Self:
        """Return a context without a certificate of its own."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, current: Callable[[], ssl.SSLContext]) -> None:
        self._current = current

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """Wrap a connection."""
        return self._current().wrap_bio(*arguments, **named)
