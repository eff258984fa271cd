"""Calls of own code into libraries in the stacks of a service: which count, and in which order."""

from leakwatch.leaks.seen_calls import TARGETS, SeenCalls
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Frame, Sample, Target, Trace
from leakwatch.pipeline import Pipeline
from tests.support.simulated import START

BUS = "example.org/bus"
OPEN = Frame(f"{BUS}.Open", f"/go/pkg/mod/{BUS}@v1.0.0/bus.go", 3)
SERVE = Frame("net/http.(*conn).serve", "/usr/local/go/src/net/http/server.go", 9)
DIRECT = Trace((OPEN, Frame("main.dial", "/src/main.go", 4), SERVE, Frame("main.main", "/src/main.go", 1)))


def own(name: str, line: int = 4) -> Frame:
    """Return a frame of own code."""
    return Frame(f"main.{name}", "/src/main.go", line)


class Targets:
    """Targets of one service, and the calls that were seen."""

    def __init__(self, number: int = 1) -> None:
        self.pipeline = Pipeline(DetectionSettings())
        self.seen = SeenCalls()
        self.states = [
            self.pipeline.add_target(Target("shop", f"10.0.0.{each}:6060")) for each in range(1, number + 1)
        ]
        self.time = START

    def scrape(self, state: TargetState, *traces: tuple[Trace, int]) -> None:
        """Record a scrape of a target."""
        self.time += 60.0
        stacks = [(self.pipeline.identifier.stack(trace), number) for trace, number in traces]
        samples = {stack.fingerprint: Sample(stack, number) for stack, number in stacks}
        self.pipeline.observe(state, self.time, sum(number for _, number in traces), samples)

    def callers(self, part: str = BUS) -> list[Frame]:
        """Return the own code that calls a part."""
        return self.seen.callers(part, self.states, self.pipeline.is_own)


def test_the_innermost_own_code_counts_if_it_calls_the_part_itself() -> None:
    """Own code that calls something else, which calls the part, is not a caller."""
    targets = Targets()
    indirect = Trace((OPEN, SERVE, own("main")))
    without = Trace((OPEN, SERVE))
    leaf = Trace((own("wait"), OPEN))
    targets.scrape(targets.states[0], (DIRECT, 1), (indirect, 1), (without, 1), (leaf, 1))
    assert targets.callers() == [own("dial")]
    assert targets.callers("net/http") == [own("main")]
    assert targets.callers("example.org/other") == []


def test_a_stack_that_has_ended_counts() -> None:
    """A call that was seen once remains a hint while the history has its stack."""
    targets = Targets()
    targets.scrape(targets.states[0], (DIRECT, 1))
    targets.scrape(targets.states[0], (Trace((SERVE,)), 1))
    assert targets.callers() == [own("dial")]


def test_the_most_frequent_caller_comes_first() -> None:
    """The goroutines of all targets in the latest blocks decide, not those of the latest scrape."""
    targets = Targets(2)
    rare, often = (Trace((OPEN, own(name))) for name in ("rare", "often"))
    for _ in range(12):
        for state in targets.states:
            targets.scrape(state, (rare, 1), (often, 3))
    targets.scrape(targets.states[0], (rare, 50))
    assert targets.callers() == [own("often"), own("rare")]


def test_a_new_build_has_new_lines() -> None:
    """After a deployment, the line of the caller is that of the new build."""
    targets = Targets()
    targets.scrape(targets.states[0], (DIRECT, 1))
    assert targets.callers() == [own("dial", 4)]
    rebuilt = Trace((OPEN, own("dial", 5), SERVE, own("main", 1)))
    targets.scrape(targets.states[0], (rebuilt, 1))
    assert targets.callers() == [own("dial", 5)]


def test_the_stacks_of_some_targets_are_searched() -> None:
    """Replicas run the same code, so that a large service does not cost more."""
    targets = Targets(TARGETS + 1)
    targets.scrape(targets.states[-1], (DIRECT, 1))
    assert targets.callers() == []
    targets.scrape(targets.states[-2], (DIRECT, 1))
    assert targets.callers() == [own("dial")]


def test_another_code_is_own_code() -> None:
    """After a reload with other prefixes of own code, all stacks are read again."""
    targets = Targets()
    targets.scrape(targets.states[0], (DIRECT, 1))
    assert targets.callers() == [own("dial")]
    targets.seen.clear()
    assert targets.seen.callers(BUS, targets.states, lambda _: False) == []
