"""Order of the end-to-end tests."""

from collections.abc import Iterator

import pytest

from tests.support.alertmanagers import Receiver, receiving

LONGEST = (
    "test_faults",
    "test_browser_leak",
    "test_daemon",
    "test_image",
    "test_restart",
    "test_demo",
    "test_manifests",
    "test_wild",
    "test_evidence_survives",
    "test_kill",
    "test_check",
    "test_detection",
    "test_prometheus",
    "test_ci_docs",
    "test_browser",
    "test_alertmanager",
    "test_heavy",
    "test_kubernetes_pod",
    "test_compose_up",
    "test_waits",
    "test_owners",
    "test_fleet",
    "test_dashboards",
    "test_web",
    "test_closer_looks",
)
"""The modules that take longest, so that no worker begins one of them last.

Those that take most CPU, test_wild and test_faults, do not begin together.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest modules."""
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture
def webhook() -> Iterator[Receiver]:
    """Run the webhook that Alertmanager notifies."""
    with receiving() as receiver:
        yield receiver
