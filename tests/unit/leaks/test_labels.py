"""Labels of leaks and targets."""

import pytest

from leakwatch.leaks.labels import agreed_labels, labels_of_target, leak_labels, shown
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Target
from leakwatch.pipeline import Pipeline
from tests.support.leaking import leak
from tests.support.simulated import HOUR, INTERVAL, START, samples


def target(number: int, **labels: str) -> Target:
    """Return a target of the service shop."""
    return Target("shop", f"10.0.0.{number}:6060", labels)


def test_labels_of_a_target() -> None:
    """A missing label is empty, and a long one is cut."""
    labels = labels_of_target(target(1, namespace="n" * 300, other="x"), ("namespace", "team"))
    assert labels == {"namespace": shown("n" * 300), "team": ""}


def test_agreed_labels() -> None:
    """Only a value that all targets have counts; a missing label differs from a value."""
    targets = [target(1, namespace="a", team="x", zone="1"), target(2, namespace="a", team="y")]
    assert agreed_labels(targets, ("namespace", "team", "zone")) == {"namespace": "a", "team": "", "zone": ""}
    assert agreed_labels([], ("namespace",)) == {"namespace": ""}


@pytest.mark.parametrize(
    ("labels", "owners", "owner"),
    [
        ([{"owner": "a"}, {"owner": "a"}], {}, "a"),
        ([{"owner": "a"}, {"owner": "b"}], {}, ""),
        ([{"owner": "a"}, {}], {}, ""),
        ([{"owner": "a"}, {"owner": "a"}], {"": "rest"}, "a"),
        ([{}, {}], {"": "rest"}, "rest"),
        ([{"owner": "a"}, {"owner": "a"}], {"main": "code"}, "code"),
    ],
)
def test_the_owner_by_the_label_of_the_targets(
    labels: list[dict[str, str]], owners: dict[str, str], owner: str
) -> None:
    """The label `owner` that all targets have counts if no key of `owners` matches, before the key ""."""
    pipeline = Pipeline(DetectionSettings(owners=owners, target_labels=("team",)))
    targets = [target(number, team="x", **more) for number, more in enumerate(labels)]
    for i in range(int(2 * HOUR / INTERVAL)):
        for each in targets:
            time = START + i * INTERVAL
            pipeline.observe(pipeline.add_target(each), time, 9, samples({"leak": i // 4, "idle": 7}))
    (found,) = pipeline.open_leaks()
    assert (found.owner, found.target_labels) == (owner, {"team": "x"})


def test_labels_of_a_leak() -> None:
    """Target labels follow the labels that identify a leak."""
    assert leak_labels(leak(target_labels={"team": "x" * 300}))["team"] == shown("x" * 300)
