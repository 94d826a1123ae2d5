"""Outcome by cause: the table of ``resilience.outcome``, row by row."""

import asyncio

import pytest

from resilience.context import Cut
from resilience.errors import (
    BreakerOpen,
    Code,
    DeadlineExpired,
    LimitExceeded,
    ServiceError,
    UpstreamReset,
    UpstreamStatus,
    UpstreamTimeout,
)
from resilience.outcome import Judge, classify, has_started, is_deeper
from resilience.policy.contract import Outcome

OK, FAILED, OVERLOADED, IGNORED = Outcome


def err(code: Code, **more: object) -> ServiceError:
    """Make an upstream's error."""
    return UpstreamStatus(code, "X", "x", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "breaker", "limiter"),
    [
        (None, OK, OK),
        (err(Code.NOT_FOUND), OK, OK),
        (err(Code.INVALID_ARGUMENT), OK, OK),
        (err(Code.ALREADY_EXISTS, retry_after_s=1.0), OK, OK),
        (err(Code.UNIMPLEMENTED), OK, OK),
        (err(Code.INTERNAL), FAILED, FAILED),
        (err(Code.UNAVAILABLE), FAILED, FAILED),
        (err(Code.BAD_GATEWAY), FAILED, FAILED),
        (UpstreamReset(Code.BAD_GATEWAY, "X", "x"), FAILED, FAILED),
        (ConnectionResetError(), FAILED, FAILED),
        (RuntimeError(), FAILED, FAILED),
        (err(Code.UNAVAILABLE, retry_after_s=1.0), OVERLOADED, OVERLOADED),
        (err(Code.RESOURCE_EXHAUSTED), OVERLOADED, OVERLOADED),
        (err(Code.DEADLINE_EXCEEDED), FAILED, OVERLOADED),
        (DeadlineExpired(Code.DEADLINE_EXCEEDED, "X", "x"), FAILED, OVERLOADED),
        (UpstreamTimeout(Code.DEADLINE_EXCEEDED, "X", "x"), FAILED, OVERLOADED),
        (TimeoutError(), FAILED, OVERLOADED),
        (asyncio.CancelledError(), IGNORED, IGNORED),
        (err(Code.CANCELLED), IGNORED, IGNORED),
        (BreakerOpen(Code.UNAVAILABLE, "X", "x", retry_after_s=1.0), IGNORED, IGNORED),
        (LimitExceeded(Code.UNAVAILABLE, "X", "x"), IGNORED, IGNORED),
    ],
)
def test_an_ending_means_what_the_table_says(
    error: BaseException | None, breaker: Outcome, limiter: Outcome
) -> None:
    """Each kind of error, for the one who judges others and the one who judges us."""
    assert classify(Judge.BREAKER, error) is breaker
    assert classify(Judge.LIMITER, error) is limiter


@pytest.mark.parametrize(
    ("status", "breaker", "limiter"),
    [
        (200, OK, OK),
        (304, OK, OK),
        (404, OK, OK),
        (429, OVERLOADED, OVERLOADED),
        (499, IGNORED, IGNORED),
        (500, FAILED, FAILED),
        (501, OK, OK),
        (503, FAILED, FAILED),
        (504, FAILED, OVERLOADED),
    ],
)
def test_a_status_means_what_the_table_says(
    status: int, breaker: Outcome, limiter: Outcome
) -> None:
    """An app that renders its own errors is judged by what it rendered."""
    assert classify(Judge.BREAKER, status=status) is breaker
    assert classify(Judge.LIMITER, status=status) is limiter


def test_who_cut_it_short_outweighs_what_it_looks_like() -> None:
    """asyncio shows a deadline and a caller who left alike; the Context knows."""
    cancelled = asyncio.CancelledError()

    assert classify(Judge.BREAKER, cancelled, cut=Cut.DEADLINE) is FAILED
    assert classify(Judge.LIMITER, cancelled, cut=Cut.DEADLINE) is OVERLOADED
    assert classify(Judge.BREAKER, cancelled, cut=Cut.CALLER) is IGNORED
    assert classify(Judge.LIMITER, RuntimeError(), cut=Cut.CALLER) is IGNORED


def test_work_has_started_unless_someone_proves_it_has_not() -> None:
    """A refused connection proves it; an error says so itself."""
    assert not has_started(ConnectionRefusedError())
    assert has_started(ConnectionResetError())
    assert not has_started(err(Code.UNAVAILABLE, started=False))
    assert has_started(err(Code.UNAVAILABLE))


def test_an_error_that_names_its_upstream_came_from_deeper() -> None:
    """Only the hop directly above a failure retries."""
    assert is_deeper(err(Code.UNAVAILABLE, metadata={"upstream": "store"}))
    assert not is_deeper(err(Code.UNAVAILABLE))
    assert not is_deeper(RuntimeError())
