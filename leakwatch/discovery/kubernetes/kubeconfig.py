"""Where the API server is, and who we are to it: `api_server`, a kubeconfig, or our own pod's service account."""

import asyncio
import base64
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import httpx
import structlog
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from leakwatch.errors import ConfigError
from leakwatch.http.settings import Authorization, BasicAuth, HttpSettings, TlsConfig
from leakwatch.settings.messages import reworded

log = structlog.get_logger()

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Access:
    """An API server, and how to ask it; `namespace` is our own, "" if that is not known."""

    url: str
    http: HttpSettings
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Pod:
    """What a pod can know of its cluster: variables, and the folder of its service account."""

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    account: Path = ACCOUNT

    def access(self) -> Access:
        """Return the access of the service account, whose token is read anew as it rotates; raises ConfigError."""
        host, port = (self.environment.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
        if not host or not port:
            raise ConfigError(
                "not in a cluster, KUBERNETES_SERVICE_HOST is not set: needs api_server or kubeconfig_file"
            )
        try:
            http = HttpSettings(
                authorization=Authorization(credentials_file=self.account / "token"),
                tls_config=TlsConfig(ca_file=self.account / "ca.crt"),
            )
            namespace = (self.account / "namespace").read_text().strip()
        except ValidationError as error:
            raise ConfigError(f"the pod has no service account: {reworded(error.errors()[0])}") from error
        except OSError as error:
            raise ConfigError(f"the pod has no service account: {error}") from error
        return Access(f"https://{_bracketed(host)}:{port}", http, namespace)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _named(value: Any) -> Any:
    """Return the {name: ..., kind: {...}} of a kubeconfig as a mapping of names."""
    if not isinstance(value, list):
        return value
    return {one["name"]: one for one in value if isinstance(one, dict) and "name" in one}


Kind = TypeVar("Kind")
Named = Annotated[dict[str, Kind], BeforeValidator(_named)]


class Part(BaseModel):
    """Base of the parts of a kubeconfig; it holds much that is kubectl's business alone."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Cluster(Part):
    """`clusters[].cluster`."""

    server: str
    ca_file: str = Field("", alias="certificate-authority")
    ca: str = Field("", alias="certificate-authority-data")
    insecure: bool = Field(False, alias="insecure-skip-tls-verify")
    server_name: str | None = Field(None, alias="tls-server-name")


class User(Part):
    """`users[].user`."""

    token: SecretStr | None = None
    token_file: str = Field("", alias="tokenFile")
    username: str = ""
    password: SecretStr | None = None
    cert_file: str = Field("", alias="client-certificate")
    cert: str = Field("", alias="client-certificate-data")
    key_file: str = Field("", alias="client-key")
    key: SecretStr = Field(SecretStr(""), alias="client-key-data")
    plugin: dict[str, Any] | None = Field(None, alias="exec")
    provider: dict[str, Any] | None = Field(None, alias="auth-provider")


class Context(Part):
    """`contexts[].context`."""

    cluster: str
    user: str = ""


class NamedCluster(Part):
    """One of `clusters`."""

    cluster: Cluster


class NamedUser(Part):
    """One of `users`."""

    user: User = User()


class NamedContext(Part):
    """One of `contexts`."""

    context: Context


class Kubeconfig(Part):
    """The whole file."""

    current: str = Field("", alias="current-context")
    contexts: Named[NamedContext] = Field(default_factory=dict)
    clusters: Named[NamedCluster] = Field(default_factory=dict)
    users: Named[NamedUser] = Field(default_factory=dict)


def kubeconfig(path: Path) -> Access:
    """Return what the current context of a kubeconfig says; raises ConfigError."""
    try:
        read = Kubeconfig.model_validate(yaml.safe_load(path.read_text()))
        context = _one(path, "context", read.current, read.contexts).context
        cluster = _one(path, "cluster", context.cluster, read.clusters).cluster
        user = _one(path, "user", context.user, read.users).user if context.user else User()
        return Access(server_url(cluster.server), _http(cluster, user, path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {where or 'top level'}: {reworded(first)}") from error
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error


async def known(pod: Pod, file: Path | None, *, again: float) -> Access:
    """Return the access of a kubeconfig, else of our own pod, when there is one; tries every `again` seconds."""
    said = ""
    while True:
        try:
            return kubeconfig(file) if file else pod.access()
        except ConfigError as error:
            if str(error) != said:
                said = str(error)
                log.error("Kubernetes discovery cannot begin", error=said)  # noqa: TRY400  the message says it all
        await asyncio.sleep(again)


def server_url(text: str) -> str:
    """Return the URL of an API server without the slash at its end; raises ValueError."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"{text!r} is no URL: {error}") from error
    if url.userinfo:
        raise ValueError("a user or password in the URL would be shown in logs: write it in basic_auth")
    if url.scheme not in {"http", "https"} or not url.host or url.query or url.fragment:
        raise ValueError(f"{text!r} must be a URL such as https://10.0.0.1:6443")
    return text.rstrip("/")


def _one(path: Path, kind: str, name: str, known: Mapping[str, Kind]) -> Kind:
    if name not in known:
        said = f"has no {kind} {name!r}" if name else f"says no current {kind}"
        raise ConfigError(f"{path}: {said}; known here: {', '.join(known) or 'none'}")
    return known[name]


def _http(cluster: Cluster, user: User, path: Path) -> HttpSettings:
    """Return the settings of a cluster and user; raises ConfigError, ValueError and OSError."""
    if user.plugin or user.provider:
        kind = "exec" if user.plugin else "auth-provider"
        raise ConfigError(
            f"{path}: its user is made known by {kind}, which is not supported: use api_server and"
            " authorization, with the token of a service account"
        )
    file = _finder(path)
    tls = TlsConfig(
        ca_file=file(cluster.ca_file, cluster.ca),
        cert_file=file(user.cert_file, user.cert),
        key_file=file(user.key_file, user.key.get_secret_value()),
        server_name=cluster.server_name,
        insecure_skip_verify=cluster.insecure,
    )
    token_file = file(user.token_file, "")
    authorization = Authorization(credentials_file=token_file) if token_file else None
    if user.token and not authorization:
        authorization = Authorization(credentials=user.token)
    basic = BasicAuth(username=user.username, password=user.password or SecretStr("")) if user.username else None
    return HttpSettings(tls_config=tls, authorization=authorization, basic_auth=None if authorization else basic)


def _finder(path: Path) -> Callable[[str, str], Path | None]:
    """Return what finds the files that the kubeconfig at `path` names or, in base64, holds."""

    def file(name: str, data: str) -> Path | None:
        if data:
            return _in_memory(base64.b64decode(data, validate=True))
        return path.parent / name if name else None

    return file


@cache
def _in_memory(data: bytes) -> Path:
    """Return a file that only this process sees: Python takes keys from files alone, and no disk should have them.

    It stays open, since it is read again for each new TLS context; the same data are the same file.
    """
    descriptor = os.memfd_create("leakwatch-kubeconfig")
    os.write(descriptor, data)
    return Path(f"/proc/self/fd/{descriptor}")
