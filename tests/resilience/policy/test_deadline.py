"""Deadline arithmetic: clamping, parts, attempts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.policy import deadline
from resilience.policy.deadline import (
    attempt_timeout_s,
    clamp_s,
    earliest_s,
    is_spent,
    part_deadline_s,
)


def test_defaults_are_those_of_the_design() -> None:
    """1 s a route; parts get min(remaining - 50 ms, 300 ms)."""
    assert deadline.ROUTE_BUDGET_S == 1.0
    assert (deadline.PART_RESERVE_S, deadline.PART_MAX_S) == (0.05, 0.3)


@pytest.mark.parametrize(
    ("asked_s", "expected"), [(None, 1.0), (0.25, 0.25), (1.0, 1.0), (60.0, 1.0), (0.0, 0.0)]
)
def test_a_caller_may_only_shorten_the_budget(asked_s: float | None, expected: float) -> None:
    """Above the route's budget a wish is clamped to it."""
    assert clamp_s(asked_s, 1.0) == expected


@pytest.mark.parametrize(
    ("remaining_s", "expected_s"),
    [(1.0, 0.3), (0.35, 0.3), (0.2, 0.15), (0.05, 0.0), (0.01, -0.04)],
)
def test_parts_keep_a_reserve_for_the_whole(remaining_s: float, expected_s: float) -> None:
    """min(remaining - 50 ms, 300 ms), and nothing or less when that is all there is."""
    part = part_deadline_s(10.0 + remaining_s, 10.0)

    assert part is not None
    assert part - 10.0 == pytest.approx(expected_s)


def test_without_a_deadline_a_part_has_none() -> None:
    """The control arm of a drill waits for ever."""
    assert part_deadline_s(None, 10.0) is None


def test_a_deadline_is_spent_when_it_is_reached() -> None:
    """At the very moment nothing is left; without one there is always time."""
    assert is_spent(1.0, 1.0)
    assert not is_spent(1.0, 0.999)
    assert not is_spent(None, 1e9)


def test_the_earlier_of_two_deadlines_counts() -> None:
    """None means none, and loses against any."""
    assert earliest_s(None, None) is None
    assert earliest_s(1.0, None) == earliest_s(None, 1.0) == earliest_s(2.0, 1.0) == 1.0


@pytest.mark.parametrize(
    ("deadline_s", "per_try_s", "expected_s"),
    [(None, None, None), (None, 0.5, 0.5), (12.0, None, 2.0), (12.0, 0.5, 0.5), (10.25, 0.5, 0.25)],
)
def test_an_attempt_gets_the_smaller_of_its_own_and_the_rest(
    deadline_s: float | None, per_try_s: float | None, expected_s: float | None
) -> None:
    """A try never outlives its call."""
    assert attempt_timeout_s(deadline_s, per_try_s, 10.0) == expected_s


@given(st.floats(0, 100), st.floats(-1, 10))
def test_a_part_never_outlives_its_page(now_s: float, remaining_s: float) -> None:
    """A part's deadline lies before that of the whole."""
    part = part_deadline_s(now_s + remaining_s, now_s)

    assert part is not None
    assert part < now_s + remaining_s
