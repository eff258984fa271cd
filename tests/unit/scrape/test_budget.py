"""The budgets of one target."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.scrape.budget import OWN_LIMITS, SAVED, Cost, TargetBudget


@given(st.lists(st.floats(0, 10), min_size=50, max_size=50), st.floats(0.001, 0.5))
def test_the_cost_limit_holds_in_the_long_run(costs: list[float], limit: float) -> None:
    """All scrapes together cost at most the limit, plus one scrape and the saving of 15 minutes."""
    budget = TargetBudget(15.0, limit)
    spent, time = 0.0, 0.0
    for cost in costs:
        while not budget.allows(time):
            time += 15.0
        spent += cost
        budget.charge(Cost.DURATION, cost)
        time += 15.0
    assert spent <= limit * (time + SAVED) + max(costs) + limit * 15.0


@pytest.mark.parametrize("cost", OWN_LIMITS)
def test_each_cost_stretches_the_interval(cost: Cost) -> None:
    """Scrapes that cost four times the limit come at four times the interval; the cost is the reason."""
    budget = TargetBudget(15.0, 0.01)
    time, times = 0.0, []
    while time < 3600:
        if budget.allows(time):
            times.append(time)
            budget.charge(cost, 4 * 15 * OWN_LIMITS[cost].per_second)
            stretched = budget.interval, budget.stretched_by
        time += 15
    assert stretched == (60.0, cost)
    late = [time for time in times if time > 900]
    assert {after - before for before, after in pairwise(late)} == {60.0}


def test_a_service_with_many_goroutines_is_not_slowed() -> None:
    """Own limits allow 10,000 stacks at 15 s, all of them new at the first scrape and after a restart."""
    budget = TargetBudget(15.0, 1.0)
    for i in range(1000):
        assert budget.allows(15.0 * i)
        budget.charge(Cost.BYTES, 26e6)  # 10,000 stacks of 2.6 KB, twice as deep as usual
        budget.charge(Cost.CPU, 1.0)
        budget.charge(Cost.STACKS, 10_000 if i in {0, 500} else 100)
        assert (budget.interval, budget.stretched_by) == (15.0, None)


def test_the_longest_interval_has_the_reason() -> None:
    """With several costs beyond their limits, the one that stretches most is the reason."""
    budget = TargetBudget(15.0, 0.01)
    budget.allows(0.0)
    budget.charge(Cost.DURATION, 0.45)
    assert (budget.interval, budget.stretched_by) == (45.0, Cost.DURATION)
    budget.charge(Cost.CPU, 6.0 + 9.0)
    assert (budget.interval, budget.stretched_by) == (90.0, Cost.CPU)


def test_savings_are_limited() -> None:
    """However long a target was cheap, one expensive scrape spends the savings of 15 minutes at most."""
    budget = TargetBudget(15.0, 0.01, own_limits={})
    assert budget.allows(0.0)
    assert budget.allows(10 * SAVED)
    budget.charge(Cost.DURATION, 0.01 * SAVED)
    assert budget.interval == 15.0
    budget.charge(Cost.DURATION, 0.01 * 30)
    assert budget.interval == 30.0


def test_only_limited_costs_count() -> None:
    """Without own limits, only the duration counts."""
    budget = TargetBudget(15.0, 0.01, own_limits={})
    budget.allows(0.0)
    budget.charge(Cost.BYTES, 1e12)
    assert budget.interval == 15.0


def test_the_mean_cost() -> None:
    """Equal scrapes cost duration / interval from the first one on; one slow response changes the mean little."""
    budget = TargetBudget(15.0, 0.5)
    means = []
    for i in range(60):
        assert budget.allows(15.0 * i)
        budget.charge(Cost.DURATION, 0.15)
        means.append(budget.mean)
    assert means == pytest.approx([0.01] * 60)
    assert budget.allows(900.0)
    budget.charge(Cost.DURATION, 3.0)
    assert 0.01 < budget.mean < 0.02
    for i in range(61, 241):
        assert budget.allows(15.0 * i)
        budget.charge(Cost.DURATION, 0.03)
    assert budget.mean == pytest.approx(0.002, rel=0.1)
