"""From Kubernetes objects to target groups, with the labels that Prometheus gives: `__meta_kubernetes_*`.

Compared label by label with what Prometheus finds (tests/test_kubernetes_oracle.py). Two differences are meant: a
pod that has run to its end gives no target, since its address may be another pod's by now; and an IPv6 address
without a port is in brackets, so that rules can add one.
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
OVER = {"Succeeded", "Failed"}
UNFIT = re.compile(r"[^a-zA-Z0-9_]")


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a container; a container without ports counts as one without a number."""

    number: int | None
    labels: Labels
    container: str
    id: str


@dataclass(frozen=True, slots=True)
class Pod:
    """What is kept of a pod."""

    ip: str
    over: bool
    node: str
    labels: Labels
    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class World:
    """All that is known of a cluster, or of some of its namespaces, by "namespace/name"."""

    pods: Mapping[str, Pod] = field(default_factory=dict)
    slices: Mapping[str, objects.EndpointSlice] = field(default_factory=dict)
    services: Mapping[str, Labels] = field(default_factory=dict)
    nodes: Mapping[str, Labels] | None = None
    """None: nodes are not watched."""

    def node(self, name: str | None) -> Labels | None:
        """Return the labels of a node, None if it is not known though nodes are watched."""
        return {} if self.nodes is None else self.nodes.get(f"/{name}")


def pod(received: objects.KubernetesPod) -> Pod:
    """Return what is kept of a pod."""
    spec, status = received.spec, received.status
    ready = next((one.status for one in status.conditions or () if one.type == "Ready"), "Unknown")
    labels = {
        f"{META}namespace": received.metadata.namespace,
        f"{META}pod_ip": status.ip,
        f"{META}pod_ready": ready.lower(),
        f"{META}pod_phase": status.phase,
        f"{META}pod_node_name": spec.node,
        f"{META}pod_host_ip": status.host,
        f"{META}pod_uid": received.metadata.uid,
        **named("pod", received.metadata),
    }
    owner = next((one for one in received.metadata.owners if one.controller), objects.Owner())
    if owner.kind:
        labels[f"{META}pod_controller_kind"] = owner.kind
    if owner.name:
        labels[f"{META}pod_controller_name"] = owner.name
    ports = (
        *_ports(spec.containers or (), status.containers or (), "false"),
        *_ports(spec.init_containers or (), status.init_containers or (), "true"),
    )
    return Pod(status.ip, status.phase in OVER, spec.node, labels, ports)


def service(received: objects.KubernetesService) -> Labels:
    """Return what is kept of a service."""
    return named("service", received.metadata)


def node(received: objects.Node) -> Labels:
    """Return what is kept of a node."""
    return named("node", received.metadata)


def named(role: str, meta: objects.Meta) -> Labels:
    """Return the labels that say the name, the labels and the annotations of an object."""
    labels = {f"{META}{role}_name": meta.name}
    for kind, values in (("label", meta.labels), ("annotation", meta.annotations)):
        for key, value in values.items():
            name, present = _names(role, kind, key)
            labels[name] = value
            labels[present] = "true"
    return labels


def pod_groups(world: World) -> Iterator[TargetGroup]:
    """Yield the targets of role pod: one per declared port, and one for a container without any."""
    for pod in world.pods.values():
        node = world.node(pod.node)
        if not pod.ip or pod.over or node is None:
            continue
        common = pod.labels | node
        for port in pod.ports:
            yield _group(_address(pod.ip, port.number), common | port.labels | {f"{CONTAINER}id": port.id})


def slice_groups(world: World) -> Iterator[TargetGroup]:
    """Yield the targets of role endpointslice: the endpoints, and the other ports of the pods behind them."""
    for one in world.slices.values():
        meta = one.metadata
        name = meta.labels.get(SERVICE_OF_SLICE)
        common = {f"{META}namespace": meta.namespace, f"{SLICE}address_type": one.type}
        common |= named("endpointslice", meta) | world.services.get(f"{meta.namespace}/{name}", {})
        behind: dict[str, Pod] = {}
        for endpoint in one.endpoints or ():
            place = _place(endpoint) | (world.node(_node_of(endpoint)) or {})
            key, pod = _pod_of(endpoint, world.pods)
            if pod and one.ports and endpoint.addresses:
                behind[key] = pod
            for port in one.ports or ():
                labels = common | _port_labels(port) | place | (_behind(pod, port.number) if pod else {})
                for address in endpoint.addresses or ():
                    yield _group(_address(address, port.number), labels)
        offered = {port.number for port in one.ports or ()}
        yield from _other_ports(behind.values(), offered, common)


def _other_ports(pods: Iterable[Pod], offered: set[int | None], common: Labels) -> Iterator[TargetGroup]:
    for pod in pods:
        for port in pod.ports:
            if pod.ip and port.number is not None and port.number not in offered:
                yield _group(_address(pod.ip, port.number), common | port.labels | pod.labels)


def _pod_of(endpoint: objects.SliceEndpoint, pods: Mapping[str, Pod]) -> tuple[str, Pod | None]:
    target = endpoint.target
    if target is None or target.kind != "Pod":
        return "", None
    key = f"{target.namespace}/{target.name}"
    return key, pods.get(key)


def _node_of(endpoint: objects.SliceEndpoint) -> str | None:
    target = endpoint.target
    return target.name if target and target.kind == "Node" else endpoint.node


def _place(endpoint: objects.SliceEndpoint) -> Labels:
    """Return the labels of an endpoint, whatever its port."""
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
        labels[f"endpoint_topology_{UNFIT.sub('_', key)}"] = value
        labels[f"endpoint_topology_present_{UNFIT.sub('_', key)}"] = True
    return _known(labels)


def _port_labels(port: objects.EndpointPort) -> Labels:
    return _known(
        {
            "port": None if port.number is None else str(port.number),
            "port_name": port.name,
            "port_protocol": port.protocol,
            "port_app_protocol": port.application,
        }
    )


def _known(labels: Mapping[str, str | bool | None]) -> Labels:
    """Return what is known as labels of a slice."""
    return {
        f"{SLICE}{name}": str(value).lower() if isinstance(value, bool) else value
        for name, value in labels.items()
        if value is not None
    }


def _behind(pod: Pod, number: int | None) -> Labels:
    """Return the labels of the pod behind an endpoint, and of its container that has the port."""
    last = ""
    found: Labels = {}
    for port in pod.ports:
        if number is not None and port.number == number and port.container != last:
            last, found = port.container, port.labels  # of each container the first, of all containers the last
    return pod.labels | found


def _ports(
    containers: Iterable[objects.Container], statuses: Iterable[objects.ContainerStatus], init: str
) -> Iterator[Port]:
    ids = {one.name: one.id for one in statuses}
    for container in containers:
        labels = {
            f"{CONTAINER}name": container.name,
            f"{CONTAINER}image": container.image,
            f"{CONTAINER}init": init,
        }
        key = f"{init}/{container.name}"
        if not container.ports:
            yield Port(None, labels, key, ids.get(container.name, ""))
        for port in container.ports or ():
            of_port = {
                f"{CONTAINER}port_name": port.name,
                f"{CONTAINER}port_number": str(port.number),
                f"{CONTAINER}port_protocol": port.protocol,
            }
            yield Port(port.number, labels | of_port, key, ids.get(container.name, ""))


def _address(host: str, port: int | None) -> str:
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"


@lru_cache(maxsize=16_384)
def _names(role: str, kind: str, key: str) -> tuple[str, str]:
    """Return the names for a label or annotation; remembered, so that all pods share one text."""
    fit = UNFIT.sub("_", key)
    return f"{META}{role}_{kind}_{fit}", f"{META}{role}_{kind}present_{fit}"


def _group(address: str, labels: Labels) -> TargetGroup:
    """Return one target; not validated, since an address without a port is no error before relabeling."""
    return TargetGroup.model_construct(targets=(address,), labels=labels)
