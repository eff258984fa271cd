"""Target groups and discoverers. One file per discovery mechanism, each with its settings.

A new mechanism needs a `BaseSettings` subclass with `async def run(self, update: Update) -> None`, and a key in
runner.py. `run` calls `update` with all target groups whenever they change.
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Protocol

from pydantic import AfterValidator, BeforeValidator, Field, field_serializer

from leakwatch.settings.base import BaseSettings

HOST = re.compile(r"(?:[^\s:/@\[\]]+|\[[0-9a-fA-F:.%]+\])(?::(\d{1,5}))?")

USER = re.compile(r"[^/@\s]*@")
"""User and password before a host."""

Update = Callable[[Sequence["TargetGroup"]], None]


class Discoverer(Protocol):
    """What the daemon asks of each mechanism."""

    async def run(self, update: Update) -> None:
        """Call `update` with all groups at first and whenever they change; until cancelled."""


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


def _label(name: str) -> str:
    if not name.replace("_", "a").isalnum() or not name.isascii() or name[:1].isdigit():
        raise ValueError(f"{name!r} is no label name")
    return name


def _none(value: object) -> object:
    return () if value is None else value


def _nothing(value: object) -> object:
    return {} if value is None else value


Unicode = Annotated[str, Field(min_length=0)]
"""Text that has no half of a letter in it, as JSON and YAML may: a length is only told of whole ones."""
Address = Annotated[str, AfterValidator(check_address)]
LabelName = Annotated[str, AfterValidator(_label)]


class TargetGroup(BaseSettings):
    """Addresses with common labels, as Prometheus writes them in static and file configurations.

    An address is any text here: the rules of a job may make host:port of it. `null`, which Go programs write for
    an empty list, is one.
    """

    targets: Annotated[tuple[Unicode, ...], BeforeValidator(_none)]
    """host:port, or `unix:///path` of a socket; rules may mend what is neither."""
    labels: Annotated[dict[LabelName, Unicode], BeforeValidator(_nothing)] = Field(default_factory=dict)
    """Of each of them; `service` names the service, others with `__` at the beginning are for rules."""

    @field_serializer("targets", when_used="json")
    def _show(self, targets: tuple[str, ...]) -> list[str]:
        return [USER.sub("", target) for target in targets]  # rules may make an address of what is none yet


class CompleteGroup(TargetGroup):
    """A group whose addresses are scraped as they stand."""

    targets: Annotated[tuple[Address, ...], BeforeValidator(_none)]
