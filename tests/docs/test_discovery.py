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
    monkeypatch.setenv("INVENTORY_TOKEN", "x")
    assert parse(SNIPPETS[number], "discovery.md", PAGE.parent).scrape_configs


def test_the_example_of_rules() -> None:
    """The rules name services by DNS names, keep a quarter of them, and lengthen one interval."""
    (job,) = parse(SNIPPETS[-1], "discovery.md", PAGE.parent).scrape_configs
    defaults = TargetDefaults(
        job=job.job_name, scheme=job.scheme, path=job.profile_path, rules=job.relabel_configs
    )
    names = [f"{name}.example.com" for name in ("shop", "cart", *map(str, range(100)))]
    groups = [TargetGroup(targets=(f"{name}:1",), labels={"__meta_dns_name": name}) for name in names]
    endpoints = asyncio.run(TargetBuilder(defaults).build(groups)).endpoints
    assert 15 < len(endpoints) < 40
    assert all(f"{e.target.service}.example.com:1" == e.target.name for e in endpoints)
    intervals = {e.target.service: e.interval for e in endpoints}
    assert intervals.get("cart", 30.0) == 30.0
    assert set(intervals.values()) <= {15.0, 30.0}
