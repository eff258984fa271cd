"""A cluster with an object of each kind, and configurations of its discovery (tests/kubernetes/record.py)."""

from collections.abc import Iterator
from typing import Any

from tests.support.api_server import ApiServer, endpoint_slice, plain, pod

SELECTORS = [
    *("a", "!a", "a=b", "a==b", "a!=b", "a in (b,c)", "a notin (b, c)", "a,!b,c=d", "a=", "a in ()", "a>1", "a<x"),
    *(
        "x.y/z=1",
        "a b",
        "a=b c",
        "=b",
        "a in b",
        "a in (b",
        "(a)",
        ",",
        "a,",
        "",
        "a=b,,c",
        "a ! = b",
        "a=-b",
        "-a=b",
    ),
    *("a/b/c=d", "a in (b)c", "a=b in (c)", "x_y.z=A-b_C.d", "ü=b", "a=ü", " a = b ", "in=a", "a in(b)"),
]
"""Label selectors, valid and invalid."""

FIELDS = [
    "a=b",
    "a==b",
    "a!=b",
    "a.b.c=d,e=f",
    "a",
    "=b",
    "a=",
    "",
    "a=b,",
    "a,b=c",
    "a=\\,b",
    "a=b=c",
    "a=\\x",
    "a=b c",
]
"""Field selectors, valid and invalid."""

NOW = "before", "after"
"""Before and after the changes."""


def pods() -> Iterator[dict[str, Any]]:
    """Yield one pod of each kind."""
    two = [
        {"name": "web", "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 6060}]},
        {"name": "logs", "image": "logs:2"},
    ]
    sidecar = {"name": "mesh", "image": "m", "restartPolicy": "Always", "ports": [{"containerPort": 15000}]}
    labels = {"app.kubernetes.io/name": "shop", "a-b": 'ü\n"', "9": "", "x.y/z": "1"}
    annotations = {"leakwatch.io/scrape": "true", "leakwatch.io/port": "6060"}
    replicas = {"kind": "ReplicaSet", "name": "web-7d4b9c6f5d", "apiVersion": "apps/v1"}
    yield pod("web-7d4b9c6f5d-x", labels=labels, annotations=annotations, containers=two, owner=replicas)
    yield pod("init", "10.0.0.2", init=[{"name": "once", "image": "i"}, sidecar])
    yield pod("six", "fd00::5", labels=labels)
    yield pod("starting", "", phase="Pending")
    yield pod("elsewhere", "10.0.1.1", namespace="other", node="node-2")
    yield pod("not-ready", "10.0.0.3") | {"status": {"podIP": "10.0.0.3", "phase": "Running"}}
    yield pod("done", "10.0.0.20", phase="Succeeded")
    both = pod("both", "10.0.0.6", containers=[{"name": "none"}])
    both["status"]["podIPs"] += [{"ip": "fd00::6"}, {"ip": "10.0.0.7"}]
    yield both
    yield pod("six-none", "fd00::7", containers=[{"name": "none"}])
    same = {
        "ports": [{"name": "a", "containerPort": 9000}, {"name": "b", "containerPort": 9000, "protocol": "UDP"}]
    }
    yield pod("same", "10.0.0.10", containers=[{"name": "x", **same}, {"name": "y", **same}], init=[sidecar])
    udp = [{"name": "dns", "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}]}]
    yield pod("udp", "10.0.0.4", containers=udp, node="unknown")


def slices() -> Iterator[dict[str, Any]]:
    """Yield one slice of each kind."""

    def to(name: str, address: str, **more: Any) -> dict[str, Any]:
        target = {"kind": "Pod", "namespace": "shop", "name": name}
        return {"addresses": [address], "targetRef": target, "conditions": {"ready": True}, **more}

    ports = [{"name": "pprof", "port": 6060, "protocol": "TCP", "appProtocol": "http"}]
    web = to("web-7d4b9c6f5d-x", "10.0.0.1", nodeName="node-1", zone="z", hostname="h")
    going = to("udp", "10.0.0.4", conditions={"ready": False, "serving": True, "terminating": True})
    topology = {"deprecatedTopology": {"topology.kubernetes.io/zone": "z"}}
    yield endpoint_slice("web-1", "web", [web, going, to("gone", "10.9.9.9", **topology)], ports)
    external = {"addresses": ["192.0.2.1", "192.0.2.2"], "conditions": {}}
    yield endpoint_slice("external", "", [external], [{"name": "", "protocol": "TCP", "port": 443}])
    node = {"addresses": ["192.168.0.1"], "targetRef": {"kind": "Node", "name": "node-1"}, "conditions": {}}
    yield endpoint_slice("nodes", "web", [node], [{"name": "any", "protocol": "TCP"}])
    yield endpoint_slice("six", "nobody", [to("six", "fd00::5")], ports, type="IPv6")
    yield endpoint_slice("empty", "web", None, None)
    yield endpoint_slice(
        "same", "same", [to("same", "10.0.0.10")], [{"name": "x", "port": 9000, "protocol": "TCP"}]
    )
    yield endpoint_slice(
        "mesh", "same", [to("same", "10.0.0.10")], [{"name": "m", "port": 15000, "protocol": "TCP"}]
    )


def fill(server: ApiServer) -> None:
    """Create one object of each kind in a cluster."""
    for item in pods():
        server.apply("pods", item)
    for item in slices():
        server.apply("endpointslices", item)
    labels: dict[str, Any] = {"labels": {"team": "a", "x.y/z": "1"}, "annotations": {"note": "n"}}
    server.apply("services", plain("services", "web", **labels))
    server.apply("nodes", plain("nodes", "node-1", **labels))
    server.apply("nodes", plain("nodes", "node-2"))


def change(server: ApiServer) -> None:
    """Change an object of each resource."""
    server.delete("pods", "init")
    server.apply("pods", pod("starting", "10.0.0.9", labels={"now": "here"}))
    server.apply("services", plain("services", "web", labels={"team": "b"}))
    server.apply("nodes", plain("nodes", "node-2", labels={"big": "yes"}))
    server.delete("endpointslices", "external")
    server.apply("pods", pod("another", "10.0.1.2", namespace="other"))
    server.apply("pods", pod("selected", "10.0.0.8", labels={"x.y/z": "1"}))


CONFIGS: dict[str, dict[str, Any]] = {
    "pod": {"role": "pod"},
    "node": {"role": "pod", "attach_metadata": {"node": True}},
    "namespaces": {"role": "pod", "namespaces": {"names": ["other", "none"]}},
    "selectors": {
        "role": "pod",
        "selectors": [{"role": "pod", "label": "x.y/z=1", "field": "spec.nodeName=node-1"}],
    },
    "node-selector": {
        "role": "pod",
        "attach_metadata": {"node": True},
        "selectors": [{"role": "node", "label": "team=a"}],
    },
    "slices": {"role": "endpointslice"},
    "slices-node": {"role": "endpointslice", "attach_metadata": {"node": True}},
    "slices-one": {"role": "endpointslice", "namespaces": {"names": ["shop"]}},
    "secret": {"role": "pod", "authorization": {"credentials": "sesame"}},
}

REFUSED: dict[str, dict[str, Any]] = {
    "no role": {},
    "unknown role": {"role": "pods"},
    "both ways": {"role": "pod", "api_server": "http://h", "kubeconfig_file": "f"},
    "own namespace elsewhere": {"role": "pod", "api_server": "http://h", "namespaces": {"own_namespace": True}},
    "token without server": {"role": "pod", "authorization": {"credentials": "x"}},
    "token with kubeconfig": {"role": "pod", "kubeconfig_file": "f", "authorization": {"credentials": "x"}},
    "selector of another role": {"role": "pod", "api_server": "http://h", "selectors": [{"role": "service"}]},
    "selector twice": {"role": "pod", "api_server": "http://h", "selectors": [{"role": "pod"}, {"role": "pod"}]},
    "selector without role": {"role": "pod", "api_server": "http://h", "selectors": [{"label": "a=b"}]},
    "unknown key": {"role": "pod", "api_server": "http://h", "namespace": {}},
}
"""Configurations that Prometheus and leakwatch reject."""
