"""What is watched for a role, joined to target groups, and told no more often than need be."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leakwatch.discovery.kubernetes import meta_labels as labels
from leakwatch.discovery.kubernetes import objects
from leakwatch.discovery.kubernetes.api_client import ApiClient, Resource
from leakwatch.discovery.kubernetes.kubeconfig import Access
from leakwatch.discovery.kubernetes.meta_labels import World
from leakwatch.discovery.kubernetes.reflector import ObjectSource, Reflector, Timing, Troubles
from leakwatch.discovery.target_group import TargetGroup, Update

__all__ = ["Cluster", "Timing", "WatchRequest"]

PODS = ObjectSource(Resource("pods"), objects.KubernetesPod, objects.Page[objects.KubernetesPod], labels.pod)
SERVICES = ObjectSource(
    Resource("services"), objects.KubernetesService, objects.Page[objects.KubernetesService], labels.service
)
SLICES = ObjectSource(
    Resource("endpointslices", "discovery.k8s.io"),
    objects.EndpointSlice,
    objects.Page[objects.EndpointSlice],
    lambda one: one,
)
NODES = ObjectSource(Resource("nodes", in_namespaces=False), objects.Node, objects.Page[objects.Node], labels.node)

Groups = Callable[[World], Iterator[TargetGroup]]


@dataclass(frozen=True, slots=True)
class Role:
    """What is watched, by its name in World, and what makes targets of it."""

    sources: Mapping[str, ObjectSource[Any, Any]]
    groups: Groups


ROLES = {
    "pod": Role({"pods": PODS}, labels.pod_groups),
    "endpointslice": Role({"slices": SLICES, "pods": PODS, "services": SERVICES}, labels.slice_groups),
}
SELECTED = {"pods": "pod", "slices": "endpointslice", "services": "service", "nodes": "node"}
"""What `selectors` call that which is watched."""


@dataclass(frozen=True, slots=True)
class View:
    """What is watched for one namespace, by its name in World."""

    watches: Mapping[str, Reflector[Any, Any]]

    def settled(self) -> bool:
        """Return whether each watch has listed once, or failed."""
        return all(watch.listed or watch.failed for watch in self.watches.values())

    def known(self) -> bool:
        """Return whether all is known: half of a target's labels would make another target of it."""
        return all(watch.listed for watch in self.watches.values())

    def world(self) -> World:
        """Return what is known."""
        return World(**{name: watch.kept for name, watch in self.watches.items()})


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """What is to be found; `namespaces`: "" is all of them; `selectors`: parameters of requests, by role."""

    role: str
    namespaces: Sequence[str]
    selectors: Mapping[str, dict[str, str]]
    nodes: bool


class Cluster:
    """Watches what a role needs."""

    def __init__(self, access: Access, wanted: WatchRequest, timing: Timing) -> None:
        self._access = access
        self._wanted = wanted
        self._timing = timing
        self._role = ROLES[wanted.role]
        self._changed = asyncio.Event()
        self._troubles = Troubles()
        common = {"nodes": self._watch("nodes", NODES, "")} if wanted.nodes else {}
        self._views = [View(common | self._of_namespace(namespace)) for namespace in wanted.namespaces]

    async def run(self, update: Update) -> None:
        """Tell all groups when they are known, and when they change; never ends."""
        told: list[TargetGroup] | None = None
        async with asyncio.TaskGroup() as tasks:
            for watch in {watch for view in self._views for watch in view.watches.values()}:
                tasks.create_task(watch.run())
            while True:
                await self._changed.wait()
                self._changed.clear()
                groups = self._groups()
                if groups is not None and groups != told:
                    told = groups
                    update(groups)
                    await asyncio.sleep(self._timing.debounce)  # a roll-out of 1,000 pods is not 1,000 updates

    def _groups(self) -> list[TargetGroup] | None:
        """Return the groups of the namespaces that are known; None if it is too early to tell."""
        known = [view for view in self._views if view.known()]
        if not known or not all(view.settled() for view in self._views):
            return None
        return [group for view in known for group in self._role.groups(view.world())]

    def _of_namespace(self, namespace: str) -> dict[str, Reflector[Any, Any]]:
        return {name: self._watch(name, source, namespace) for name, source in self._role.sources.items()}

    def _watch(self, name: str, source: ObjectSource[Any, Any], namespace: str) -> Reflector[Any, Any]:
        api = ApiClient(self._access, source.resource, namespace, answer=self._timing.answer)
        selector = self._wanted.selectors.get(SELECTED[name], {})
        return Reflector(source, api, selector, self._timing, self._troubles, self._changed.set)
