"""Rocksteadier: even enough, and one backend more or less moves next to nothing."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.policy import rocksteadier as module
from lb.policy.rocksteadier import rocksteadier, van_der_corput
from lb.policy.subset import subset
from tests.lb.policy.patience import PATIENT

pytestmark = pytest.mark.unit


def names(count: int) -> list[str]:
    """Name that many backends."""
    return [f"b{n}" for n in range(count)]


@pytest.mark.paper
def test_sequence_is_van_der_corputs() -> None:
    """0, 1/2, 1/4, 3/4, 1/8, 5/8, 3/8, 7/8, and lots of ten."""
    assert [van_der_corput(n) for n in range(8)] == [0, 0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875]
    assert module.LOT == 10


def test_clients_of_a_lot_share_out_everybody() -> None:
    """Ten clients with a tenth each have every backend once."""
    dealt = [name for client in range(10) for name in rocksteadier(names(100), client, 10)]
    assert sorted(dealt) == sorted(names(100))


def test_many_clients_load_everyone_alike() -> None:
    """1,000 clients with 20 of 300 each: nobody is further than 20 % from the mean of 67."""
    loads = Counter(n for client in range(1000) for n in rocksteadier(names(300), client, 20))
    assert len(loads) == 300
    assert min(loads.values()) >= 53
    assert max(loads.values()) <= 80


def test_one_backend_more_moves_far_less_than_deterministic_subsetting() -> None:
    """59 become 60, subsets of 10: under 3 % of connections change; most do with borders moved."""
    changed = {
        deal.__name__: sum(
            len(set(deal(names(60), client, 10)) - set(deal(names(59), client, 10)))
            for client in range(100)
        )
        / 1000
        for deal in (rocksteadier, subset)
    }
    assert changed["rocksteadier"] < 0.03
    assert changed["subset"] > 0.5


def test_a_vacant_number_costs_only_its_own_clients() -> None:
    """A hole replaces itself in the subsets it was in, and touches no other."""
    backends: list[str | None] = [*names(100)]
    before = [rocksteadier(backends, client, 10) for client in range(50)]
    backends[37] = None
    for client, old in enumerate(before):
        new = rocksteadier(backends, client, 10)
        assert set(old) - set(new) == set(old) & {"b37"}
        assert len(new) == 10


def test_more_clients_change_nothing_for_those_there_are() -> None:
    """A client's subset depends on its number alone: it isn't told how many there are."""
    assert rocksteadier(names(40), 3, 5) == rocksteadier(names(40), 3, 5)
    assert rocksteadier(names(40), 3, 5) != rocksteadier(names(40), 13, 5)


@pytest.mark.parametrize(("client", "size"), [(-1, 3), (0, 0)])
def test_numbers_out_of_range_are_refused(client: int, size: int) -> None:
    """The message says both numbers."""
    with pytest.raises(ValueError, match=f"{client}, {size}"):
        rocksteadier(names(3), client, size)


@pytest.mark.property
@PATIENT
@given(count=st.integers(0, 80), size=st.integers(1, 30), client=st.integers(0, 300))
def test_a_subset_is_full_and_one_more_backend_moves_at_most_two(
    count: int, size: int, client: int
) -> None:
    """It has the size asked for, or everybody; adding one changes at most two of it."""
    subset_of = rocksteadier(names(count), client, size)
    assert len(subset_of) == len(set(subset_of)) == min(size, count)
    assert len(set(subset_of) - set(rocksteadier(names(count + 1), client, size))) <= 2
