"""Discovery: where the targets are. One file per mechanism, each with its settings.

To add one: a file with a `Settings` subclass that has `async def run(self, update: Update) -> None`, and its key
in finder.py. `update` is called with all groups of the mechanism whenever they change.
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Protocol

from pydantic import AfterValidator, Field

from leakwatch.client import Settings

HOST = re.compile(r"(?:[^\s:/@\[\]]+|\[[0-9a-fA-F:.%]+\])(?::(\d{1,5}))?")

Update = Callable[[Sequence["TargetGroup"]], None]


class Mechanism(Protocol):
    """What the daemon asks of each mechanism."""

    async def run(self, update: Update) -> None:
        """Call `update` with all groups at first and whenever they change; until cancelled."""


def _address(text: str) -> str:
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


Address = Annotated[str, AfterValidator(_address)]
LabelName = Annotated[str, AfterValidator(_label)]


class TargetGroup(Settings):
    """Addresses with common labels, as Prometheus writes them in static and file configurations."""

    targets: tuple[Address, ...]
    labels: dict[LabelName, str] = Field(default_factory=dict)
