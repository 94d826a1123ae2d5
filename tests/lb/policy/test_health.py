"""Three misses leave, two good checks return, a broken connection leaves at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.policy.health import (
    DEFAULT_MISSES_TO_LEAVE,
    DEFAULT_PASSES_TO_RETURN,
    CheckedHealth,
)
from tests.lb.policy.patience import PATIENT

pytestmark = pytest.mark.unit


def health(recheck_s: float | None = None) -> CheckedHealth:
    """Make one that knows ``a``."""
    made = CheckedHealth(recheck_s=recheck_s)
    made.set_endpoints(["a"])
    return made


def test_defaults_are_the_documented_ones() -> None:
    """Three misses, two good checks."""
    assert (DEFAULT_MISSES_TO_LEAVE, DEFAULT_PASSES_TO_RETURN) == (3, 2)


def test_third_miss_in_a_row_leaves() -> None:
    """Two misses, a good check and two misses change nothing; the third in a row does."""
    one = health()
    answers = [False, False, True, False, False]
    assert [one.on_check("a", ok, 0.0) for ok in answers] == [False] * 5
    assert one.on_check("a", False, 0.0)
    assert not one.is_up("a", 0.0)


def test_second_good_check_in_a_row_returns() -> None:
    """One good check is not enough, nor are two with a miss between them."""
    one = health()
    one.on_unreachable("a", 0.0)
    assert [one.on_check("a", ok, 0.0) for ok in (True, False, True)] == [False] * 3
    assert one.on_check("a", True, 0.0)
    assert one.is_up("a", 0.0)


def test_broken_connection_leaves_at_once_and_restarts_the_count() -> None:
    """It marks without waiting, and a good check before it doesn't count any more."""
    one = health()
    assert one.on_unreachable("a", 0.0)
    one.on_check("a", True, 0.0)
    assert not one.on_unreachable("a", 0.0)
    assert not one.on_check("a", True, 0.0)
    assert one.on_check("a", True, 0.0)


def test_recheck_lets_traffic_be_the_check() -> None:
    """Without checks an endpoint counts as up again after the time, from its last failure on."""
    one = health(recheck_s=1.0)
    one.on_unreachable("a", 10.0)
    assert not one.is_up("a", 10.9)
    assert one.is_up("a", 11.0)
    one.on_unreachable("a", 11.0)
    assert one.up(["a"], 11.5) == []
    assert one.up(["a"], 12.0) == ["a"]


def test_unknown_endpoints_are_not_up_and_harmless() -> None:
    """News of an endpoint that left changes nothing."""
    one = health()
    assert not one.on_check("z", False, 0.0)
    assert not one.on_unreachable("z", 0.0)
    assert not one.is_up("z", 0.0)


def test_endpoints_that_stay_keep_their_state() -> None:
    """A new neighbour doesn't bring a dead endpoint back; leaving and returning does."""
    one = health()
    one.on_unreachable("a", 0.0)
    one.set_endpoints(["a", "b"])
    assert one.snapshot() == {"a": False, "b": True}
    one.set_endpoints(["b"])
    one.set_endpoints(["a", "b"])
    assert one.is_up("a", 0.0)


def test_counts_must_be_positive() -> None:
    """Zero misses to leave would leave everybody."""
    with pytest.raises(ValueError, match="1 or more"):
        CheckedHealth(misses_to_leave=0)


@pytest.mark.property
@PATIENT
@given(st.lists(st.booleans(), max_size=60))
def test_state_follows_the_last_run_of_answers(answers: list[bool]) -> None:
    """The state is that of the latest run of three misses or two good checks."""
    one = health()
    expected = True
    for count in range(1, len(answers) + 1):
        one.on_check("a", answers[count - 1], 0.0)
        seen = answers[:count]
        if seen[-3:] == [False] * 3:
            expected = False
        elif seen[-2:] == [True] * 2:
            expected = True
        assert one.is_up("a", 0.0) == expected
