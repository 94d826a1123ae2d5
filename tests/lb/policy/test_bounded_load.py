"""Bounded load: Envoy's slots, where the excess goes, and that nobody has more than its slots."""

import random
from collections import Counter
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.policy import bounded_load
from lb.policy.bounded_load import BoundedLoad
from resilience.policy.contract import Outcome, Request
from tests.lb.policy.patience import PATIENT

pytestmark = pytest.mark.unit
HOT = Request(key="hot")


def picker(percent: int = 150, **weights: float) -> BoundedLoad:
    """Make one over four of weight 1, or over these."""
    one = BoundedLoad(random.Random(1), balance_percent=percent)
    one.set_endpoints(weights or dict.fromkeys("abcd", 1.0))
    return one


def send(one: BoundedLoad, request: Request, exclude: tuple[str, ...] = ()) -> str:
    """Pick and start."""
    chosen = one.pick(request, exclude, 0.0)
    assert chosen is not None
    one.on_start(chosen, 0.0)
    return chosen


def test_defaults() -> None:
    """150 percent, within Envoy's typical 120 to 200; below 100 is refused."""
    assert bounded_load.DEFAULT_BALANCE_PERCENT == 150
    assert bounded_load.MIN_BALANCE_PERCENT == 100
    with pytest.raises(ValueError, match="balance_percent must be 100 or more, not 99"):
        picker(99)


@pytest.mark.parametrize(
    ("in_flight", "percent", "weight", "slots"),
    [(0, 150, 1, 1), (3, 150, 1, 2), (9, 120, 1, 3), (99, 100, 1, 25), (99, 150, 5, 94)],
)
def test_slots_are_envoys(in_flight: int, percent: int, weight: float, slots: int) -> None:
    """((in flight + 1) * factor + 99) / 100 in integers, times the share, rounded up, or 1."""
    one = picker(percent, a=weight, b=1, c=1, d=1)
    for _ in range(in_flight):
        one.on_start("b", 0.0)
    assert one.slots("a") == slots


def test_a_hot_key_stays_with_its_owner_until_that_is_full() -> None:
    """One after another it is always the owner; at once it spreads to the key's followers."""
    one = picker()
    owner = one.owner("hot")
    for _ in range(10):
        assert send(one, HOT) == owner
        one.on_finish(str(owner), Outcome.OK, 0.0)
    chosen = [send(one, HOT) for _ in range(40)]
    assert chosen[0] == owner
    assert max(Counter(chosen).values()) <= ceil(40 * 1.5 / 4)
    followers = [name for name in one.followers("hot") if name != owner]
    firsts = list(dict.fromkeys(chosen))
    assert firsts[1] == followers[0]  # what spills first goes to the key's next


def test_when_all_are_full_the_least_full_takes_it() -> None:
    """With everybody else excluded, a full endpoint is still picked."""
    one = picker(100)
    for _ in range(8):
        one.on_start("a", 0.0)
    assert one.pick(HOT, ("b", "c", "d"), 0.0) == "a"
    one.on_start("b", 0.0)
    for _ in range(9):
        one.on_start("b", 0.0)
    assert one.pick(HOT, ("c", "d"), 0.0) == "a"  # 8 for its slots is less than 10


def test_spilled_requests_are_counted() -> None:
    """The snapshot says how many found their endpoint full."""
    one = picker()
    for _ in range(4):
        send(one, HOT)
    assert int(one.snapshot()["spilled"] or 0) > 0


@pytest.mark.property
@PATIENT
@given(
    keys=st.lists(st.sampled_from(["hot", "hot", "warm", "x", "y", ""]), max_size=40),
    percent=st.integers(100, 200),
    weights=st.tuples(*[st.integers(1, 5)] * 4),
)
def test_nobody_is_given_more_than_its_slots(
    keys: list[str], percent: int, weights: tuple[int, ...]
) -> None:
    """Each start leaves its endpoint within the slots it had at the pick."""
    one = picker(percent, **dict(zip("abcd", map(float, weights), strict=True)))
    for key in keys:
        chosen = one.pick(Request(key=key), (), 0.0)
        assert chosen is not None
        assert one.active(chosen) + 1 <= one.slots(chosen)
        one.on_start(chosen, 0.0)
