"""Fairness between classes of requests: plain numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.drill.fairness import jain, jain_index, max_min_shares
from chaos.drill.metrics import Arrivals, observe
from chaos.drill.records import Record, Window
from chaos.drill.schema import Hypothesis
from tests.chaos.drill.build import record

pytestmark = pytest.mark.unit


def sent(route: str, served: int, refused: int) -> list[Record]:
    """Arrivals of one class, spread over ten seconds: some answered in time, some refused."""
    count = served + refused
    return [
        record(n, 10.0 * n / count, 0.1, status=200 if n < served else 503, route=route)
        for n in range(count)
    ]


def test_what_one_leaves_is_divided_among_the_others() -> None:
    """A wants 8 of 20 and gets it; B wants 100 and gets the other 12."""
    assert max_min_shares({"B": 100, "A": 8}, 20) == {"A": 8, "B": 12}
    assert max_min_shares({"A": 50, "B": 50}, 20) == {"A": 10, "B": 10}
    assert max_min_shares({"A": 2, "B": 3, "C": 90}, 20) == {"A": 2, "B": 3, "C": 15}
    assert max_min_shares({"A": 2, "B": 3}, 20) == {"A": 2, "B": 3}


@pytest.mark.paper
def test_the_index_is_the_paper_s() -> None:
    """Jain et al., section 2: 1 for equal parts, k/n when k of n get all; scale does not matter."""
    assert jain([3.0, 3.0, 3.0]) == pytest.approx(1.0)
    assert jain([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert jain([50.0, 30.0, 50.0]) == pytest.approx(jain([5.0, 3.0, 5.0]))
    assert jain([0.0, 0.0]) == 1.0


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=9))
def test_the_index_stays_within_its_bounds(parts: list[float]) -> None:
    """From 1/n to 1, whatever the parts."""
    assert 1 / len(parts) - 1e-9 <= jain(parts) <= 1 + 1e-9


@given(
    st.dictionaries(st.sampled_from("ABCDE"), st.floats(0, 500), min_size=1),
    st.floats(0.1, 100),
)
def test_shares_are_max_min_fair(offered: dict[str, float], capacity: float) -> None:
    """Nobody gets more than he wants, all is given out, and who lacks has no less than another."""
    shares = max_min_shares(offered, capacity)
    assert all(shares[name] <= offered[name] + 1e-9 for name in offered)
    assert sum(shares.values()) == pytest.approx(min(capacity, sum(offered.values())))
    for name in offered:
        if shares[name] < offered[name] - 1e-6:
            assert shares[name] >= max(shares.values()) - 1e-6


def test_fair_and_unfair_are_told_apart() -> None:
    """A served in full beside B gives 1; A at a tenth of its due gives about a half."""
    fair = sent("A", 80, 0) + sent("B", 120, 880)
    unfair = sent("A", 8, 72) + sent("B", 192, 808)

    seen = jain_index(fair, 10.0, 1.0, 20.0)
    assert seen.value == pytest.approx(1.0)
    assert seen.samples == 1080
    assert seen.sd is not None
    assert 0 < seen.sd < 0.03
    other = jain_index(unfair, 10.0, 1.0, 20.0)
    assert other.value == pytest.approx((0.1 + 1.6) ** 2 / (2 * (0.01 + 2.56)))
    assert other.sd is not None
    assert 0 < other.sd < 0.1


def test_without_arrivals_or_capacity_there_is_nothing_to_see() -> None:
    """And a phase in which nobody was served is fair, and known to nothing."""
    assert jain_index([], 10.0, 1.0, 20.0).value is None
    nobody = jain_index(sent("A", 0, 5), 10.0, 1.0, 20.0)
    assert (nobody.value, nobody.sd) == (1.0, 1.0)
    claim = Hypothesis(name="x", metric="jain_index", bound=">= 0.9")
    windows = {"fault": Window(0, 10)}
    assert observe(claim, Arrivals(sent("A", 5, 0), windows, 1.0)).value is None
    assert observe(claim, Arrivals(sent("A", 5, 0), windows, 1.0, 20.0)).value == 1.0
