"""The cost budget of one target."""

from hypothesis import given
from hypothesis import strategies as st

from leakwatch.scrape.budget import SAVED, CostBudget


@given(st.lists(st.floats(0, 10), min_size=50, max_size=50), st.floats(0.001, 0.5))
def test_the_cost_limit_holds_in_the_long_run(costs: list[float], limit: float) -> None:
    """All scrapes together cost at most the limit, plus one scrape and the saving of 15 minutes."""
    budget = CostBudget(15.0, limit)
    spent, time = 0.0, 0.0
    for cost in costs:
        while not budget.allows(time):
            time += 15.0
        spent += cost
        budget.charge(cost)
        time += 15.0
    assert spent <= limit * (time + SAVED) + max(costs) + limit * 15.0
