"""The web configuration in force; it is read again after a change of its file or of a certificate."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import structlog

from leakwatch.errors import ConfigError
from leakwatch.settings.file import read_settings
from leakwatch.settings.file_changes import Version, version
from leakwatch.web.server.web_config import WebSettings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebPolicy:
    """Rules for connections and requests, and headers of responses."""

    settings: WebSettings
    context: ssl.SSLContext | None
    hashes: dict[bytes, bytes]
    headers: list[tuple[bytes, bytes]]
    files: tuple[Path, ...]
    version: Version


def read(path: Path | None) -> WebPolicy:
    """Return the policy in the file at `path`, the default policy for None; raise ConfigError."""
    # The version is taken before the file is read, so that a change in between is noticed at the next check.
    before = version(path) if path else ()
    settings = read_settings(path, WebSettings) if path else WebSettings()
    tls = settings.tls_server_config
    certificates = tls.files() if tls else []
    before += version(*certificates)
    try:
        context = tls.context() if tls else None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: tls_server_config: {error}") from error
    return WebPolicy(
        settings=settings,
        context=context,
        hashes=settings.hashes(),
        headers=settings.http_server_config.headers.encoded(),
        files=(path, *certificates) if path else (),
        version=before,
    )


class WebFile:
    """The policy of a web configuration file, the default policy without a file. Raises ConfigError.

    An invalid change leaves the old policy in force, is logged once, and is tried again at each check. TLS cannot
    be enabled or disabled while the server runs.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.error = ""
        """The reason why the current file is not in force."""
        self._policy = read(path)
        self.secure = self._policy.context is not None
        if path:
            log.info("web configuration in force", path=str(path), now=self.summary())

    def policy(self) -> WebPolicy:
        """Return the current policy."""
        if self.path and (self.error or version(*self._policy.files) != self._policy.version):
            self._reload(self.path)
        return self._policy

    def context(self) -> ssl.SSLContext:
        """Return the current TLS context; raise RuntimeError without TLS."""
        context = self.policy().context
        if context is None:
            raise RuntimeError("there is no TLS")
        return context

    def summary(self) -> str:
        """Return a summary of TLS and users."""
        return self._policy.settings.summary()

    def is_in_force(self) -> bool | None:
        """Return whether the current file is in force; None without a file."""
        return not self.error if self.path else None

    def _reload(self, path: Path) -> None:
        try:
            policy = read(path)
            if (policy.context is not None) != self.secure:
                raise ConfigError(f"{path}: tls_server_config can be added or removed only by a restart")  # noqa: TRY301  logged like the others
        except ConfigError as error:
            if str(error) != self.error:
                self.error = str(error)
                log.error("web configuration is invalid, the old one stays in force", error=self.error)  # noqa: TRY400  the message has all details
            return
        self.error = ""
        self._policy = policy
        log.info("web configuration changed", path=str(path), now=self.summary())
