"""What the Kubernetes API sends, as far as targets are made of it.

    {"metadata": {"resourceVersion": "7", "continue": "..."}, "items": [{...}, ...]}    a page of a list
    {"type": "ADDED", "object": {"metadata": {"resourceVersion": "8", ...}, ...}}       a line of a watch
    {"kind": "KubernetesStatus", "code": 403, "reason": "Forbidden", "message": "..."}            a refusal

What is not named here is not even made: a pod of 10 kB of JSON has some 30 values that count. Go writes an empty
list as null where the field is required.
"""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field


class Received(BaseModel):
    """Base of all that comes from the API server."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Owner(Received):
    """One of `ownerReferences`."""

    kind: str = ""
    name: str = ""
    controller: bool = False


class Meta(Received):
    """`metadata`."""

    name: str
    namespace: str = ""
    uid: str = ""
    version: str = Field("", alias="resourceVersion")
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owners: tuple[Owner, ...] = Field((), alias="ownerReferences")


class Thing(Received):
    """An object with a name: all that is listed and watched."""

    metadata: Meta

    @property
    def key(self) -> str:
        """What it is called in the whole cluster."""
        return f"{self.metadata.namespace}/{self.metadata.name}"


class ContainerPort(Received):
    """A port that a container declares."""

    number: int = Field(alias="containerPort")
    name: str = ""
    protocol: str = ""


class Container(Received):
    """A container as it was asked for."""

    name: str
    image: str = ""
    ports: tuple[ContainerPort, ...] | None = None


class ContainerStatus(Received):
    """A container as it runs."""

    name: str
    id: str = Field("", alias="containerID")


class Condition(Received):
    """One of the conditions of a pod."""

    type: str
    status: str = ""


class PodSpec(Received):
    """A pod as it was asked for."""

    node: str = Field("", alias="nodeName")
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = Field(None, alias="initContainers")


class PodStatus(Received):
    """A pod as it is."""

    phase: str = ""
    ip: str = Field("", alias="podIP")
    host: str = Field("", alias="hostIP")
    conditions: tuple[Condition, ...] | None = None
    containers: tuple[ContainerStatus, ...] | None = Field(None, alias="containerStatuses")
    init_containers: tuple[ContainerStatus, ...] | None = Field(None, alias="initContainerStatuses")


class KubernetesPod(Thing):
    """One pod."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class KubernetesService(Thing):
    """One service; only its metadata counts."""


class Node(Thing):
    """One node; only its metadata counts."""


class Reference(Received):
    """`targetRef`: what is behind an endpoint."""

    kind: str = ""
    name: str = ""
    namespace: str = ""


class EndpointConditions(Received):
    """What is known of an endpoint; None is not known."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class SliceEndpoint(Received):
    """One endpoint of a slice."""

    addresses: tuple[str, ...] | None = None
    conditions: EndpointConditions = EndpointConditions()
    hostname: str | None = None
    node: str | None = Field(None, alias="nodeName")
    zone: str | None = None
    target: Reference | None = Field(None, alias="targetRef")
    topology: dict[str, str] = Field(default_factory=dict, alias="deprecatedTopology")


class EndpointPort(Received):
    """A port that all endpoints of a slice have."""

    name: str | None = None
    number: int | None = Field(None, alias="port")
    protocol: str | None = None
    application: str | None = Field(None, alias="appProtocol")


class EndpointSlice(Thing):
    """Some of the endpoints of a service."""

    type: str = Field("", alias="addressType")
    endpoints: tuple[SliceEndpoint, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None


Kind = TypeVar("Kind", bound=Thing)


class PageMeta(Received):
    """`metadata` of a list."""

    version: str = Field("", alias="resourceVersion")
    rest: str = Field("", alias="continue")
    """What to ask for the next page with, "" after the last."""


class Page(Received, Generic[Kind]):
    """A part of a list."""

    metadata: PageMeta
    items: tuple[Kind, ...] | None = None


class LoosePage(Received):
    """A part of a list, whatever its items are."""

    metadata: PageMeta
    items: tuple[dict[str, Any], ...] | None = None


class WatchEvent(Received):
    """One line of a watch; `object` is read as what its type promises."""

    type: str
    object: dict[str, Any]


class Bookmark(Received):
    """What the object of each event holds, that of a BOOKMARK alone: how far the watch has come."""

    metadata: PageMeta


class KubernetesStatus(Received):
    """Why the API server refuses."""

    code: int = 0
    reason: str = ""
    message: str = ""
