"""The roster: who is known, who may be picked, and how busy each is."""

import pytest

from lb.policy.roster import DEFAULT_WEIGHT, Roster, checked_weights
from resilience.policy.contract import Outcome

pytestmark = pytest.mark.unit


def test_names_alone_have_the_default_weight() -> None:
    """Names get weight 1, weights are taken as they are."""
    assert DEFAULT_WEIGHT == 1.0
    assert checked_weights(["a", "b"]) == {"a": 1.0, "b": 1.0}
    assert checked_weights({"a": 2.5}) == {"a": 2.5}


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_weight_out_of_range_is_refused_by_name(weight: float) -> None:
    """The message names the endpoint and the weight."""
    with pytest.raises(ValueError, match="weight of a must be above 0"):
        checked_weights({"a": weight})


def test_only_known_ones_become_candidates() -> None:
    """A candidate that isn't known is passed over; new endpoints make all candidates again."""
    one = Roster()
    one.set_endpoints(["a", "b", "c"])
    one.set_candidates(["c", "z", "a"])
    assert one.candidates == ("c", "a")
    assert one.allowed(("c",)) == ("a",)
    one.set_endpoints(["a", "b"])
    assert one.candidates == ("a", "b")


def test_counts_outlive_a_leave_until_the_last_request_ends() -> None:
    """What left is forgotten with its last request, and in flight adds up."""
    one = Roster()
    one.set_endpoints(["a", "b"])
    one.on_start("a", 0.0)
    one.on_start("a", 0.0)
    one.on_start("b", 0.0)
    one.set_endpoints(["b"])
    assert (one.active("a"), one.in_flight) == (2, 3)
    one.on_finish("a", Outcome.OK, 1.0)
    one.on_finish("a", Outcome.FAILED, 1.0)
    assert one.snapshot() == {"b": 1}
    assert one.in_flight == 1


def test_finishing_what_was_not_started_is_a_programming_error() -> None:
    """More finishes than starts are an assertion, not a negative count."""
    one = Roster()
    one.set_endpoints(["a"])
    with pytest.raises(AssertionError, match="finished more often than started: a"):
        one.on_finish("a", Outcome.OK, 0.0)
