"""Groups: shares, the fallback to other groups, and endpoints that move or leave."""

import random
from collections import Counter

import pytest

from lb.policy.groups import Groups
from lb.policy.p2c import P2C
from resilience.policy.contract import Outcome, Request

pytestmark = pytest.mark.unit
REQUEST = Request()


def groups() -> Groups[str]:
    """Make one over two groups by first letter: a1, a2, a3 and b1."""
    rng = random.Random(1)
    one = Groups[str](rng, lambda name: name[0], lambda: P2C(rng))
    one.set_endpoints(["a1", "a2", "a3", "b1"])
    return one


def test_shares_are_by_weight_unless_told_otherwise() -> None:
    """Three of four endpoints are three quarters; a weight of 3 makes one as much as three."""
    one = groups()
    assert one.shares == {"a": 0.75, "b": 0.25}
    picks = Counter(one.pick(REQUEST, (), 0.0) for _ in range(20_000))
    assert abs(picks["b1"] - 5_000) < 300
    one.set_endpoints({"a1": 1.0, "b1": 3.0})
    assert one.shares == {"a": 0.25, "b": 0.75}


def test_a_group_without_anybody_left_passes_on() -> None:
    """With its only endpoint excluded the other group serves; with all excluded nobody does."""
    one = groups()
    assert {one.pick(REQUEST, ("b1",), 0.0) for _ in range(200)} == {"a1", "a2", "a3"}
    assert one.pick(REQUEST, ("a1", "a2", "a3"), 0.0) == "b1"
    assert one.pick(REQUEST, ("a1", "a2", "a3", "b1"), 0.0) is None
    one.set_candidates(())
    assert one.shares == {}
    assert one.pick(REQUEST, (), 0.0) is None


def test_a_request_ends_in_the_group_it_began_in() -> None:
    """An endpoint that left and returned is counted by its group's algorithm throughout."""
    one = groups()
    one.on_start("b1", 0.0)
    one.set_endpoints(["a1"])
    assert one.snapshot()["b1"] == 1
    one.on_finish("b1", Outcome.OK, 1.0)
    assert one.snapshot() == {"share.a": 1.0, "a1": 0}
    one.set_endpoints(["a1", "b1"])
    assert one.group("b1") == "b"
