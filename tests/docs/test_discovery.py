"""The configurations in docs/discovery.md are valid, and have the effect that the page describes."""

import asyncio
import re
from pathlib import Path

import pytest

from leakwatch.config import parse
from leakwatch.discovery.target_builder import TargetBuilder, TargetDefaults
from leakwatch.discovery.target_group import TargetGroup

PAGE = Path(__file__).parents[2] / "docs" / "discovery.md"
SNIPPETS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippets_load(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each snippet is a complete configuration."""
    for variable in ("INVENTORY_TOKEN", "PPROF_AUTH_KEY"):
        monkeypatch.setenv(variable, "x")
    assert parse(SNIPPETS[number], "discovery.md", PAGE.parent).scrape_configs


def test_the_relabel_rules_of_the_example() -> None:
    """The rules derive the service from the DNS name, keep a quarter of the services, and set one interval."""
    (job,) = parse(SNIPPETS[-1], "discovery.md", PAGE.parent).scrape_configs
    defaults = TargetDefaults(
        job=job.job_name, scheme=job.scheme, path=job.profile_path, rules=job.relabel_configs
    )
    names = [f"{name}.example.com" for name in ("shop", "cart", *map(str, range(100)))]
    groups = [TargetGroup(targets=(f"{name}:1",), labels={"__meta_dns_name": name}) for name in names]
    endpoints = asyncio.run(TargetBuilder(defaults).build(groups)).endpoints
    assert 15 < len(endpoints) < 40
    assert all(f"{endpoint.target.service}.example.com:1" == endpoint.target.name for endpoint in endpoints)
    intervals = {endpoint.target.service: endpoint.interval for endpoint in endpoints}
    assert intervals.get("cart", 30.0) == 30.0
    assert set(intervals.values()) <= {15.0, 30.0}
