"""`kubernetes_sd_configs`: settings of Kubernetes discovery, as in Prometheus.

The other modules of this package are imported only if there is such a configuration, to save memory in a sidecar.
"""

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, model_validator

from leakwatch.clock import Clock
from leakwatch.discovery.status import DiscoveryStatus
from leakwatch.errors import ConfigError
from leakwatch.http.settings import HttpSettings
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import ConfigFile

if TYPE_CHECKING:
    from leakwatch.discovery.kubernetes.discoverer import KubernetesDiscoverer
    from leakwatch.discovery.kubernetes.kubeconfig import ApiAccess, ServiceAccount
    from leakwatch.discovery.kubernetes.reflector import WatchTiming

KEY = r"(?:[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?/)?[A-Za-z0-9](?:[-_.A-Za-z0-9]*[A-Za-z0-9])?"
VALUE = r"(?:[A-Za-z0-9](?:[-_.A-Za-z0-9]*[A-Za-z0-9])?)?"
SET = rf"(?:in|notin)\s*\(\s*+{VALUE}\s*(?:,\s*+{VALUE}\s*)*\)"
LABEL_TERM = rf"\s*(?:!\s*{KEY}|{KEY}(?:\s*(?:=|==|!=)\s*+{VALUE}|\s*[<>]\s*\d+|\s+{SET})?)\s*"
LABEL_SELECTOR = re.compile(rf"(?:{LABEL_TERM}(?:,{LABEL_TERM})*)?")
FIELD_TERM = r"[^,=!\\]*(?:==|!=|=)(?:[^,=\\]|\\[,=\\])*"
FIELD_SELECTOR = re.compile(rf"(?:{FIELD_TERM})?(?:,(?:{FIELD_TERM})?)*")
NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
UNSUPPORTED_ROLES = {
    "endpoints": "Kubernetes replaced Endpoints by EndpointSlices: use endpointslice",
    "service": "another process can answer each request to the address of a service: use pod or endpointslice",
    "ingress": "another process can answer each request to an ingress: use pod or endpointslice",
    "node": "Go services run in pods: use pod",
}
SELECTOR_ROLES = {"pod": ("pod", "node"), "endpointslice": ("pod", "service", "endpointslice")}


def _role(value: Any) -> Any:
    if isinstance(value, str) and value in UNSUPPORTED_ROLES:
        raise ValueError(f"role {value!r} is not supported; {UNSUPPORTED_ROLES[value]}")
    return value


def _server(text: str) -> str:
    from leakwatch.discovery.kubernetes.kubeconfig import server_url

    return server_url(text)


def _namespace(name: str) -> str:
    if not NAMESPACE.fullmatch(name):
        raise ValueError(f"{name!r} is not a namespace name")
    return name


def _label_selector(text: str) -> str:
    if not LABEL_SELECTOR.fullmatch(text):
        raise ValueError(
            f"{text!r} is not a label selector; write for example app=shop,tier!=cache or env in (a, b)"
        )
    return text


def _field_selector(text: str) -> str:
    if not FIELD_SELECTOR.fullmatch(text):
        raise ValueError(f"{text!r} is not a field selector; write for example spec.nodeName=node-1")
    return text


class Namespaces(BaseSettings):
    """`namespaces`: the namespaces to watch; all of them by default."""

    own_namespace: bool = False
    """Whether to watch the namespace of leakwatch's own pod."""
    names: tuple[Annotated[str, AfterValidator(_namespace)], ...] = ()
    """Names of namespaces. An empty list means all, unless `own_namespace` is true."""


class Selector(BaseSettings):
    """An entry of `selectors`: the API server returns only the selected objects."""

    role: Literal["pod", "service", "endpointslice", "node"]
    """The kind of object that the selector applies to."""
    label: Annotated[str, AfterValidator(_label_selector)] = ""
    """A label selector, as for kubectl."""
    field: Annotated[str, AfterValidator(_field_selector)] = ""
    """A field selector, such as `spec.nodeName=node-1`."""

    def parameters(self) -> dict[str, str]:
        """Return the request parameters."""
        selectors = {"labelSelector": self.label, "fieldSelector": self.field}
        return {name: value for name, value in selectors.items() if value}


class AttachMetadata(BaseSettings):
    """`attach_metadata`: additional objects that are watched for their labels."""

    node: bool = False
    """Watch nodes, so that rules can use their labels."""


class KubernetesConfig(HttpSettings):
    """A cluster, and the objects to watch. The default is the cluster that leakwatch runs in."""

    role: Annotated[Literal["pod", "endpointslice"], BeforeValidator(_role)]
    """`pod`, or `endpointslice` for the endpoints of services."""
    api_server: Annotated[str, AfterValidator(_server)] | None = None
    """URL of another cluster's API server. The HTTP keys, such as `authorization`, need it."""
    kubeconfig_file: ConfigFile | None = None
    """Path of a kubeconfig, an alternative to `api_server`. Its user may have a credential plugin (`exec`)."""
    namespaces: Namespaces = Namespaces()
    selectors: tuple[Selector, ...] = ()
    attach_metadata: AttachMetadata = AttachMetadata()

    @model_validator(mode="after")
    def _access_is_unambiguous(self) -> Self:
        clusters = [name for name in ("api_server", "kubeconfig_file") if getattr(self, name)]
        http_keys = sorted(self.model_fields_set & HttpSettings.model_fields.keys())
        if len(clusters) > 1:
            raise ValueError("at most one of api_server and kubeconfig_file")
        if clusters and self.namespaces.own_namespace:
            raise ValueError(
                f"namespaces.own_namespace needs leakwatch's own cluster: not together with {clusters[0]}"
            )
        if http_keys and not self.api_server:
            raise ValueError(
                f"{http_keys[0]} needs api_server; a kubeconfig and the service account have their own"
            )
        if self.kubeconfig_file:
            from leakwatch.discovery.kubernetes.kubeconfig import read_kubeconfig

            try:
                read_kubeconfig(self.kubeconfig_file)
            except ConfigError as error:
                raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _selectors_fit_role(self) -> Self:
        roles = [selector.role for selector in self.selectors]
        for role in roles:
            if role not in SELECTOR_ROLES[self.role]:
                watched = ", ".join(SELECTOR_ROLES[self.role])
                raise ValueError(f"selectors: role {self.role} watches {watched}, but not {role}")
            if role == "node" and not self.attach_metadata.node:
                raise ValueError("selectors: nodes are watched only with attach_metadata.node")
            if roles.count(role) > 1:
                raise ValueError(f"selectors: role {role} is selected twice")
        return self

    def discoverer(
        self,
        status: DiscoveryStatus,
        clock: Clock,
        *,
        timing: "WatchTiming | None" = None,
        account: "ServiceAccount | None" = None,
    ) -> "KubernetesDiscoverer":
        """Return the discoverer of this cluster. `account` is the service account of leakwatch's own pod."""
        from leakwatch.discovery.kubernetes.discoverer import KubernetesDiscoverer, WatchRequest
        from leakwatch.discovery.kubernetes.reflector import WatchTiming

        request = WatchRequest(
            role=self.role,
            namespaces=self.namespaces.names,
            own_namespace=self.namespaces.own_namespace,
            selectors={selector.role: selector.parameters() for selector in self.selectors},
            nodes=self.attach_metadata.node,
        )
        return KubernetesDiscoverer(lambda: self._access(account), request, status, clock, timing or WatchTiming())

    def _access(self, account: "ServiceAccount | None") -> "ApiAccess":
        """Return the access to the API server; raises ConfigError."""
        from leakwatch.discovery.kubernetes.kubeconfig import ApiAccess, ServiceAccount, read_kubeconfig

        if self.api_server:
            return ApiAccess(url=self.api_server, http=self)
        if self.kubeconfig_file:
            return read_kubeconfig(self.kubeconfig_file)
        return (account or ServiceAccount()).access()
