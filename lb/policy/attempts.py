"""Attempts: may a proxied request be sent to another backend, and when is a try too slow?

Why not the client's retry plan: a proxy that waits between tries holds two connections and helps
nobody, since the other backend is as ready now as in 25 ms; and a try that is merely slow is not
given up, a second one runs beside it and the first answer wins. So a backend that is frozen costs
half the budget, and a request that takes longer than that still gets its answer.
Source: Envoy's router: ``connect-failure,reset``, ``hedge_on_per_try_timeout``, retry budget.
An answer is passed on, a 5xx too: whoever gave it is the hop that retries what failed below it, and
three tiers of three tries make twenty-seven (SRE Book ch. 22, "Retries"). Envoy's `retry_on: 5xx`
and nginx' `proxy_next_upstream http_500` are for backends that don't (``retry_answers``).
An answer that says nothing was begun is another matter: whoever gave it has tried nothing, and
somebody else may. With push-back (``Retry-After``) it says more: not now, and that goes up.
"""

from enum import Enum

from resilience.policy.contract import Outcome

MAX_ATTEMPTS = 3  # the first included; two dead backends of three are survived
PER_TRY_SHARE = 0.5  # of the remaining budget: what is left still suffices for another try
SAFE_METHODS = frozenset(
    {b"GET", b"HEAD"}
)  # RFC 9110 9.2.1 has more; these are what browsers retry
IDEMPOTENT_METHODS = SAFE_METHODS | {b"OPTIONS", b"PUT", b"DELETE"}  # RFC 9110 9.2.2, but TRACE

_NEUTRAL_STATUSES = frozenset({429, 503, 504})  # overload and lateness say nothing of *this* one
_FIRST_FAILURE_STATUS = 500


class Failure(Enum):
    """How an attempt ended without an answer that could be passed on."""

    NOT_CONNECTED = "not connected"
    STALE = "stale connection"  # kept alive by us, closed by them as we wrote
    RESET = "reset"
    BAD_ANSWER = "bad answer"
    NOT_STARTED = "not started"  # it said so: it was asked, and has begun nothing
    ERROR_ANSWER = "error answer"  # 5xx; tried again only when told to
    NO_ROOM = "no room"  # nothing was sent: all are full, and so is the line
    TOO_SLOW = "too slow"  # still running: it has only used up its share of the budget


def may_try_again(failure: Failure, *, attempts: int, is_safe: bool, limit: int) -> bool:
    """Whether another attempt is right, the budget of retries aside.

    Args:
        failure: How the last attempt went.
        attempts: Attempts made so far, >= 1.
        is_safe: Sending it twice does no harm.
        limit: Attempts in all, >= 1.
    """
    if attempts >= limit:
        return False
    if failure in (Failure.NOT_CONNECTED, Failure.NOT_STARTED):
        return True  # nothing was sent, or begun
    return is_safe and failure is not Failure.BAD_ANSWER


def adds_no_load(failure: Failure, *, is_left: bool) -> bool:
    """Whether another attempt puts no more on the backends than one, so no budget need count it.

    A budget bounds what retries add when the backends are slow or fail. Whoever was refused a
    connection has added nothing yet, and what a dead backend had begun is gone with it: all that it
    held is tried elsewhere once, however much that is at one moment. Envoy counts these too, and a
    fifth of what is under way is less than the third that one of three backends holds.

    Args:
        failure: How the last attempt went.
        is_left: Its backend isn't asked any more.
    """
    if failure in (Failure.NOT_CONNECTED, Failure.STALE):
        return True
    return failure is Failure.RESET and is_left


def is_error(status: int) -> bool:
    """Whether an answer is a reason to try again where answers are one: a 5xx."""
    return status >= _FIRST_FAILURE_STATUS


def per_try_timeout_s(remaining_s: float, share: float = PER_TRY_SHARE) -> float:
    """Return how long a try may take until another is started beside it, in seconds."""
    return max(0.0, remaining_s * share)


def outcome_of_status(status: int) -> Outcome:
    """Name a backend's answer for balancing and ejection.

    503 and 504 are OVERLOADED: every backend gives them when a service behind all of them is slow.
    """
    if status in _NEUTRAL_STATUSES:
        return Outcome.OVERLOADED
    return Outcome.FAILED if status >= _FIRST_FAILURE_STATUS else Outcome.OK
