"""Settings of the detection, as the pipeline uses them. config.py has the keys of the configuration file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from leakwatch.causes.catalogue import Catalogue
from leakwatch.leaks.ignore import IgnoreRule
from leakwatch.leaks.ownership.go_modules import Repository
from leakwatch.leaks.ownership.source_links import Links
from leakwatch.leaks.wording import RateUnit
from leakwatch.profile.redact import Redaction


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionSettings:
    """Settings of judging and reporting.

    `block`: seconds; `own_code`: prefixes of functions; `owners`: package, type or function -> team;
    `series_limit`: stacks per target that are judged one by one; `ignore`: rules; `repositories`: owners of the
    code that `owners` does not cover; `links`: source links; `causes`: the catalogue of likely causes;
    `redaction`: of the labels that leaks show; `page_within`: seconds, as in `is_page`;
    `target_labels`: names of the labels of targets that metrics and alerts have; `rate_unit`: of the rates in
    reasons.
    """

    block: float = 300.0
    own_code: tuple[str, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict)
    series_limit: int = 1000
    ignore: tuple[IgnoreRule, ...] = ()
    repositories: tuple[Repository, ...] = ()
    links: Links = field(default_factory=Links)
    causes: Catalogue = field(default_factory=Catalogue)
    redaction: Redaction = field(default_factory=Redaction)
    page_within: float = 7 * 86_400.0
    target_labels: tuple[str, ...] = ()
    rate_unit: RateUnit = "h"
