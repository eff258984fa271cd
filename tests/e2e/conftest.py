"""Order of the end-to-end tests, and their distribution to the workers of pytest-xdist."""

from collections.abc import Generator

import pytest

LONGEST = (
    "test_image",
    "test_wild",
    "test_check",
    "test_fleet",
    "test_closer_looks",
    "test_compose_up",
    "test_heavy",
    "test_kubernetes_pod",
    "test_browser_leak",
    "test_dashboards",
    "test_demo",
    "test_browser",
    "test_alertmanager",
    "test_prometheus",
)
"""The modules that take longest, so that no worker begins one of them last."""


@pytest.hookimpl(wrapper=True)  # a wrapper runs before xdist, which reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, object, object]:
    """Begin with the longest modules, and keep the tests that share a fixture on one worker."""
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
    for item in items:
        if isinstance(item, pytest.Function) and shares_fixture(item):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    return (yield)


def shares_fixture(item: pytest.Function) -> bool:
    """Return whether a test uses a fixture of its module, which each worker would set up."""
    definitions = item._fixtureinfo.name2fixturedefs.values()
    return any(fixtures[-1].scope == "module" for fixtures in definitions)
