"""Order of the end-to-end tests."""

from collections.abc import Iterator

import pytest

from tests.support.alertmanagers import Receiver, receiving

LONGEST = (
    "test_detection",
    "test_image",
    "test_faults",
    "test_daemon",
    "test_wild",
    "test_fleet",
    "test_check",
    "test_browser_leak",
    "test_alertmanager",
    "test_evidence_survives",
    "test_closer_looks",
    "test_compose_up",
    "test_demo",
    "test_heavy",
    "test_kubernetes_pod",
    "test_owners",
    "test_browser",
    "test_dashboards",
    "test_ci_docs",
    "test_waits",
    "test_prometheus",
)
"""The modules that take longest, so that no worker begins one of them last."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest modules."""
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture
def webhook() -> Iterator[Receiver]:
    """Run the webhook that Alertmanager notifies."""
    with receiving() as receiver:
        yield receiver
