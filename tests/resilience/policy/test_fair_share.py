"""Fair share: Doorman's published cases, and what max-min promises."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience.policy.fair_share import fair_shares, jain_index

TENANTS = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.tuples(st.floats(0, 1e4), st.floats(0.1, 10)),
    min_size=1,
)


def equal(demands: dict[str, float], capacity: float) -> dict[str, float]:
    """Divide among tenants of the same weight."""
    return fair_shares(demands, {}, capacity)


@pytest.mark.paper
def test_the_cases_of_doorman_hold() -> None:
    """youtube/doorman:go/server/doorman/algorithm_test.go, TestFairShare and its variants."""
    assert equal({"c0": 1000, "c1": 60, "c2": 10}, 120) == {"c0": 55, "c1": 55, "c2": 10}
    assert equal({"c0": 1000, "c1": 50, "c2": 10}, 120) == {"c0": 60, "c1": 50, "c2": 10}
    weights = {"c0": 6, "c1": 4, "c2": 2}
    shares = fair_shares({"c0": 1000, "c1": 500, "c2": 200}, weights, 120)
    assert shares == pytest.approx({"c0": 60, "c1": 40, "c2": 20})
    weights = {"c0": 10, "c1": 10, "c2": 30}
    shares = fair_shares({"c0": 2000, "c1": 500, "c2": 700}, weights, 1000)
    assert shares == pytest.approx({"c0": 200, "c1": 200, "c2": 600})


@pytest.mark.paper
def test_the_textbook_example_holds() -> None:
    """Demands 2, 2.6, 4 and 5 of a capacity of 10: 2, 2.6, 2.7 and 2.7."""
    shares = equal({"a": 2, "b": 2.6, "c": 4, "d": 5}, 10)

    assert shares == pytest.approx({"a": 2, "b": 2.6, "c": 2.7, "d": 2.7})


def test_shouting_pays_nobody() -> None:
    """A thousand times the demand gets no more than the other who has too little."""
    assert equal({"quiet": 60, "loud": 60_000}, 100) == {"quiet": 50, "loud": 50}


def test_nobody_and_nothing() -> None:
    """No tenants, no capacity, no demand: nothing to divide."""
    assert equal({}, 5.0) == {}
    assert equal({"a": 3}, 0.0) == {"a": 0}
    assert equal({"a": 0}, 5.0) == {"a": 0}


@pytest.mark.parametrize(
    ("demand", "weight", "capacity"),
    [(-1, 1, 1), (1, 0, 1), (1, -1, 1), (1, 1, -1), (float("nan"), 1, 1), (1, 1, float("nan"))],
)
def test_impossible_figures_are_errors(demand: float, weight: float, capacity: float) -> None:
    """Negative or not a number at all."""
    with pytest.raises(ValueError, match="must be"):
        fair_shares({"a": demand}, {"a": weight}, capacity)


@pytest.mark.property
@settings(max_examples=50)
@given(TENANTS, st.floats(0, 2e4))
def test_it_uses_what_there_is_and_gives_everybody_his_due(
    tenants: dict[str, tuple[float, float]], capacity: float
) -> None:
    """Work conserving; nobody above his demand, nor below his due if he asks for that much."""
    demands = {name: demand for name, (demand, _) in tenants.items()}
    weights = {name: weight for name, (_, weight) in tenants.items()}
    shares = fair_shares(demands, weights, capacity)
    total = sum(weights.values())

    assert sum(shares.values()) == pytest.approx(min(capacity, sum(demands.values())))
    for name, share in shares.items():
        assert 0.0 <= share <= demands[name]
        assert share >= min(demands[name], capacity * weights[name] / total) * (1 - 1e-9) - 1e-9


@pytest.mark.property
@settings(max_examples=50)
@given(TENANTS, st.floats(0, 2e4))
def test_who_has_too_little_is_at_the_highest_level(
    tenants: dict[str, tuple[float, float]], capacity: float
) -> None:
    """Max-min itself: nobody has more by weight than anyone whose demand is not met."""
    demands = {name: demand for name, (demand, _) in tenants.items()}
    weights = {name: weight for name, (_, weight) in tenants.items()}
    shares = fair_shares(demands, weights, capacity)
    levels = {name: shares[name] / weights[name] for name in shares}

    for name, share in shares.items():
        if share < demands[name] - 1e-6:
            assert levels[name] >= max(levels.values()) * (1 - 1e-6) - 1e-6


@pytest.mark.property
@settings(max_examples=50)
@given(TENANTS, st.floats(0, 2e4), st.floats(0, 1e4), st.sampled_from("abcdefgh"))
def test_more_capacity_takes_nothing_away_and_more_demand_gives_nothing_to_others(
    tenants: dict[str, tuple[float, float]], capacity: float, more: float, who: str
) -> None:
    """Monotone in the capacity for all, and against each tenant's demand for the others."""
    demands = {name: demand for name, (demand, _) in tenants.items()}
    weights = {name: weight for name, (_, weight) in tenants.items()}
    before = fair_shares(demands, weights, capacity)

    for name, share in fair_shares(demands, weights, capacity + more).items():
        assert share >= before[name] - 1e-6
    if who in demands:
        louder = {**demands, who: demands[who] + more}
        after = fair_shares(louder, weights, capacity)
        assert after[who] >= before[who] - 1e-6
        assert all(after[name] <= before[name] + 1e-6 for name in demands if name != who)


def test_the_index_of_jain_is_one_when_even_and_one_nth_at_worst() -> None:
    """DEC-TR-301: (sum x)² / (n sum x²)."""
    assert jain_index([3.0, 3.0, 3.0]) == 1.0
    assert jain_index([5.0, 0.0, 0.0, 0.0]) == 0.25
    assert jain_index([1.0, 2.0, 3.0]) == pytest.approx(36 / 42)
    assert jain_index([0.0, 0.0]) == jain_index([]) == 1.0
