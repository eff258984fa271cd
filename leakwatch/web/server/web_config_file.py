"""The web configuration in force: read again when its file, or one that it names, has changed."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import structlog

from leakwatch.errors import ConfigError
from leakwatch.settings.file import read_settings
from leakwatch.web.server.web_config import WebSettings

log = structlog.get_logger()

Version = tuple[tuple[int, int, int] | None, ...]
"""Time, size and inode of each file; None where there is none."""


def version(*paths: Path) -> Version:
    """Return what tells whether files have changed since."""
    return tuple(_version(path) for path in paths)


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


@dataclass(frozen=True, slots=True)
class WebPolicy:
    """What a connection or request has to meet, and what is added to the answer."""

    settings: WebSettings
    context: ssl.SSLContext | None
    hashes: dict[bytes, bytes]
    headers: list[tuple[bytes, bytes]]
    files: tuple[Path, ...]
    version: Version


def read(path: Path | None) -> WebPolicy:
    """Return the terms in `path`, those of no file for None; raises ConfigError."""
    # A version is taken before its file is read: what changes in between is seen at the next look.
    before = version(path) if path else ()
    settings = read_settings(path, WebSettings) if path else WebSettings()
    tls = settings.tls_server_config
    named = tls.files() if tls else []
    before += version(*named)
    try:
        context = tls.context() if tls else None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: tls_server_config: {error}") from error
    files = (path, *named) if path else ()
    headers = settings.http_server_config.headers.encoded()
    return WebPolicy(settings, context, settings.hashes(), headers, files, before)


class WebFile:
    """Keeps the terms in step with a file; without one they are the defaults. Raises ConfigError.

    A bad change leaves the old terms in force, is said once, and is tried again at each look. TLS cannot come or
    go while we listen.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.mistake = ""
        """Why the file as it is now is not in force."""
        self._terms = read(path)
        self.secure = self._terms.context is not None
        if path:
            log.info("web configuration in force", path=str(path), now=self._terms.settings.summary())

    def terms(self) -> WebPolicy:
        """Return the terms as they are now."""
        if self.path and (self.mistake or version(*self._terms.files) != self._terms.version):
            self._renew(self.path)
        return self._terms

    def context(self) -> ssl.SSLContext:
        """Return the TLS context as it is now; only for a server that speaks TLS."""
        context = self.terms().context
        if context is None:
            raise RuntimeError("there is no TLS")
        return context

    def in_force(self) -> bool | None:
        """Tell whether the file as it is now is in force; None if there is no file."""
        return not self.mistake if self.path else None

    def _renew(self, path: Path) -> None:
        try:
            terms = read(path)
            if (terms.context is not None) != self.secure:
                raise ConfigError(f"{path}: tls_server_config comes or goes at the next start only")  # noqa: TRY301  said like the others
        except ConfigError as error:
            if str(error) != self.mistake:
                self.mistake = str(error)
                log.error("web configuration is bad, the old one stays in force", error=self.mistake)  # noqa: TRY400  the message says it all
            return
        self.mistake = ""
        self._terms = terms
        log.info("web configuration changed", path=str(path), now=terms.settings.summary())
