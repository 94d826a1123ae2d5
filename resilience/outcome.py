"""Outcome by cause: the one function that says what an ending teaches a policy.

The same ending means different things to a breaker, which judges the *other side*, and to a
limiter, which judges *us*: when our own time ran out the dependency was too slow (FAILED), and the
service had too much to do (OVERLOADED). asyncio shows both that and a caller who left as
``CancelledError``, so whoever cancels says why beforehand (``Context.cut``).

| how it ended                                              | breaker    | limiter    |
|-----------------------------------------------------------|------------|------------|
| answered, also with an error of the caller's own making   | OK         | OK         |
| answered with an error of the other side's making         | FAILED     | FAILED     |
| the other side says it is overloaded                      | OVERLOADED | OVERLOADED |
| our own time ran out (deadline or per-try timeout)        | FAILED     | OVERLOADED |
| caller left, hedge lost, refused here by another policy   | IGNORED    | IGNORED    |

Source: Netflix concurrency-limits (success, ignore, dropped); kratos middleware/circuitbreaker
(500, 503 and 504 count as failures).
"""

import asyncio
from enum import Enum

from resilience.context import Cut
from resilience.errors import DeadlineExpired, Rejected, ServiceError, UpstreamTimeout
from resilience.policy.contract import Outcome

UPSTREAM_KEY = "upstream"  # metadata of an error that a pipeline passes up: whose failure it was

HTTP_BAD_REQUEST = 400
HTTP_TOO_MANY = 429
HTTP_CLIENT_CLOSED = 499
HTTP_SERVER_ERROR = 500
HTTP_UNIMPLEMENTED = 501  # the caller asks for what is not there, as with 404
HTTP_GATEWAY_TIMEOUT = 504


class Judge(Enum):
    """Who asks: a policy that judges the other side, or one that judges ourselves."""

    BREAKER = Outcome.FAILED
    LIMITER = Outcome.OVERLOADED

    @property
    def out_of_time(self) -> Outcome:
        """What it means to this judge when our own time ran out."""
        return self.value


def classify(
    judge: Judge,
    error: BaseException | None = None,
    *,
    status: int | None = None,
    cut: Cut | None = None,
) -> Outcome:
    """Name the outcome of one admitted request.

    Args:
        judge: Whose view is asked for.
        error: What it raised; None when it answered.
        status: The HTTP status it answered with, if it did.
        cut: Who cut it short, when that is known to have happened.
    """
    if cut is Cut.DEADLINE:
        return judge.out_of_time
    if cut is Cut.CALLER or isinstance(error, asyncio.CancelledError | Rejected):
        return Outcome.IGNORED
    if isinstance(error, DeadlineExpired | UpstreamTimeout | TimeoutError):
        return judge.out_of_time
    if isinstance(error, ServiceError):
        status = error.code.http_status
        if error.retry_after_s is not None and status >= HTTP_TOO_MANY:
            return Outcome.OVERLOADED  # push-back: the other side asks for less
    elif error is not None:
        return Outcome.FAILED
    return Outcome.OK if status is None else _by_status(judge, status)


def _by_status(judge: Judge, status: int) -> Outcome:
    if status < HTTP_BAD_REQUEST:
        return Outcome.OK
    if status == HTTP_TOO_MANY:
        return Outcome.OVERLOADED
    if status == HTTP_CLIENT_CLOSED:
        return Outcome.IGNORED
    if status == HTTP_GATEWAY_TIMEOUT:
        return judge.out_of_time
    if status < HTTP_SERVER_ERROR or status == HTTP_UNIMPLEMENTED:
        return Outcome.OK
    return Outcome.FAILED


def is_deeper(error: BaseException) -> bool:
    """Whether the failure happened further down than the endpoint called (see ``pipeline``)."""
    return isinstance(error, ServiceError) and UPSTREAM_KEY in error.metadata


def has_started(error: BaseException) -> bool:
    """Whether the other side may have begun work; a refused connection proves it has not."""
    if isinstance(error, ServiceError):
        return error.started
    return not isinstance(error, ConnectionRefusedError)
