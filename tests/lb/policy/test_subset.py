"""Deterministic subsetting: even within a round, the same for everybody, uneven for nobody."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.policy.subset import DEFAULT_SIZE, subset
from tests.lb.policy.patience import PATIENT

pytestmark = pytest.mark.unit
TWELVE = [f"b{n}" for n in range(12)]


def test_default_size_is_within_the_books_range() -> None:
    """The SRE Book: typically 20 to 100."""
    assert DEFAULT_SIZE == 20


@pytest.mark.paper
def test_book_example_gives_each_backend_to_one_client_a_round() -> None:
    """SRE Book ch. 20: 12 backends, subsets of 3: clients 0 to 3 share all, so do 4 to 7."""
    for first in (0, 4):
        dealt = [name for client in range(first, first + 4) for name in subset(TWELVE, client, 3)]
        assert sorted(dealt) == sorted(TWELVE)
    assert subset(TWELVE, 0, 3) != subset(TWELVE, 4, 3)  # the next round is shuffled anew


@pytest.mark.paper
def test_book_figures_are_even_where_random_ones_are_not() -> None:
    """SRE Book ch. 20: 300 clients, 300 backends, 10 of each: all have exactly 10 clients."""
    backends = [f"b{n}" for n in range(300)]
    loads = Counter(name for client in range(300) for name in subset(backends, client, 10))
    assert set(loads.values()) == {10}


def test_order_of_the_list_does_not_matter() -> None:
    """Two clients that learned of the backends in another order agree."""
    assert subset(TWELVE, 5, 3) == subset(TWELVE[::-1], 5, 3)


def test_fewer_backends_than_asked_are_all_used() -> None:
    """Without enough for one subset everybody uses all."""
    assert sorted(subset(TWELVE, 7, 20)) == sorted(TWELVE)
    assert subset([], 0, 3) == []


@pytest.mark.parametrize(("client", "size"), [(-1, 3), (0, 0)])
def test_numbers_out_of_range_are_refused(client: int, size: int) -> None:
    """The message says both numbers."""
    with pytest.raises(ValueError, match=f"{client}, {size}"):
        subset(TWELVE, client, size)


@pytest.mark.property
@PATIENT
@given(count=st.integers(1, 60), size=st.integers(1, 20), client=st.integers(0, 500))
def test_a_subset_is_full_and_has_no_name_twice(count: int, size: int, client: int) -> None:
    """It has the size asked for, or everybody."""
    backends = [f"b{n}" for n in range(count)]
    names = subset(backends, client, size)
    assert len(names) == len(set(names)) == min(size, count)
    assert set(names) <= set(backends)
