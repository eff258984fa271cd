"""Rollouts in virtual time: whether a stack grows only on the targets of the new build."""

from collections.abc import Callable, Mapping

from leakwatch.leaks.model import Leak
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Process, Target
from leakwatch.pipeline import Pipeline
from tests.support.simulated import HOUR, START, samples

INTERVAL = 60.0
BEGIN = 1.0
"""Hours after which the targets of the new build start."""
Counts = Callable[[str, float], Mapping[str, int]]
"""Build, hours since the process started -> count by stack name."""


def roll_out(counts: Counts, hours: float, *, builds: tuple[str, ...] = ("v1", "v1", "v2", "v2")) -> Pipeline:
    """Play a service with targets of these `builds`; those of v2 start at BEGIN."""
    pipeline = Pipeline(DetectionSettings())
    for i in range(int(hours * HOUR / INTERVAL)):
        hour = i * INTERVAL / HOUR
        for number, build in enumerate(builds):
            age = hour - BEGIN * (build == "v2")
            if age >= 0:
                target, profile = Target("shop", f"10.0.0.{number}:6060"), counts(build, age)
                process = Process(f"{number} {build}", build)
                time = START + hour * HOUR + number
                pipeline.observe(
                    pipeline.add_target(target), time, sum(profile.values()), samples(profile), process
                )
    return pipeline


def leaking(build: str, age: float) -> Mapping[str, int]:
    """Return a leak of 120 an hour on the new build, and a constant stack."""
    return {"leak": 3 + int(120 * age * (build == "v2")), "const": 20}


def only(pipeline: Pipeline) -> Leak:
    """Return the only open leak."""
    (leak,) = pipeline.open_leaks()
    return leak


NOTE = "; grows only on build v2, which started at 2023-11-14 23:13:22 UTC: on 2 of 2 targets"


def test_a_leak_of_the_new_build() -> None:
    """The reason has the build, its start, and the targets on which the leak grows."""
    leak = only(roll_out(leaking, BEGIN + 2.2))
    assert leak.reason.endswith(NOTE)
    assert leak.targets == ("10.0.0.2:6060", "10.0.0.3:6060")


def test_a_leak_of_both_builds() -> None:
    """A leak that the old build has too is not of the new build."""
    assert "build" not in only(roll_out(lambda _, age: leaking("v2", age), BEGIN + 2.2)).reason


def test_a_pool_that_fills() -> None:
    """Growth up to the level of the old targets is not of the new build."""

    def filling(build: str, age: float) -> Mapping[str, int]:
        return {"pool": 500 if build == "v1" else int(120 * age), "const": 20}

    assert "build" not in only(roll_out(filling, BEGIN + 2.2)).reason


def test_a_single_build() -> None:
    """Without targets of another build there is nothing to compare."""
    assert "build" not in only(roll_out(leaking, BEGIN + 2.2, builds=("v2", "v2"))).reason


def test_the_old_build_ends() -> None:
    """The reason keeps the build after the targets of the old build are removed."""
    pipeline = roll_out(leaking, BEGIN + 2.2)
    for number in range(2):
        pipeline.drop_target(Target("shop", f"10.0.0.{number}:6060"), START + 3.3 * HOUR)
    assert only(pipeline).reason.endswith(NOTE)


def test_a_restart_of_leakwatch() -> None:
    """The reason keeps the build when the state is restored."""
    pipeline = roll_out(leaking, BEGIN + 2.2)
    restored = Pipeline(DetectionSettings())
    restored.restore(pipeline.to_plain(0.0), 0.0)
    assert only(restored).reason.endswith(NOTE)
