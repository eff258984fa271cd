"""Settings of the detection."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from leakwatch.leaks.ignore import IgnoreRule
from leakwatch.leaks.ownership.go_modules import Repository
from leakwatch.leaks.ownership.source_links import Links


@dataclass(frozen=True, slots=True)
class DetectionSettings:
    """How to judge.

    `block`: seconds; `own_code`: prefixes; `owners`: package, type or function -> team; `series_limit`: kept per
    target; `ignore`: what is kept out of sight; `repositories`: whose that is which `owners` does not name;
    `links`: where sources are shown.
    """

    block: float = 300.0
    own_code: tuple[str, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict)
    series_limit: int = 1000
    ignore: tuple[IgnoreRule, ...] = ()
    repositories: tuple[Repository, ...] = ()
    links: Links = field(default_factory=Links)
