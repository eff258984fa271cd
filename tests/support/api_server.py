"""A Kubernetes API server, as far as listing and watching goes: versions, pages, bookmarks, 410, RBAC, tokens.

A real Prometheus can use it (tests/kubernetes/record.py), and it can do what a real API server does rarely.
"""

import contextlib
import copy
import json
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

Object = dict[str, Any]
KINDS = {
    "pods": ("v1", "Pod"),
    "services": ("v1", "Service"),
    "nodes": ("v1", "Node"),
    "endpointslices": ("discovery.k8s.io/v1", "EndpointSlice"),
}
ROOTS = {"/api/v1": ("pods", "services", "nodes"), "/apis/discovery.k8s.io/v1": ("endpointslices",)}


@dataclass(frozen=True)
class Change:
    """What happened to an object; `before`: as it was."""

    version: int
    type: str
    resource: str
    object: Object


@dataclass
class Asked:
    """One request."""

    verb: str
    resource: str
    namespace: str
    query: dict[str, str]
    headers: dict[str, str]


def pod(name: str, ip: str = "10.0.0.1", namespace: str = "shop", **more: Any) -> Object:
    """Return a running pod with a port called pprof; `more`: labels, phase, containers and what else is here."""
    containers = more.get("containers", [{"name": "app", "ports": [{"name": "pprof", "containerPort": 6060}]}])
    owners = (
        [{"apiVersion": "apps/v1", "controller": True, "uid": "u", **more["owner"]}] if "owner" in more else []
    )
    for container in containers:
        container.setdefault("image", "app:1")
        for port in container.get("ports", ()):
            port.setdefault("protocol", "TCP")
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{namespace}-{name}",
            "labels": more.get("labels", {}),
            "annotations": more.get("annotations", {}),
            "ownerReferences": owners,
        },
        "spec": {
            "nodeName": more.get("node", "node-1"),
            "containers": containers,
            "initContainers": more.get("init", []),
        },
        "status": {
            "phase": more.get("phase", "Running"),
            "podIP": ip,
            "podIPs": [{"ip": ip}] if ip else [],
            "hostIP": "192.168.0.1",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {
                    "name": one["name"],
                    "containerID": f"containerd://{name}-{one['name']}",
                    "image": "",
                    "imageID": "",
                }
                for one in containers
            ],
        },
    }


def plain(kind: str, name: str, namespace: str = "shop", **meta: Any) -> Object:
    """Return a service or a node."""
    where = {} if kind == "nodes" else {"namespace": namespace}
    return {"metadata": {"name": name, **where, **meta}}


def endpoint_slice(name: str, service: str, endpoints: Any, ports: Any, **more: Any) -> Object:
    """Return a slice of the endpoints of a service."""
    labels = {"kubernetes.io/service-name": service} if service else {}
    return {
        "metadata": {"name": name, "namespace": more.get("namespace", "shop"), "labels": labels},
        "addressType": more.get("type", "IPv4"),
        "endpoints": endpoints,
        "ports": ports,
    }


@dataclass
class ApiServer:
    """Serves what it is told; `port` 0: any. Everything may be changed while it runs."""

    context: ssl.SSLContext | None = None
    tokens: set[str] | None = None
    """Those accepted; None: nobody is asked."""
    denied: set[tuple[str, str, str]] = field(default_factory=set)
    """(verb, resource, namespace) that RBAC does not allow."""
    bookmark: float = 0.2
    """Seconds between two bookmarks."""
    delay: float = 0.0
    """Before each answer."""
    broken: bool = False
    """Whether each answer is HTTP 503."""
    silent: bool = False
    """Whether a watch sends nothing any more, as if the machine were gone: no event, no bookmark, no end."""
    port: int = 0
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make what is behind."""
        self._objects: dict[str, dict[str, Object]] = {resource: {} for resource in KINDS}
        self._changes: list[Change] = []
        self._version = 1
        self._oldest = 1
        self._condition = threading.Condition()
        self._server: Server | None = None
        self._vanished = threading.Event()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Serve, on the same port as before if it served before."""
        self._server = Server(self)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Serve no more: all connections break off."""
        if self._server:
            self._server.shutdown()
            self.drop()
            self._server.server_close()
            self._server = None

    def drop(self) -> None:
        """Break off all connections."""
        self._vanished.set()
        if self._server:
            self._server.drop()

    def apply(self, resource: str, thing: Object) -> None:
        """Create or replace an object."""
        api, kind = KINDS[resource]
        thing = {"apiVersion": api, "kind": kind, **copy.deepcopy(thing)}
        with self._condition:
            before = self._objects[resource].get(_key(thing))
            self._version += 1
            thing["metadata"]["resourceVersion"] = str(self._version)
            self._objects[resource][_key(thing)] = thing
            self._tell("MODIFIED" if before else "ADDED", resource, thing)

    def delete(self, resource: str, name: str, namespace: str = "shop") -> None:
        """Delete an object."""
        with self._condition:
            thing = copy.deepcopy(self._objects[resource].pop(f"{namespace}/{name}"))
            self._version += 1
            thing["metadata"]["resourceVersion"] = str(self._version)
            self._tell("DELETED", resource, thing)

    def forget(self) -> None:
        """Remember no change: who comes with an older version is told 410, and who watches now is cut off."""
        with self._condition:
            self._version += 1
            self._oldest = self._version
            self._changes.clear()
        self.drop()

    def watches(self, resource: str) -> list[Asked]:
        """Return the watches of a resource that were asked for."""
        return [one for one in self.asked if (one.verb, one.resource) == ("watch", resource)]

    def lists(self, resource: str) -> list[Asked]:
        """Return the lists of a resource that were asked for, each page."""
        return [one for one in self.asked if (one.verb, one.resource) == ("list", resource)]

    def _tell(self, what: str, resource: str, thing: Object) -> None:
        self._changes.append(Change(self._version, what, resource, thing))
        self._condition.notify_all()

    def page(self, asked: Asked) -> Object:
        """Return a page of a list."""
        with self._condition:
            fit = [one for _, one in sorted(self._objects[asked.resource].items()) if _fits(one, asked)]
            start = int(asked.query.get("continue", "0"))
            end = start + int(asked.query.get("limit", 0) or len(fit) or 1)
            rest = {"continue": str(end)} if end < len(fit) else {}
            api, kind = KINDS[asked.resource]
            meta = {"resourceVersion": str(self._version), **rest}
            return {"apiVersion": api, "kind": f"{kind}List", "metadata": meta, "items": fit[start:end]}

    def events(self, asked: Asked) -> Iterator[Object]:
        """Yield what happened since a version, and what happens."""
        since = int(asked.query["resourceVersion"])
        end = time.monotonic() + float(asked.query.get("timeoutSeconds", 3600))
        marks = asked.query.get("allowWatchBookmarks") == "true"
        while time.monotonic() < end:
            with self._condition:
                if since < self._oldest:
                    yield {"type": "ERROR", "object": status(410, "Expired", "too old resource version")}
                    return
                fresh = [one for one in self._changes if one.version > since and one.resource == asked.resource]
                since = self._version
                if not fresh:
                    self._condition.wait(min(self.bookmark, max(0.0, end - time.monotonic())))
                    fresh = [
                        one for one in self._changes if one.version > since and one.resource == asked.resource
                    ]
                    since = self._version
            if self.silent:
                self._vanished.wait()
                return
            yield from ({"type": one.type, "object": one.object} for one in fresh if _fits(one.object, asked))
            if marks and not fresh:
                yield self._mark(asked, since)

    def _mark(self, asked: Asked, version: int) -> Object:
        api, kind = KINDS[asked.resource]
        meta = {"resourceVersion": str(version), "creationTimestamp": None}
        return {"type": "BOOKMARK", "object": {"apiVersion": api, "kind": kind, "metadata": meta}}


class Server(ThreadingHTTPServer):
    """The listening part."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", api.port), Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        connection, address = super().get_request()
        if self.api.context:
            connection.settimeout(10)
            connection = self.api.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._connections.add(connection)
        return connection, address

    def drop(self) -> None:
        """Break off all connections."""
        for connection in list(self._connections):
            self._connections.discard(connection)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: Any) -> None:
        """Say nothing: a connection that breaks off is what tests want."""


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """Answer one request."""
        api = self.server.api
        url = urlsplit(self.path)
        if url.path == "/version":
            self._answer(200, {"major": "1", "minor": "29", "gitVersion": "v1.29.0"})
            return
        query = dict(parse_qsl(url.query))
        verb = "watch" if query.get("watch") in {"1", "true"} else "list"
        resource, namespace = _place(url.path)
        asked = Asked(verb, resource, namespace, query, dict(self.headers))
        api.asked.append(asked)
        time.sleep(api.delay)
        refusal = self._refusal(asked)
        if refusal:
            self._answer(refusal["code"], refusal)
        elif verb == "list":
            self._answer(200, api.page(asked))
        else:
            self._watch(asked)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _refusal(self, asked: Asked) -> Object | None:
        api = self.server.api
        if api.broken:
            return status(503, "ServiceUnavailable", "etcdserver: leader changed")
        if api.tokens is not None and self.headers.get("Authorization", "") not in {
            f"Bearer {t}" for t in api.tokens
        }:
            return status(401, "Unauthorized", "Unauthorized")
        if asked.resource not in KINDS:
            return status(404, "NotFound", "the server could not find the requested resource")
        if (asked.verb, asked.resource, asked.namespace) in api.denied:
            group = "discovery.k8s.io" if asked.resource == "endpointslices" else ""
            scope = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
            said = f'cannot {asked.verb} resource "{asked.resource}" in API group "{group}" {scope}'
            who = 'User "system:serviceaccount:leakwatch:leakwatch"'
            return status(403, "Forbidden", f"{asked.resource} is forbidden: {who} {said}")
        return None

    def _watch(self, asked: Asked) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in self.server.api.events(asked):
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _answer(self, code: int, body: Object) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def status(code: int, reason: str, message: str) -> Object:
    """Return why something is refused."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


def token() -> str:
    """Return a new token."""
    return uuid.uuid4().hex


def _place(path: str) -> tuple[str, str]:
    """Return the resource and the namespace that a path means."""
    for root, resources in ROOTS.items():
        parts = path.removeprefix(f"{root}/").split("/")
        if path.startswith(f"{root}/") and parts[-1] in resources:
            return parts[-1], parts[1] if parts[0] == "namespaces" and len(parts) == 3 else ""
    return path, ""


def _key(thing: Object) -> str:
    return f"{thing['metadata'].get('namespace', '')}/{thing['metadata']['name']}"


def _fits(thing: Object, asked: Asked) -> bool:
    """Return whether an object is in the namespace and has the labels and fields that were asked for."""
    meta = thing["metadata"]
    selectors = ((meta.get("labels", {}), "labelSelector"), ({"spec.nodeName": _node(thing)}, "fieldSelector"))
    wanted = [
        (values.get(name) == value)
        for values, selector in selectors
        if asked.query.get(selector)
        for name, _, value in (one.partition("=") for one in asked.query[selector].split(","))
    ]
    return all(wanted) and asked.namespace in {"", meta.get("namespace", "")}


def _node(thing: Object) -> str:
    return str(thing.get("spec", {}).get("nodeName", ""))


@contextlib.contextmanager
def serving(**settings: Any) -> Iterator[ApiServer]:
    """Run an API server for a while."""
    server = ApiServer(**settings).start()
    try:
        yield server
    finally:
        server.stop()
