"""Address of the API server and credentials for it: from a kubeconfig, or from the pod's service account."""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import httpx
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from leakwatch.discovery.kubernetes.exec_plugin import ExecConfig, ExecPlugin
from leakwatch.discovery.kubernetes.memory_file import memory_file
from leakwatch.errors import ConfigError, redacted
from leakwatch.http.settings import Authorization, BasicAuth, HttpSettings, TlsConfig
from leakwatch.settings.messages import friendly_message
from leakwatch.settings.yaml_file import load_yaml

ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
EXEC_EXTENSION = "client.authentication.k8s.io/exec"
"""Name of the cluster's extension with settings for a credential plugin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAccess:
    """Address of an API server and credentials for it."""

    url: str
    http: HttpSettings
    namespace: str = ""
    """Namespace of leakwatch's own pod; "" if leakwatch does not run in the cluster."""
    plugin: ExecPlugin | None = None


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """The service account of leakwatch's own pod: environment variables, and the folder of its files."""

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    folder: Path = ACCOUNT_FOLDER

    def access(self) -> ApiAccess:
        """Return the access of the service account; raises ConfigError.

        The token file is read again for each request, because Kubernetes rotates the token.
        """
        host, port = (self.environment.get(f"KUBERNETES_SERVICE_{name}") for name in ("HOST", "PORT"))
        if not host or not port:
            raise ConfigError(
                "not in a cluster, KUBERNETES_SERVICE_HOST is not set: needs api_server or kubeconfig_file"
            )
        try:
            http = HttpSettings(
                authorization=Authorization(credentials_file=self.folder / "token"),
                tls_config=TlsConfig(ca_file=self.folder / "ca.crt"),
            )
            namespace = (self.folder / "namespace").read_text().strip()
        except ValidationError as error:
            raise ConfigError(f"the pod has no service account: {friendly_message(error.errors()[0])}") from error
        except OSError as error:
            raise ConfigError(f"the pod has no service account: {error}") from error
        host = f"[{host}]" if ":" in host else host
        return ApiAccess(url=f"https://{host}:{port}", http=http, namespace=namespace)


def _by_name(entries: Any) -> Any:
    """Turn a list of {name: ..., kind: {...}} into a mapping from name to entry."""
    if not isinstance(entries, list):
        return entries
    return {entry["name"]: entry for entry in entries if isinstance(entry, dict) and "name" in entry}


Entry = TypeVar("Entry")
Named = Annotated[dict[str, Entry], BeforeValidator(_by_name)]


class KubeconfigModel(BaseModel):
    """Base class of the models of a kubeconfig. Keys that only kubectl needs are skipped."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ClusterExtension(KubeconfigModel):
    """An entry of a cluster's `extensions`."""

    extension: Any = None


class KubeconfigCluster(KubeconfigModel):
    """`clusters[].cluster`."""

    server: str
    ca_file: str = Field("", alias="certificate-authority")
    ca: str = Field("", alias="certificate-authority-data")
    insecure: bool = Field(False, alias="insecure-skip-tls-verify")
    server_name: str | None = Field(None, alias="tls-server-name")
    proxy_url: str = Field("", alias="proxy-url")
    disable_compression: bool = Field(False, alias="disable-compression")
    extensions: Named[ClusterExtension] = Field(default_factory=dict)

    def exec_info(self, ca_file: Path | None) -> dict[str, Any]:
        """Return the cluster as credential plugins expect it; raises OSError."""
        keys = {"server", "insecure", "server_name", "proxy_url", "disable_compression"}
        info = self.model_dump(by_alias=True, include=keys, exclude_defaults=True)
        if ca_file:
            info["certificate-authority-data"] = base64.b64encode(ca_file.read_bytes()).decode()
        if EXEC_EXTENSION in self.extensions:
            info["config"] = self.extensions[EXEC_EXTENSION].extension
        return info


class KubeconfigUser(KubeconfigModel):
    """`users[].user`."""

    token: SecretStr | None = None
    token_file: str = Field("", alias="tokenFile")
    username: str = ""
    password: SecretStr | None = None
    cert_file: str = Field("", alias="client-certificate")
    cert: str = Field("", alias="client-certificate-data")
    key_file: str = Field("", alias="client-key")
    key: SecretStr = Field(SecretStr(""), alias="client-key-data")
    exec: dict[str, Any] | None = None
    """Validated only for the current context: the plugins of other users may need a terminal."""
    provider: dict[str, Any] | None = Field(None, alias="auth-provider")


class KubeconfigContext(KubeconfigModel):
    """`contexts[].context`."""

    cluster: str
    user: str = ""


class NamedCluster(KubeconfigModel):
    """An entry of `clusters`."""

    cluster: KubeconfigCluster


class NamedUser(KubeconfigModel):
    """An entry of `users`."""

    user: KubeconfigUser = KubeconfigUser()


class NamedContext(KubeconfigModel):
    """An entry of `contexts`."""

    context: KubeconfigContext


class Kubeconfig(KubeconfigModel):
    """A kubeconfig file."""

    current_context: str = Field("", alias="current-context")
    contexts: Named[NamedContext] = Field(default_factory=dict)
    clusters: Named[NamedCluster] = Field(default_factory=dict)
    users: Named[NamedUser] = Field(default_factory=dict)


def read_kubeconfig(path: Path) -> ApiAccess:
    """Return the access of the current context of a kubeconfig; raises ConfigError."""
    try:
        config = Kubeconfig.model_validate(load_yaml(path.read_text(), str(path))[1])
        context = _entry(path, "context", config.current_context, config.contexts).context
        cluster = _entry(path, "cluster", context.cluster, config.clusters).cluster
        user = _entry(path, "user", context.user, config.users).user if context.user else KubeconfigUser()
        return _access(path, cluster, user)
    except ValidationError as error:
        first = error.errors()[0]
        location = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {location or 'top level'}: {friendly_message(first)}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error


def server_url(text: str) -> str:
    """Return the URL of an API server without a final slash; raises ValueError."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"{redacted(text)!r} is not a URL: {error}") from error
    if url.userinfo:
        raise ValueError("a user or password in the URL would be shown in logs: write it in basic_auth")
    if url.scheme not in {"http", "https"} or not url.host or url.query or url.fragment:
        raise ValueError(f"{redacted(text)!r} must be a URL such as https://10.0.0.1:6443")
    return text.rstrip("/")


def _entry(path: Path, kind: str, name: str, entries: Mapping[str, Entry]) -> Entry:
    if name not in entries:
        problem = f"does not contain {kind} {name!r}" if name else f"does not set current-{kind}"
        raise ConfigError(f"{path}: {problem}; it has: {', '.join(entries) or 'none'}")
    return entries[name]


def _access(path: Path, cluster: KubeconfigCluster, user: KubeconfigUser) -> ApiAccess:
    """Return the access of a cluster and a user; raises ConfigError, ValueError and OSError."""
    if user.provider:
        raise ConfigError(
            f"{path}: auth-provider is not supported: use exec, or api_server and authorization with the token of"
            " a service account"
        )
    tls = TlsConfig(
        ca_file=_file(path, cluster.ca_file, cluster.ca),
        cert_file=_file(path, user.cert_file, user.cert),
        key_file=_file(path, user.key_file, user.key.get_secret_value()),
        server_name=cluster.server_name,
        insecure_skip_verify=cluster.insecure,
    )
    authorization = _authorization(path, user)
    basic = None
    if user.username and not authorization:
        basic = BasicAuth(username=user.username, password=user.password or SecretStr(""))
    plugin = None
    if user.exec is not None and not (authorization or basic or tls.cert_file):  # as in client-go
        plugin = ExecPlugin(
            kubeconfig=path,
            config=_exec_config(path, user.exec),
            cluster=cluster.exec_info(tls.ca_file),
            tls_config=tls,
        )
    http = HttpSettings(tls_config=tls, authorization=authorization, basic_auth=basic)
    return ApiAccess(url=server_url(cluster.server), http=http, plugin=plugin)


def _authorization(path: Path, user: KubeconfigUser) -> Authorization | None:
    token_file = _file(path, user.token_file, "")
    if token_file:
        return Authorization(credentials_file=token_file)
    return Authorization(credentials=user.token) if user.token else None


def _exec_config(path: Path, settings: dict[str, Any]) -> ExecConfig:
    try:
        return ExecConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        location = ".".join(("exec", *(str(part) for part in first["loc"])))
        raise ConfigError(f"{path}: {location}: {friendly_message(first)}") from error


def _file(path: Path, name: str, data: str) -> Path | None:
    """Return a file that the kubeconfig at `path` names, or one with the base64 `data` that it contains."""
    if data:
        return memory_file(base64.b64decode(data, validate=True))
    return path.parent / name if name else None
