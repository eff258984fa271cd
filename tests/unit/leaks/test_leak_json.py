"""JSON form of a leak."""

from dataclasses import replace

from leakwatch.leaks.leak_json import leak_fields, leak_json
from leakwatch.leaks.model import Estimate, MemoryCost, Transition
from leakwatch.model import Growth, Verdict
from tests.support.leaking import START, leak

LEAK = replace(leak(Verdict.PLATEAU), highest=Verdict.LEAKING, transitions=(Transition(Verdict.LEAKING, START),))


def test_the_verdict_is_the_current_one() -> None:
    """The API and the commands have the current verdict as `verdict`; `highest` has the highest so far."""
    assert leak_fields(LEAK)["verdict"] == "plateau"
    assert leak_fields(LEAK)["severity"] == "ticket"
    found = leak_json(LEAK)
    assert (found["verdict"], found["now"], found["highest"]) == ("plateau", "plateau", "leaking")
    assert found.items() >= leak_fields(LEAK).items()


def test_numbers() -> None:
    """Growth is per hour, with its band; times are in unix seconds."""
    found = leak_json(LEAK)
    names = ("growth_per_hour", "growth_per_hour_low", "growth_per_hour_high", "detected_at")
    assert [found[name] for name in names] == [152.0, 140.0, 163.0, START]
    assert found["life"] == [{"verdict": "leaking", "time": START}]


def test_memory() -> None:
    """The memory cost is included if it is known."""
    assert "bytes" not in leak_json(LEAK)
    smallest = Estimate(2048.0, 2048.0, 2048.0)
    growth = Growth(1.0, 1.0, 1.0)
    cost = MemoryCost(stack=smallest, resident=None, source="at least 2 KiB each", goroutines=10, growth=growth)
    found = leak_json(replace(LEAK, memory=cost))
    assert (found["bytes"], found["bytes_per_hour"]) == (20480.0, 2048.0 * 3600)
    assert found["bytes_source"] == "at least 2 KiB each"
