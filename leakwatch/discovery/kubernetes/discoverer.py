"""Kubernetes discoverer: runs the reflectors that a role needs, and builds target groups from their stores."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leakwatch.clock import Clock
from leakwatch.discovery.kubernetes import meta_labels, objects
from leakwatch.discovery.kubernetes.api_client import ApiClient, Resource
from leakwatch.discovery.kubernetes.credential_cache import CredentialCache
from leakwatch.discovery.kubernetes.kubeconfig import ApiAccess
from leakwatch.discovery.kubernetes.meta_labels import ObjectStores
from leakwatch.discovery.kubernetes.reflector import (
    API_SERVER,
    ObjectSource,
    Reflector,
    ReflectorFailures,
    WatchTiming,
)
from leakwatch.discovery.status import DiscoveryStatus
from leakwatch.discovery.target_group import TargetGroup, Update
from leakwatch.errors import ConfigError

PODS = ObjectSource(
    resource=Resource(name="pods"),
    object_type=objects.KubernetesPod,
    page_type=objects.ListPage[objects.KubernetesPod],
    stored=meta_labels.stored_pod,
)
SERVICES = ObjectSource(
    resource=Resource(name="services"),
    object_type=objects.KubernetesService,
    page_type=objects.ListPage[objects.KubernetesService],
    stored=meta_labels.service_labels,
)
SLICES = ObjectSource(
    resource=Resource(name="endpointslices", group="discovery.k8s.io"),
    object_type=objects.EndpointSlice,
    page_type=objects.ListPage[objects.EndpointSlice],
    stored=lambda endpoint_slice: endpoint_slice,
)
NODES = ObjectSource(
    resource=Resource(name="nodes", is_namespaced=False),
    object_type=objects.KubernetesNode,
    page_type=objects.ListPage[objects.KubernetesNode],
    stored=meta_labels.node_labels,
)


@dataclass(frozen=True, slots=True)
class TargetRole:
    """A role of `kubernetes_sd_configs`: its sources by their name in ObjectStores, and its target groups."""

    sources: Mapping[str, ObjectSource[Any, Any]]
    groups: Callable[[ObjectStores], Iterator[TargetGroup]]


ROLES = {
    "pod": TargetRole({"pods": PODS}, meta_labels.pod_groups),
    "endpointslice": TargetRole({"slices": SLICES, "pods": PODS, "services": SERVICES}, meta_labels.slice_groups),
}
SELECTOR_ROLES = {"pods": "pod", "slices": "endpointslice", "services": "service", "nodes": "node"}
"""The role in `selectors` of each name in ObjectStores."""


@dataclass(frozen=True, slots=True)
class NamespaceReflectors:
    """The reflectors of one namespace, by their name in ObjectStores."""

    reflectors: Mapping[str, Reflector[Any, Any]]

    def is_settled(self) -> bool:
        """Return whether each reflector has listed its objects or has failed."""
        return all(reflector.is_listed or reflector.is_failing for reflector in self.reflectors.values())

    def is_listed(self) -> bool:
        """Return whether all objects are listed. Before that, a target would lack labels and be another target."""
        return all(reflector.is_listed for reflector in self.reflectors.values())

    def stores(self) -> ObjectStores:
        """Return the stores of all reflectors."""
        return ObjectStores(**{name: reflector.store for name, reflector in self.reflectors.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """The objects that a discoverer watches."""

    role: str
    namespaces: Sequence[str]
    """Names; none means all namespaces, unless `own_namespace` is true."""
    own_namespace: bool
    """Whether to watch the namespace of leakwatch's own pod."""
    selectors: Mapping[str, dict[str, str]]
    """Request parameters by selector role."""
    nodes: bool
    """Whether to watch nodes."""


class KubernetesDiscoverer:
    """Watches the objects of a request. `find_access` returns the access, or raises ConfigError."""

    def __init__(
        self,
        find_access: Callable[[], ApiAccess],
        request: WatchRequest,
        status: DiscoveryStatus,
        clock: Clock,
        timing: WatchTiming,
    ) -> None:
        self._find_access = find_access
        self._request = request
        self._role = ROLES[request.role]
        self._status = status
        self._clock = clock
        self._timing = timing
        self._failures = ReflectorFailures(status)
        self._changed = asyncio.Event()

    async def run(self, update: Update) -> None:
        """Call `update` with all target groups when they are complete and after each change; never ends."""
        namespaces = self._namespace_reflectors(await self._wait_for_access())
        last_groups: list[TargetGroup] | None = None
        async with asyncio.TaskGroup() as tasks:
            for reflector in {item for namespace in namespaces for item in namespace.reflectors.values()}:
                tasks.create_task(reflector.run())
            while True:
                await self._changed.wait()
                self._changed.clear()
                groups = self._groups(namespaces)
                if groups is not None and groups != last_groups:
                    last_groups = groups
                    update(groups)
                    # A rollout of 1,000 pods must not cause 1,000 updates.
                    await self._clock.sleep(self._timing.debounce)

    async def _wait_for_access(self) -> ApiAccess:
        while True:
            try:
                return self._find_access()
            except ConfigError as error:
                self._status.failed(API_SERVER, str(error), targets=0)
            await self._clock.sleep(self._timing.max_backoff)

    def _groups(self, namespaces: Sequence[NamespaceReflectors]) -> list[TargetGroup] | None:
        """Return the groups of all listed namespaces; None if there are none, or a reflector is still listing."""
        listed = [namespace for namespace in namespaces if namespace.is_listed()]
        if not listed or not all(namespace.is_settled() for namespace in namespaces):
            return None
        return [group for namespace in listed for group in self._role.groups(namespace.stores())]

    def _namespace_reflectors(self, access: ApiAccess) -> list[NamespaceReflectors]:
        credentials = CredentialCache(access.plugin, self._wall_time) if access.plugin else None

        def reflector(name: str, source: ObjectSource[Any, Any], namespace: str) -> Reflector[Any, Any]:
            return Reflector(
                source=source,
                client=ApiClient(
                    access,
                    source.resource,
                    namespace,
                    timeout=self._timing.response_timeout,
                    credentials=credentials,
                ),
                selector=self._request.selectors.get(SELECTOR_ROLES[name], {}),
                timing=self._timing,
                clock=self._clock,
                failures=self._failures,
                changed=self._changed.set,
            )

        own = (access.namespace,) if self._request.own_namespace else ()
        names = tuple(dict.fromkeys((*self._request.namespaces, *own))) or ("",)
        nodes = {"nodes": reflector("nodes", NODES, "")} if self._request.nodes else {}
        return [
            NamespaceReflectors(
                nodes | {name: reflector(name, source, namespace) for name, source in self._role.sources.items()}
            )
            for namespace in names
        ]

    def _wall_time(self) -> float:
        """Return the wall clock time, by which credentials expire."""
        return self._clock.wall(self._clock.time())
