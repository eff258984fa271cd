"""Target groups from Kubernetes objects, with Prometheus's labels `__meta_kubernetes_*`. Pure.

tests/unit/discovery/kubernetes/test_meta_labels.py compares each label with Prometheus's own discovery. There are
two differences on purpose. A pod that has completed is not a target, because another pod may have its address now.
An IPv6 address without a port is in brackets, so that rules can add a port.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from leakwatch.discovery.kubernetes import objects
from leakwatch.discovery.target_group import TargetGroup

Labels = dict[str, str]

META = "__meta_kubernetes_"
CONTAINER = f"{META}pod_container_"
SLICE = f"{META}endpointslice_"
SERVICE_OF_SLICE = "kubernetes.io/service-name"
COMPLETED = {"Succeeded", "Failed"}
INVALID_CHARACTER = re.compile(r"[^a-zA-Z0-9_]")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPort:
    """A port of a container. A container without ports has one port without a number."""

    number: int | None
    labels: Labels
    container: str
    """Kind and name of the container, unique in the pod."""
    container_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPod:
    """The parts of a pod that targets need."""

    ip: str
    is_completed: bool
    node: str
    labels: Labels
    ports: tuple[StoredPort, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStores:
    """The current objects of a namespace, or of all namespaces, by "namespace/name"."""

    pods: Mapping[str, StoredPod] = field(default_factory=dict)
    slices: Mapping[str, objects.EndpointSlice] = field(default_factory=dict)
    services: Mapping[str, Labels] = field(default_factory=dict)
    nodes: Mapping[str, Labels] | None = None
    """None if nodes are not watched."""

    def node_labels(self, name: str | None) -> Labels | None:
        """Return the labels of a node: empty if nodes are not watched, None if the node is not in the store."""
        return {} if self.nodes is None else self.nodes.get(f"/{name}")


def stored_pod(pod: objects.KubernetesPod) -> StoredPod:
    """Return the parts of a pod that targets need."""
    spec, status = pod.spec, pod.status
    ready = next(
        (condition.status for condition in status.conditions or () if condition.type == "Ready"), "Unknown"
    )
    labels = {
        f"{META}namespace": pod.metadata.namespace,
        f"{META}pod_ip": status.ip,
        f"{META}pod_ready": ready.lower(),
        f"{META}pod_phase": status.phase,
        f"{META}pod_node_name": spec.node,
        f"{META}pod_host_ip": status.host,
        f"{META}pod_uid": pod.metadata.uid,
        **metadata_labels("pod", pod.metadata),
    }
    controller = next((owner for owner in pod.metadata.owners if owner.controller), objects.OwnerReference())
    if controller.kind:
        labels[f"{META}pod_controller_kind"] = controller.kind
    if controller.name:
        labels[f"{META}pod_controller_name"] = controller.name
    return StoredPod(
        ip=status.ip,
        is_completed=status.phase in COMPLETED,
        node=spec.node,
        labels=labels,
        ports=(
            *_ports(spec.containers or (), status.containers or (), "false"),
            *_ports(spec.init_containers or (), status.init_containers or (), "true"),
        ),
    )


def service_labels(service: objects.KubernetesService) -> Labels:
    """Return the labels of a service."""
    return metadata_labels("service", service.metadata)


def node_labels(node: objects.KubernetesNode) -> Labels:
    """Return the labels of a node."""
    return metadata_labels("node", node.metadata)


def metadata_labels(role: str, meta: objects.ObjectMeta) -> Labels:
    """Return the labels for the name, the labels and the annotations of an object."""
    labels = {f"{META}{role}_name": meta.name}
    for kind, values in (("label", meta.labels), ("annotation", meta.annotations)):
        for key, value in values.items():
            name, present = _label_names(role, kind, key)
            labels[name] = value
            labels[present] = "true"
    return labels


def pod_groups(stores: ObjectStores) -> Iterator[TargetGroup]:
    """Yield the targets of role pod: one per declared port, and one per container without ports."""
    for pod in stores.pods.values():
        node = stores.node_labels(pod.node)
        if not pod.ip or pod.is_completed or node is None:
            continue
        common = pod.labels | node
        for port in pod.ports:
            labels = common | port.labels | {f"{CONTAINER}id": port.container_id}
            yield _group(_address(pod.ip, port.number), labels)


def slice_groups(stores: ObjectStores) -> Iterator[TargetGroup]:
    """Yield the targets of role endpointslice: the endpoints, and the other ports of the pods behind them."""
    for endpoint_slice in stores.slices.values():
        meta = endpoint_slice.metadata
        service = meta.labels.get(SERVICE_OF_SLICE)
        common = {f"{META}namespace": meta.namespace, f"{SLICE}address_type": endpoint_slice.type}
        common |= metadata_labels("endpointslice", meta)
        common |= stores.services.get(f"{meta.namespace}/{service}", {})
        pods: dict[str, StoredPod] = {}
        for endpoint in endpoint_slice.endpoints or ():
            endpoint_labels = _endpoint_labels(endpoint) | (stores.node_labels(_node_of(endpoint)) or {})
            key, pod = _pod_of(endpoint, stores.pods)
            if pod and endpoint_slice.ports and endpoint.addresses:
                pods[key] = pod
            for port in endpoint_slice.ports or ():
                pod_labels = _pod_labels(pod, port.number) if pod else {}
                labels = common | _port_labels(port) | endpoint_labels | pod_labels
                for address in endpoint.addresses or ():
                    yield _group(_address(address, port.number), labels)
        slice_ports = {port.number for port in endpoint_slice.ports or ()}
        yield from _other_ports(pods.values(), slice_ports, common)


def _other_ports(pods: Iterable[StoredPod], slice_ports: set[int | None], common: Labels) -> Iterator[TargetGroup]:
    for pod in pods:
        for port in pod.ports:
            if pod.ip and port.number is not None and port.number not in slice_ports:
                yield _group(_address(pod.ip, port.number), common | port.labels | pod.labels)


def _pod_of(endpoint: objects.SliceEndpoint, pods: Mapping[str, StoredPod]) -> tuple[str, StoredPod | None]:
    target = endpoint.target
    if target is None or target.kind != "Pod":
        return "", None
    key = f"{target.namespace}/{target.name}"
    return key, pods.get(key)


def _node_of(endpoint: objects.SliceEndpoint) -> str | None:
    target = endpoint.target
    return target.name if target and target.kind == "Node" else endpoint.node


def _endpoint_labels(endpoint: objects.SliceEndpoint) -> Labels:
    """Return the labels of an endpoint that do not depend on the port."""
    labels: dict[str, str | bool | None] = {
        "endpoint_conditions_ready": endpoint.conditions.ready,
        "endpoint_conditions_serving": endpoint.conditions.serving,
        "endpoint_conditions_terminating": endpoint.conditions.terminating,
        "endpoint_hostname": endpoint.hostname,
        "endpoint_node_name": endpoint.node,
        "endpoint_zone": endpoint.zone,
        "address_target_kind": endpoint.target.kind if endpoint.target else None,
        "address_target_name": endpoint.target.name if endpoint.target else None,
    }
    for key, value in endpoint.topology.items():
        name = INVALID_CHARACTER.sub("_", key)
        labels[f"endpoint_topology_{name}"] = value
        labels[f"endpoint_topology_present_{name}"] = True
    return _slice_labels(labels)


def _port_labels(port: objects.EndpointPort) -> Labels:
    return _slice_labels(
        {
            "port": None if port.number is None else str(port.number),
            "port_name": port.name,
            "port_protocol": port.protocol,
            "port_app_protocol": port.application,
        }
    )


def _slice_labels(labels: Mapping[str, str | bool | None]) -> Labels:
    """Return the labels that have a value, with the prefix of a slice."""
    return {
        f"{SLICE}{name}": str(value).lower() if isinstance(value, bool) else value
        for name, value in labels.items()
        if value is not None
    }


def _pod_labels(pod: StoredPod, number: int | None) -> Labels:
    """Return the labels of the pod behind an endpoint, and of its container with the port `number`."""
    # As in Prometheus: the first matching port of a container counts, and the last matching container.
    last_container = ""
    port_labels: Labels = {}
    for port in pod.ports:
        if number is not None and port.number == number and port.container != last_container:
            last_container, port_labels = port.container, port.labels
    return pod.labels | port_labels


def _ports(
    containers: Iterable[objects.Container], statuses: Iterable[objects.ContainerStatus], init: str
) -> Iterator[StoredPort]:
    ids = {status.name: status.id for status in statuses}
    for container in containers:
        labels = {
            f"{CONTAINER}name": container.name,
            f"{CONTAINER}image": container.image,
            f"{CONTAINER}init": init,
        }
        key, container_id = f"{init}/{container.name}", ids.get(container.name, "")
        if not container.ports:
            yield StoredPort(number=None, labels=labels, container=key, container_id=container_id)
        for port in container.ports or ():
            port_labels = {
                f"{CONTAINER}port_name": port.name,
                f"{CONTAINER}port_number": str(port.number),
                f"{CONTAINER}port_protocol": port.protocol,
            }
            yield StoredPort(
                number=port.number, labels=labels | port_labels, container=key, container_id=container_id
            )


def _address(host: str, port: int | None) -> str:
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"


@lru_cache(maxsize=16_384)
def _label_names(role: str, kind: str, key: str) -> tuple[str, str]:
    """Return the label names for a label or annotation; cached, so that all pods share the same strings."""
    name = INVALID_CHARACTER.sub("_", key)
    return f"{META}{role}_{kind}_{name}", f"{META}{role}_{kind}present_{name}"


def _group(address: str, labels: Labels) -> TargetGroup:
    """Return a group of one target, without validation: before relabeling, an address may lack its port."""
    return TargetGroup.model_construct(targets=(address,), labels=labels)
