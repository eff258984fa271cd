"""A Kubernetes API server that lists and watches objects: versions, pages, bookmarks, 410, RBAC and tokens.

Prometheus can use it (tests/kubernetes/record.py). A test can also make it fail in ways that are rare in reality.
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
    """A change of an object."""

    version: int
    type: str
    resource: str
    object: Object


@dataclass
class ApiRequest:
    """A request that the server received."""

    verb: str
    resource: str
    namespace: str
    query: dict[str, str]
    headers: dict[str, str]
    client_name: str = ""
    """Email address or host name in the client certificate; "" without a certificate."""


def pod(name: str, ip: str = "10.0.0.1", namespace: str = "shop", **more: Any) -> Object:
    """Return a running pod with a port called pprof; `more` overrides labels, phase, containers and so on."""
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
                    "name": container["name"],
                    "containerID": f"containerd://{name}-{container['name']}",
                    "image": "",
                    "imageID": "",
                }
                for container in containers
            ],
        },
    }


def plain(kind: str, name: str, namespace: str = "shop", **meta: Any) -> Object:
    """Return a service or a node."""
    scope = {} if kind == "nodes" else {"namespace": namespace}
    return {"metadata": {"name": name, **scope, **meta}}


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
    """Serves objects on loopback; `port` 0 means any port. A test can change every attribute while it runs."""

    context: ssl.SSLContext | None = None
    tokens: set[str] | None = None
    """Accepted tokens; None accepts requests without a token."""
    denied: set[tuple[str, str, str]] = field(default_factory=set)
    """(verb, resource, namespace) that RBAC does not allow."""
    bookmark: float = 0.2
    """Seconds between two bookmarks."""
    broken: bool = False
    """Whether each response is HTTP 503."""
    silent: bool = False
    """Whether watches are silent, as if the machine were gone: no event, no bookmark, no end."""
    port: int = 0
    requests: list[ApiRequest] = field(default_factory=list)
    bookmarks: list[tuple[str, int]] = field(default_factory=list)
    """Resource and version of each bookmark that was sent."""
    silent_watches: int = 0
    """Number of watches that have become silent."""

    def __post_init__(self) -> None:
        """Create the internal state."""
        self._objects: dict[str, dict[str, Object]] = {resource: {} for resource in KINDS}
        self._changes: list[Change] = []
        self._version = 1
        self._oldest = 1
        self._condition = threading.Condition()
        self._server: Server | None = None
        self._dropped = threading.Event()
        self._responds = threading.Event()
        self._responds.set()

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Serve, on the same port as before if the server ran before."""
        self._server = Server(self)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop serving, and close all connections."""
        self.resume()
        if self._server:
            self._server.shutdown()
            self.drop_connections()
            self._server.server_close()
            self._server = None

    def drop_connections(self) -> None:
        """Close all connections."""
        self._dropped.set()
        if self._server:
            self._server.drop_connections()

    def stall(self) -> None:
        """Accept requests, but hold all responses until `resume`."""
        self._responds.clear()

    def resume(self) -> None:
        """Send the responses that `stall` held."""
        self._responds.set()

    def client_names(self) -> set[str]:
        """Return the names in the client certificates of all requests."""
        return {request.client_name for request in self.requests}

    def wait_for_response(self) -> None:
        """Return when the server may respond."""
        self._responds.wait()

    def apply(self, resource: str, thing: Object) -> None:
        """Create or replace an object."""
        api, kind = KINDS[resource]
        thing = {"apiVersion": api, "kind": kind, **copy.deepcopy(thing)}
        with self._condition:
            before = self._objects[resource].get(_key(thing))
            self._version += 1
            thing["metadata"]["resourceVersion"] = str(self._version)
            self._objects[resource][_key(thing)] = thing
            self._record("MODIFIED" if before else "ADDED", resource, thing)

    def delete(self, resource: str, name: str, namespace: str = "shop") -> None:
        """Delete an object."""
        with self._condition:
            thing = copy.deepcopy(self._objects[resource].pop(f"{namespace}/{name}"))
            self._version += 1
            thing["metadata"]["resourceVersion"] = str(self._version)
            self._record("DELETED", resource, thing)

    def expire_versions(self) -> None:
        """Discard all changes, so that older versions give 410, and close all connections."""
        with self._condition:
            self._version += 1
            self._oldest = self._version
            self._changes.clear()
        self.drop_connections()

    def watches(self, resource: str) -> list[ApiRequest]:
        """Return the watch requests for a resource."""
        return [request for request in self.requests if (request.verb, request.resource) == ("watch", resource)]

    def lists(self, resource: str) -> list[ApiRequest]:
        """Return the list requests for a resource, one per page."""
        return [request for request in self.requests if (request.verb, request.resource) == ("list", resource)]

    def _record(self, kind: str, resource: str, thing: Object) -> None:
        self._changes.append(Change(self._version, kind, resource, thing))
        self._condition.notify_all()

    def page(self, request: ApiRequest) -> Object:
        """Return a page of a list."""
        with self._condition:
            items = [
                item for _, item in sorted(self._objects[request.resource].items()) if _matches(item, request)
            ]
            start = int(request.query.get("continue", "0"))
            end = start + int(request.query.get("limit", 0) or len(items) or 1)
            rest = {"continue": str(end)} if end < len(items) else {}
            api, kind = KINDS[request.resource]
            meta = {"resourceVersion": str(self._version), **rest}
            return {"apiVersion": api, "kind": f"{kind}List", "metadata": meta, "items": items[start:end]}

    def events(self, request: ApiRequest) -> Iterator[Object]:
        """Yield the changes since the version of a request, and further changes when they happen."""
        since = int(request.query["resourceVersion"])
        end = time.monotonic() + float(request.query.get("timeoutSeconds", 3600))
        sends_bookmarks = request.query.get("allowWatchBookmarks") == "true"
        while time.monotonic() < end:
            with self._condition:
                if since < self._oldest:
                    yield {"type": "ERROR", "object": status(410, "Expired", "too old resource version")}
                    return
                changes = self._since(since, request)
                if not changes:
                    self._condition.wait(min(self.bookmark, max(0.0, end - time.monotonic())))
                    changes = self._since(since, request)
                since = self._version
            if self.silent:
                self.silent_watches += 1
                self._dropped.wait()
                return
            yield from ({"type": change.type, "object": change.object} for change in changes)
            if sends_bookmarks and not changes:
                yield self._bookmark(request, since)
                self.bookmarks.append((request.resource, since))

    def _since(self, version: int, request: ApiRequest) -> list[Change]:
        return [
            change
            for change in self._changes
            if change.version > version
            and change.resource == request.resource
            and _matches(change.object, request)
        ]

    def _bookmark(self, request: ApiRequest, version: int) -> Object:
        api, kind = KINDS[request.resource]
        meta = {"resourceVersion": str(version), "creationTimestamp": None}
        return {"type": "BOOKMARK", "object": {"apiVersion": api, "kind": kind, "metadata": meta}}


class Server(ThreadingHTTPServer):
    """The listening socket and its connections."""

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

    def drop_connections(self) -> None:
        """Close all connections."""
        for connection in list(self._connections):
            self._connections.discard(connection)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: Any) -> None:
        """Log nothing: tests close connections on purpose."""


class Handler(BaseHTTPRequestHandler):
    """Responds on one connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """Respond to one request."""
        api = self.server.api
        url = urlsplit(self.path)
        if url.path == "/version":
            self._respond(200, {"major": "1", "minor": "29", "gitVersion": "v1.29.0"})
            return
        query = dict(parse_qsl(url.query))
        verb = "watch" if query.get("watch") in {"1", "true"} else "list"
        resource, namespace = _resource(url.path)
        request = ApiRequest(verb, resource, namespace, query, dict(self.headers), _client_name(self.connection))
        api.requests.append(request)
        api.wait_for_response()
        refusal = self._refusal(request)
        if refusal:
            self._respond(refusal["code"], refusal)
        elif verb == "list":
            self._respond(200, api.page(request))
        else:
            self._watch(request)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def _refusal(self, request: ApiRequest) -> Object | None:
        api = self.server.api
        if api.broken:
            return status(503, "ServiceUnavailable", "etcdserver: leader changed")
        if api.tokens is not None and self.headers.get("Authorization", "") not in {
            f"Bearer {t}" for t in api.tokens
        }:
            return status(401, "Unauthorized", "Unauthorized")
        if request.resource not in KINDS:
            return status(404, "NotFound", "the server could not find the requested resource")
        if (request.verb, request.resource, request.namespace) in api.denied:
            group = "discovery.k8s.io" if request.resource == "endpointslices" else ""
            scope = f'in the namespace "{request.namespace}"' if request.namespace else "at the cluster scope"
            action = f'cannot {request.verb} resource "{request.resource}" in API group "{group}" {scope}'
            user = 'User "system:serviceaccount:leakwatch:leakwatch"'
            return status(403, "Forbidden", f"{request.resource} is forbidden: {user} {action}")
        return None

    def _watch(self, request: ApiRequest) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in self.server.api.events(request):
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _respond(self, code: int, body: Object) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def status(code: int, reason: str, message: str) -> Object:
    """Return the body of an error response."""
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


def _resource(path: str) -> tuple[str, str]:
    """Return the resource and the namespace of a path."""
    for root, resources in ROOTS.items():
        parts = path.removeprefix(f"{root}/").split("/")
        if path.startswith(f"{root}/") and parts[-1] in resources:
            return parts[-1], parts[1] if parts[0] == "namespaces" and len(parts) == 3 else ""
    return path, ""


def _client_name(connection: socket.socket) -> str:
    certificate = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
    names: Any = certificate.get("subjectAltName", ()) if certificate else ()
    return next((str(name) for _, name in names), "")


def _key(thing: Object) -> str:
    return f"{thing['metadata'].get('namespace', '')}/{thing['metadata']['name']}"


def _matches(thing: Object, request: ApiRequest) -> bool:
    """Return whether an object has the namespace, labels and fields of a request."""
    meta = thing["metadata"]
    selectors = ((meta.get("labels", {}), "labelSelector"), ({"spec.nodeName": _node(thing)}, "fieldSelector"))
    matches = [
        (values.get(name) == value)
        for values, selector in selectors
        if request.query.get(selector)
        for name, _, value in (term.partition("=") for term in request.query[selector].split(","))
    ]
    return all(matches) and request.namespace in {"", meta.get("namespace", "")}


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
