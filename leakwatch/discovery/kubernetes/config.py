"""`kubernetes_sd_configs`: which cluster to ask for which targets, as Prometheus is told.

What does the work is imported when there is such a configuration: a sidecar does not pay its memory.
"""

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, model_validator

from leakwatch.discovery.target_group import Update
from leakwatch.errors import ConfigError
from leakwatch.http.settings import HttpSettings
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import ConfigFile

if TYPE_CHECKING:
    from leakwatch.discovery.kubernetes.discoverer import Timing
    from leakwatch.discovery.kubernetes.kubeconfig import Pod

KEY = r"(?:[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?/)?[A-Za-z0-9](?:[-_.A-Za-z0-9]*[A-Za-z0-9])?"
VALUE = r"(?:[A-Za-z0-9](?:[-_.A-Za-z0-9]*[A-Za-z0-9])?)?"
SET = rf"(?:in|notin)\s*\(\s*{VALUE}\s*(?:,\s*{VALUE}\s*)*\)"
LABEL = rf"\s*(?:!\s*{KEY}|{KEY}(?:\s*(?:=|==|!=)\s*{VALUE}|\s*[<>]\s*\d+|\s+{SET})?)\s*"
LABELS = re.compile(rf"(?:{LABEL}(?:,{LABEL})*)?")
FIELD = r"[^,=!\\]*(?:==|!=|=)(?:[^,=\\]|\\[,=\\])*"
FIELDS = re.compile(rf"(?:{FIELD})?(?:,(?:{FIELD})?)*")
NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
OTHER_ROLES = {
    "endpoints": "Kubernetes has replaced endpoints by slices of endpoints: use endpointslice",
    "service": "behind the address of a service is another process each time: use pod or endpointslice",
    "ingress": "behind an ingress is another process each time: use pod or endpointslice",
    "node": "nothing on a node itself is a Go service of yours: use pod",
}
SELECTABLE = {"pod": ("pod", "node"), "endpointslice": ("pod", "service", "endpointslice")}


def _role(value: Any) -> Any:
    if isinstance(value, str) and value in OTHER_ROLES:
        raise ValueError(f"role {value!r} is not supported; {OTHER_ROLES[value]}")
    return value


def _server(text: str) -> str:
    from leakwatch.discovery.kubernetes.kubeconfig import server_url

    return server_url(text)


def _namespace(name: str) -> str:
    if not NAMESPACE.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a namespace")
    return name


def _labels(text: str) -> str:
    if not LABELS.fullmatch(text):
        raise ValueError(f"{text!r} selects no labels; write for example app=shop,tier!=cache or env in (a, b)")
    return text


def _fields(text: str) -> str:
    if not FIELDS.fullmatch(text):
        raise ValueError(f"{text!r} selects no fields; write for example spec.nodeName=node-1")
    return text


class Namespaces(BaseSettings):
    """`namespaces`: where to look; everywhere if nothing is said."""

    own_namespace: bool = False
    """That of our own pod."""
    names: tuple[Annotated[str, AfterValidator(_namespace)], ...] = ()
    """These; none is all, unless `own_namespace` is true."""


class Selector(BaseSettings):
    """One of `selectors`: what the API server shall send of all that there is."""

    role: Literal["pod", "service", "endpointslice", "node"]
    """Of which objects it speaks."""
    label: Annotated[str, AfterValidator(_labels)] = ""
    """A label selector, as kubectl takes it."""
    field: Annotated[str, AfterValidator(_fields)] = ""
    """A field selector, such as `spec.nodeName=node-1`."""

    def parameters(self) -> dict[str, str]:
        """Return it as parameters of a request."""
        named = {"labelSelector": self.label, "fieldSelector": self.field}
        return {name: value for name, value in named.items() if value}


class AttachMetadata(BaseSettings):
    """`attach_metadata`: what else is watched for its labels."""

    node: bool = False
    """Nodes, so that their labels are known to rules."""


class KubernetesConfig(HttpSettings):
    """Which cluster to ask, and for what. Without api_server and kubeconfig_file: the one that we run in."""

    role: Annotated[Literal["pod", "endpointslice"], BeforeValidator(_role)]
    """`pod`, or the endpoints of services."""
    api_server: Annotated[str, AfterValidator(_server)] | None = None
    """URL of a cluster that we do not run in; keys that say how to ask need it."""
    kubeconfig_file: ConfigFile | None = None
    """Another way to such a cluster."""
    namespaces: Namespaces = Namespaces()
    selectors: tuple[Selector, ...] = ()
    attach_metadata: AttachMetadata = AttachMetadata()

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        ways = [name for name in ("api_server", "kubeconfig_file") if getattr(self, name)]
        asked = sorted(self.model_fields_set & HttpSettings.model_fields.keys())
        if len(ways) > 1:
            raise ValueError("at most one of api_server and kubeconfig_file")
        if ways and self.namespaces.own_namespace:
            raise ValueError(f"namespaces.own_namespace is that of our own pod: not together with {ways[0]}")
        if asked and not self.api_server:
            raise ValueError(f"{asked[0]} needs api_server; a kubeconfig and the service account bring their own")
        if self.kubeconfig_file:
            from leakwatch.discovery.kubernetes.kubeconfig import kubeconfig

            try:
                kubeconfig(self.kubeconfig_file)
            except ConfigError as error:
                raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _selectors_fit(self) -> Self:
        roles = [selector.role for selector in self.selectors]
        for role in roles:
            if role not in SELECTABLE[self.role]:
                known = ", ".join(SELECTABLE[self.role])
                raise ValueError(
                    f"selectors: nothing of role {role} is watched for role {self.role}, only {known}"
                )
            if role == "node" and not self.attach_metadata.node:
                raise ValueError("selectors: nodes are watched only with attach_metadata.node")
            if roles.count(role) > 1:
                raise ValueError(f"selectors: role {role} is selected twice")
        return self

    async def run(self, update: Update, *, timing: "Timing | None" = None, pod: "Pod | None" = None) -> None:
        """Tell the groups when they are known and whenever they change; never ends. `pod`: that we run in."""
        from leakwatch.discovery.kubernetes import discoverer as cluster
        from leakwatch.discovery.kubernetes import kubeconfig as access

        pod, timing = pod or access.Pod(), timing or cluster.Timing()
        if self.api_server:
            entry = access.Access(self.api_server, self)
        else:
            entry = await access.known(pod, self.kubeconfig_file, again=timing.longest_pause)
        own = (entry.namespace,) if self.namespaces.own_namespace else ()
        wanted = cluster.WatchRequest(
            self.role,
            tuple(dict.fromkeys((*self.namespaces.names, *own))) or ("",),
            {selector.role: selector.parameters() for selector in self.selectors},
            nodes=self.attach_metadata.node,
        )
        await cluster.Cluster(entry, wanted, timing).run(update)
