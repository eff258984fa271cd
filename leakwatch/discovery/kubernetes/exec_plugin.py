"""Credential plugins of kubeconfigs (`exec`), which EKS, GKE and AKS use: the protocol of client-go.

    env:    KUBERNETES_EXEC_INFO={"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
            "spec": {"interactive": false, "cluster": {"server": "https://...", ...}}}
    stdout: {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
            "status": {"token": "...", "expirationTimestamp": "2026-01-31T12:00:00Z"}}

`cluster` is present if the kubeconfig sets `provideClusterInfo`. `status` has a token, or `clientCertificateData`
and `clientKeyData`, or both.
"""

import asyncio
import contextlib
import json
import os
import signal
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from leakwatch.discovery.kubernetes.memory_file import temporary_memory_file
from leakwatch.errors import DiscoveryError, quote
from leakwatch.http.settings import TlsConfig
from leakwatch.settings.messages import friendly_message

EXEC_INFO = "KUBERNETES_EXEC_INFO"
TIMEOUT = 60.0  # seconds; a plugin may request a token from a cloud provider
MAX_OUTPUT = 1024**2  # bytes; a token and a chain of certificates are a few kB

ApiVersion = Literal["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"]


class ExecModel(BaseModel):
    """Base class of the models of `exec` and of the plugin's output."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_missing(cls, data: Any) -> Any:
        """Remove keys with the value null, which Go programs write for empty values."""
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class ExecVariable(ExecModel):
    """An entry of `env`."""

    name: str = Field(min_length=1)
    value: str = ""


class ExecConfig(ExecModel):
    """`users[].user.exec`."""

    api_version: ApiVersion = Field(alias="apiVersion")
    command: str = Field(min_length=1)
    args: tuple[str, ...] = ()
    env: tuple[ExecVariable, ...] = ()
    install_hint: str = Field("", alias="installHint")
    provide_cluster_info: bool = Field(False, alias="provideClusterInfo")
    interactive_mode: Literal["Never", "IfAvailable", "Always"] | None = Field(None, alias="interactiveMode")

    @model_validator(mode="after")
    def _runs_without_terminal(self) -> Self:
        if self.interactive_mode is None and self.api_version.endswith("/v1"):
            raise ValueError(f"interactiveMode is missing, which {self.api_version} requires")
        if self.interactive_mode == "Always":
            raise ValueError("interactiveMode Always needs a terminal, which leakwatch does not have")
        return self


class ExecCredentialStatus(ExecModel):
    """`status` of the plugin's output."""

    token: SecretStr = SecretStr("")
    certificate: str = Field("", alias="clientCertificateData")
    key: SecretStr = Field(SecretStr(""), alias="clientKeyData")
    expires: AwareDatetime | None = Field(None, alias="expirationTimestamp")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        token, key = self.token.get_secret_value(), self.key.get_secret_value()
        if bool(self.certificate) != bool(key):
            raise ValueError("needs both clientCertificateData and clientKeyData, or neither")
        if not token and not key:
            raise ValueError("contains neither a token nor a certificate")
        if not (token.isascii() and token.isprintable()):
            raise ValueError("the token is not one line of printable ASCII")
        return self


class ExecCredentialOutput(ExecModel):
    """The plugin's output."""

    api_version: str = Field(alias="apiVersion")
    status: ExecCredentialStatus


@dataclass(frozen=True, slots=True, eq=False)
class ExecCredential:
    """A credential that a plugin returned."""

    token: str
    """Bearer token; "" if there is none."""
    tls_context: ssl.SSLContext | None
    """TLS context with the client certificate; None if there is none."""
    expires: float | None
    """Unix seconds; None if the credential does not expire."""

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers of a request."""
        return [("Authorization", f"Bearer {self.token}")] if self.token else []


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecPlugin:
    """The credential plugin of a kubeconfig's user."""

    kubeconfig: Path
    config: ExecConfig
    cluster: Mapping[str, Any]
    """`spec.cluster` of `KUBERNETES_EXEC_INFO`."""
    tls_config: TlsConfig
    """TLS settings of the cluster."""
    timeout: float = TIMEOUT

    async def run(self) -> ExecCredential:
        """Run the plugin and return its credential; raises DiscoveryError.

        The error names kubeconfig and command. It quotes stderr, but never stdout, which contains secrets.
        """
        try:
            return self._credential(await self._stdout())
        except DiscoveryError as error:
            raise DiscoveryError(f"{self.kubeconfig}: credential plugin {self.command!r} {error}") from error

    @property
    def command(self) -> str:
        """The program: a path relative to the kubeconfig if it contains a slash, otherwise a name in PATH."""
        name = self.config.command
        return str(Path(self.kubeconfig.parent, name).absolute()) if "/" in name else name

    def _environment(self) -> dict[str, str]:
        spec = {"interactive": False} | ({"cluster": self.cluster} if self.config.provide_cluster_info else {})
        info = {"apiVersion": self.config.api_version, "kind": "ExecCredential", "spec": spec}
        variables = {variable.name: variable.value for variable in self.config.env}
        return {**os.environ, **variables, EXEC_INFO: json.dumps(info)}

    async def _stdout(self) -> bytes:
        """Run the plugin and return its stdout; raises DiscoveryError."""
        # Shielded: if asyncio is cancelled while it starts a process, the children of the process survive.
        starting = asyncio.create_task(self._start())
        try:
            async with asyncio.timeout(self.timeout):
                process = await asyncio.shield(starting)
                await process.ended.wait()
        except TimeoutError as error:
            await (await starting).kill()
            raise DiscoveryError(f"did not end within {self.timeout:g} s") from error
        except asyncio.CancelledError:
            await (await starting).kill()
            raise
        status = process.exit_status()
        if status:
            result = f"was ended by signal {-status}" if status < 0 else f"failed with exit status {status}"
            raise DiscoveryError(f"{result}, stderr: {quote(bytes(process.stderr).strip())}")
        if len(process.stdout) > MAX_OUTPUT:
            raise DiscoveryError(f"wrote more than {MAX_OUTPUT} bytes to stdout")
        return bytes(process.stdout)

    async def _start(self) -> "PluginProcess":
        """Start the plugin; raises DiscoveryError."""
        try:
            _, process = await asyncio.get_running_loop().subprocess_exec(
                PluginProcess,
                self.command,
                *self.config.args,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self._environment(),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            message = error.strerror if isinstance(error, OSError) else str(error)
            hint = " ".join(self.config.install_hint.split())
            raise DiscoveryError(f"cannot be started: {message}{f'; {hint}' if hint else ''}") from error
        return process

    def _credential(self, output: bytes) -> ExecCredential:
        """Parse the output of the plugin; raises DiscoveryError."""
        try:
            parsed = ExecCredentialOutput.model_validate_json(output)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            location = ".".join(str(part) for part in first["loc"])
            message = f"wrote invalid output: {location or 'stdout'}: {friendly_message(first)}"
            raise DiscoveryError(message) from None  # the ValidationError quotes secrets
        if parsed.api_version != self.config.api_version:
            raise DiscoveryError(
                f"returned apiVersion {quote(parsed.api_version)}, the kubeconfig has {self.config.api_version}"
            )
        status = parsed.status
        return ExecCredential(
            token=status.token.get_secret_value(),
            tls_context=self._tls_context(status) if status.certificate else None,
            expires=status.expires.timestamp() if status.expires else None,
        )

    def _tls_context(self, status: ExecCredentialStatus) -> ssl.SSLContext:
        key = status.key.get_secret_value().encode()
        try:
            with (
                temporary_memory_file(status.certificate.encode()) as cert_file,
                temporary_memory_file(key) as key_file,
            ):
                files = {"cert_file": cert_file, "key_file": key_file}
                return self.tls_config.model_copy(update=files).context()
        except OSError as error:
            raise DiscoveryError(f"returned an invalid client certificate or key: {error}") from error


class PluginProcess(asyncio.SubprocessProtocol):
    """A running plugin and its output, which is limited to about `MAX_OUTPUT` bytes."""

    def __init__(self) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.ended = asyncio.Event()
        """Set when the process has ended and both pipes are closed."""
        self._open = 3  # the process and its two pipes
        self._transport: asyncio.SubprocessTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport of the process."""
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Add data to the output; discard data above the limit."""
        output = self.stdout if fd == 1 else self.stderr
        if len(output) <= MAX_OUTPUT:
            output += data

    def pipe_connection_lost(self, fd: int, error: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """Record that a pipe is closed."""
        self._close()

    def process_exited(self) -> None:
        """Record that the process has ended."""
        self._close()

    def exit_status(self) -> int:
        """Return the exit status, negative for a signal."""
        return self._transport.get_returncode() or 0

    async def kill(self) -> None:
        """Kill the process and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._transport.get_pid(), signal.SIGKILL)  # the process leads a group of its own
        for fd in (1, 2):  # a child that left the group may keep a pipe open
            pipe = self._transport.get_pipe_transport(fd)
            if pipe:
                pipe.close()
        await self.ended.wait()

    def _close(self) -> None:
        self._open -= 1
        if not self._open:
            self._transport.close()
            self.ended.set()
