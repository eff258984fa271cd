"""Target groups, and the protocols of discoverers. The module of a mechanism has its settings and its discoverer.

A new mechanism needs a `BaseSettings` subclass with the method of `DiscovererConfig`, a class with the method of
`Discoverer`, and a key in runner.py.
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Protocol

from pydantic import AfterValidator, BeforeValidator, Field, field_serializer

from leakwatch.clock import Clock
from leakwatch.discovery.status import DiscoveryStatus
from leakwatch.settings.base import BaseSettings

HOST = re.compile(r"(?:[^\s:/@\[\]]+|\[[0-9a-fA-F:.%]+\])(?::(\d{1,5}))?")
"""A host name or address with an optional port, which is the group of a match."""

USER = re.compile(r"(?<![^/@\s])[^/@\s]*@")
"""User and password before a host."""

Update = Callable[[Sequence["TargetGroup"]], None]
"""Receives all target groups of a discoverer."""


class Discoverer(Protocol):
    """Finds targets by one mechanism."""

    async def run(self, update: Update) -> None:
        """Call `update` with all target groups at first and after each change, until cancelled."""


class DiscovererConfig(Protocol):
    """Settings of one discoverer, an entry of `..._sd_configs`."""

    def discoverer(self, status: DiscoveryStatus, clock: Clock, /) -> Discoverer:
        """Return a discoverer that reports to `status` and waits by `clock`."""


def check_address(text: str) -> str:
    """Return `text` if it is host:port or the path of a unix socket; raises ValueError."""
    if "://" in text and not text.startswith("unix://"):
        raise ValueError(f"{text!r} must be host:port, with the scheme in `scheme` (or unix:///path)")
    if "/" in text.removeprefix("unix://") and not text.startswith("unix:///"):
        raise ValueError(f"{text!r} must be host:port, with the path in `profile_path` (or `path_prefix`)")
    if not text.startswith("unix:///"):
        match = HOST.fullmatch(text)
        if match is None or not match[1] or int(match[1]) > 65535:
            raise ValueError(f"{text!r} must be host:port, for example 127.0.0.1:6060")
    return text


def _label_name(name: str) -> str:
    if not name.replace("_", "a").isalnum() or not name.isascii() or name[:1].isdigit():
        raise ValueError(f"{name!r} is not a label name")
    return name


def _null_is_empty_list(value: object) -> object:
    return () if value is None else value


def _null_is_empty_mapping(value: object) -> object:
    return {} if value is None else value


Unicode = Annotated[str, Field(min_length=0)]
"""Text without lone surrogates, which JSON and YAML permit: pydantic rejects them where it checks a length."""
Address = Annotated[str, AfterValidator(check_address)]
LabelName = Annotated[str, AfterValidator(_label_name)]


class TargetGroup(BaseSettings):
    """Addresses with common labels, in Prometheus's format for static and file configurations.

    An address can be any text, because relabel rules may turn it into host:port. `null`, which Go programs write
    for an empty list, is an empty list.
    """

    targets: Annotated[tuple[Unicode, ...], BeforeValidator(_null_is_empty_list)]
    """host:port, or `unix:///path` of a socket; any text if relabel rules turn it into an address."""
    labels: Annotated[dict[LabelName, Unicode], BeforeValidator(_null_is_empty_mapping)] = Field(
        default_factory=dict
    )
    """Labels of all targets. `service` names the service; names that begin with `__` are for relabel rules."""

    @field_serializer("targets", when_used="json")
    def _without_users(self, targets: tuple[str, ...]) -> list[str]:
        return [USER.sub("", target) for target in targets]  # a rule may still remove a user from the address


class CompleteGroup(TargetGroup):
    """A group for a job without relabel rules: each address must be host:port or a unix socket."""

    targets: Annotated[tuple[Address, ...], BeforeValidator(_null_is_empty_list)]
