"""Smooth weighted round robin: nginx' sequence, exact shares, no bursts."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.policy.weighted_round_robin import SmoothWeighted
from resilience.policy.contract import Request
from tests.lb.policy.patience import PATIENT

pytestmark = pytest.mark.unit
REQUEST = Request()


def turns(one: SmoothWeighted, count: int, exclude: tuple[str, ...] = ()) -> str:
    """Return that many picks in a row."""
    return "".join(str(one.pick(REQUEST, exclude, 0.0)) for _ in range(count))


def weighted(**weights: float) -> SmoothWeighted:
    """Make one over these weights."""
    one = SmoothWeighted()
    one.set_endpoints(weights)
    return one


@pytest.mark.paper
def test_published_sequence() -> None:
    """nginx, commit 52327e0: weights 5, 1, 1 give a a b a c a a, again and again."""
    assert turns(weighted(a=5, b=1, c=1), 14) == "aabacaa" * 2


def test_equal_weights_take_turns() -> None:
    """With equal weights it is a plain round robin."""
    assert turns(weighted(a=1, b=1, c=1), 6) == "abcabc"


def test_excluded_ones_save_nothing() -> None:
    """Whoever was excluded doesn't get its missed turns in a burst later."""
    one = weighted(a=1, b=1)
    assert turns(one, 20, exclude=("a",)) == "b" * 20
    assert turns(one, 6) == "ababab"


def test_nobody_left_is_none() -> None:
    """All excluded, or nobody known: None."""
    assert weighted(a=1).pick(REQUEST, ("a",), 0.0) is None
    assert SmoothWeighted().pick(REQUEST, (), 0.0) is None


def test_who_stays_keeps_its_place_in_the_round() -> None:
    """A newcomer of weight 1 gets its turn without the others beginning again."""
    one = weighted(a=5, b=1)
    assert turns(one, 4) == "aaab"
    one.set_endpoints({"a": 5.0, "b": 1.0, "c": 1.0})
    assert turns(one, 3) == "aaa"  # beginning again it would be a a b


def test_balancers_with_chance_begin_at_different_points() -> None:
    """Of twenty balancers that start together not all send their first request to the same."""
    firsts = set()
    for seed in range(20):
        one = SmoothWeighted(random.Random(seed))
        one.set_endpoints(["a", "b", "c"])
        firsts.add(turns(one, 1))
    assert firsts == {"a", "b", "c"}


@pytest.mark.property
@PATIENT
@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), min_size=1))
def test_each_round_gives_everyone_exactly_its_weight(weights: dict[str, int]) -> None:
    """In as many turns as the weights add up to, everyone has its weight; two rounds are alike."""
    one = weighted(**weights)
    first = turns(one, sum(weights.values()))
    assert Counter(first) == weights
    assert turns(one, sum(weights.values())) == first
