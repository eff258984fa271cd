"""Pydantic models of the parts of Kubernetes API responses that discovery needs.

    {"metadata": {"resourceVersion": "7", "continue": "..."}, "items": [{...}, ...]}    a page of a list
    {"type": "ADDED", "object": {"metadata": {"resourceVersion": "8", ...}, ...}}       a line of a watch
    {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "..."}            an error

Fields without a model are skipped while parsing: a pod is 10 kB of JSON, of which about 30 values are needed. Go
writes an empty list as null if the field is required.
"""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field


class KubernetesModel(BaseModel):
    """Base class of all models of API responses."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class OwnerReference(KubernetesModel):
    """An entry of `ownerReferences`."""

    kind: str = ""
    name: str = ""
    controller: bool = False


class ObjectMeta(KubernetesModel):
    """`metadata` of an object."""

    name: str
    namespace: str = ""
    uid: str = ""
    version: str = Field("", alias="resourceVersion")
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owners: tuple[OwnerReference, ...] = Field((), alias="ownerReferences")


class KubernetesObject(KubernetesModel):
    """Base class of objects that can be listed and watched."""

    metadata: ObjectMeta

    @property
    def key(self) -> str:
        """Namespace and name, unique in the cluster."""
        return f"{self.metadata.namespace}/{self.metadata.name}"


class ContainerPort(KubernetesModel):
    """A port that a container declares."""

    number: int = Field(alias="containerPort")
    name: str = ""
    protocol: str = ""


class Container(KubernetesModel):
    """A container in the specification of a pod."""

    name: str
    image: str = ""
    ports: tuple[ContainerPort, ...] | None = None


class ContainerStatus(KubernetesModel):
    """A running container."""

    name: str
    id: str = Field("", alias="containerID")


class PodCondition(KubernetesModel):
    """A condition in the status of a pod."""

    type: str
    status: str = ""


class PodSpec(KubernetesModel):
    """`spec` of a pod."""

    node: str = Field("", alias="nodeName")
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = Field(None, alias="initContainers")


class PodStatus(KubernetesModel):
    """`status` of a pod."""

    phase: str = ""
    ip: str = Field("", alias="podIP")
    host: str = Field("", alias="hostIP")
    conditions: tuple[PodCondition, ...] | None = None
    containers: tuple[ContainerStatus, ...] | None = Field(None, alias="containerStatuses")
    init_containers: tuple[ContainerStatus, ...] | None = Field(None, alias="initContainerStatuses")


class KubernetesPod(KubernetesObject):
    """A pod."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class KubernetesService(KubernetesObject):
    """A service; only its metadata is needed."""


class KubernetesNode(KubernetesObject):
    """A node; only its metadata is needed."""


class ObjectReference(KubernetesModel):
    """`targetRef`: the object behind an endpoint."""

    kind: str = ""
    name: str = ""
    namespace: str = ""


class EndpointConditions(KubernetesModel):
    """Conditions of an endpoint; None means unknown."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class SliceEndpoint(KubernetesModel):
    """An endpoint of a slice."""

    addresses: tuple[str, ...] | None = None
    conditions: EndpointConditions = EndpointConditions()
    hostname: str | None = None
    node: str | None = Field(None, alias="nodeName")
    zone: str | None = None
    target: ObjectReference | None = Field(None, alias="targetRef")
    topology: dict[str, str] = Field(default_factory=dict, alias="deprecatedTopology")


class EndpointPort(KubernetesModel):
    """A port of all endpoints of a slice."""

    name: str | None = None
    number: int | None = Field(None, alias="port")
    protocol: str | None = None
    application: str | None = Field(None, alias="appProtocol")


class EndpointSlice(KubernetesObject):
    """Some of the endpoints of a service."""

    type: str = Field("", alias="addressType")
    endpoints: tuple[SliceEndpoint, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None


Object = TypeVar("Object", bound=KubernetesObject)


class ListMeta(KubernetesModel):
    """`metadata` of a list."""

    version: str = Field("", alias="resourceVersion")
    next_page: str = Field("", alias="continue")
    """Token of the next page; "" on the last page."""


class ListPage(KubernetesModel, Generic[Object]):
    """A page of a list."""

    metadata: ListMeta
    items: tuple[Object, ...] | None = None


class UncheckedPage(KubernetesModel):
    """A page of a list with unvalidated items."""

    metadata: ListMeta
    items: tuple[dict[str, Any], ...] | None = None


class WatchEvent(KubernetesModel):
    """A line of a watch. Its type determines the type of `object`."""

    type: str
    object: dict[str, Any]


class Bookmark(KubernetesModel):
    """The object of a BOOKMARK event: its metadata contain the resource version that the watch reached."""

    metadata: ListMeta


class KubernetesStatus(KubernetesModel):
    """The body of an error response."""

    code: int = 0
    reason: str = ""
    message: str = ""
