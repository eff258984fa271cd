"""The current credential of a credential plugin.

A credential is used until shortly before it expires, or until the API server rejects it.
"""

import asyncio
import ssl
from collections.abc import Callable

from leakwatch.discovery.kubernetes.exec_plugin import ExecCredential, ExecPlugin
from leakwatch.errors import DiscoveryError
from leakwatch.http.client import Tls
from leakwatch.http.settings import TlsConfig

EXPIRY_MARGIN = 10.0  # seconds before the expiry at which a credential is renewed
RETRY_PAUSE = 10.0  # seconds after a failure until the plugin runs again


class CredentialCache:
    """The current credential of a plugin, shared by all clients of an API server. `time` returns unix seconds."""

    def __init__(self, plugin: ExecPlugin, time: Callable[[], float]) -> None:
        self.credential: ExecCredential | None = None
        """The latest credential, which may have expired."""
        self._plugin = plugin
        self._time = time
        self._error = ""
        self._retry_at = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> ExecCredential:
        """Return a valid credential; run the plugin if there is none. Raises DiscoveryError."""
        async with self._lock:  # all reflectors of a discoverer start at the same time, and share one run
            if self.credential and not self._expires_soon(self.credential):
                return self.credential
            if self._error and self._time() < self._retry_at:
                raise DiscoveryError(self._error)
            try:
                self.credential, self._error = await self._plugin.run(), ""
            except DiscoveryError as error:
                self._error, self._retry_at = str(error), self._time() + RETRY_PAUSE
                raise
            return self.credential

    def reject(self, credential: ExecCredential) -> None:
        """Discard a credential that the API server rejected, unless it was already replaced."""
        if self.credential is credential:
            self.credential = None

    def _expires_soon(self, credential: ExecCredential) -> bool:
        return credential.expires is not None and self._time() > credential.expires - EXPIRY_MARGIN


class ExecTls(Tls):
    """TLS of a cluster with a credential plugin: the context of the current credential if it has a certificate."""

    def __init__(self, settings: TlsConfig, credentials: CredentialCache, *, secure: bool) -> None:
        super().__init__(settings, secure=secure)
        self._credentials = credentials

    def context(self) -> ssl.SSLContext:
        """Return the context with the current client certificate; raises TlsError."""
        credential = self._credentials.credential
        return (credential and credential.tls_context) or super().context()
