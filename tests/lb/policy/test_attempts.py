"""Attempts: which failures are tried elsewhere, for whom, how often."""

import pytest

from lb.policy import attempts
from lb.policy.attempts import (
    Failure,
    adds_no_load,
    may_try_again,
    outcome_of_status,
    per_try_timeout_s,
)
from resilience.policy.contract import Outcome

pytestmark = pytest.mark.unit


def test_defaults_are_the_documented_ones() -> None:
    """Three attempts, half of what remains for each, GET and HEAD; RFC 9110's, but TRACE."""
    assert (attempts.MAX_ATTEMPTS, attempts.PER_TRY_SHARE) == (3, 0.5)
    assert {b"GET", b"HEAD"} == attempts.SAFE_METHODS
    assert {b"OPTIONS", b"PUT", b"DELETE"} == attempts.IDEMPOTENT_METHODS - attempts.SAFE_METHODS


@pytest.mark.parametrize(
    ("failure", "safe", "unsafe"),
    [
        (Failure.NOT_CONNECTED, True, True),
        (Failure.NOT_STARTED, True, True),
        (Failure.STALE, True, False),
        (Failure.RESET, True, False),
        (Failure.TOO_SLOW, True, False),
        (Failure.BAD_ANSWER, False, False),
    ],
)
def test_what_was_not_sent_goes_elsewhere_and_what_was_only_if_safe(
    failure: Failure, safe: bool, unsafe: bool
) -> None:
    """Only what was not begun allows another try of what may not be done twice."""
    assert may_try_again(failure, attempts=1, is_safe=True, limit=3) is safe
    assert may_try_again(failure, attempts=1, is_safe=False, limit=3) is unsafe


@pytest.mark.parametrize(("made", "allowed"), [(1, True), (2, True), (3, False), (4, False)])
def test_limit_counts_the_first_attempt(made: int, allowed: bool) -> None:
    """With a limit of three a third attempt is made and no fourth."""
    assert may_try_again(Failure.RESET, attempts=made, is_safe=True, limit=3) is allowed


@pytest.mark.parametrize(
    ("failure", "is_left", "free"),
    [
        (Failure.NOT_CONNECTED, False, True),
        (Failure.STALE, False, True),
        (Failure.RESET, True, True),
        (Failure.RESET, False, False),
        (Failure.NOT_STARTED, True, False),
        (Failure.ERROR_ANSWER, True, False),
        (Failure.TOO_SLOW, True, False),
        (Failure.BAD_ANSWER, True, False),
    ],
)
def test_what_nobody_has_begun_adds_no_load(failure: Failure, is_left: bool, free: bool) -> None:
    """Nor what a dead backend held; all else does, and the budget counts it."""
    assert adds_no_load(failure, is_left=is_left) is free


def test_each_try_gets_half_of_what_remains() -> None:
    """Of one second 500 ms, then 250; of nothing, nothing."""
    assert [per_try_timeout_s(left) for left in (1.0, 0.5, -1.0)] == [0.5, 0.25, 0.0]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.OK),
        (404, Outcome.OK),
        (429, Outcome.OVERLOADED),
        (500, Outcome.FAILED),
        (502, Outcome.FAILED),
        (503, Outcome.OVERLOADED),
        (504, Outcome.OVERLOADED),
    ],
)
def test_statuses_are_named_by_what_they_say_of_the_backend(status: int, outcome: Outcome) -> None:
    """A client's error is the client's, overload is everybody's, the rest is the backend's."""
    assert outcome_of_status(status) is outcome
