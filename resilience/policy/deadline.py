"""Deadline arithmetic: how much time a request has, and how much its parts get.

Every function is pure; absolute times are seconds of one monotonic clock. A deadline is spent by
everything done for the request: retries, hedges and waits in queues included.
Source: SRE Book, ch. 22, "Latency and Deadlines"; gRPC deadlines.
"""

ROUTE_BUDGET_S = 1.0  # kratos: server timeout 1 s, HTTP and gRPC alike
PART_RESERVE_S = 0.05  # kept back of the whole, to put the answer together and send it
PART_MAX_S = 0.3  # the longest that an optional part may hold up its page


def clamp_s(asked_s: float | None, budget_s: float) -> float:
    """Return the time a request gets: what it asked for, never above the route's budget."""
    return budget_s if asked_s is None else min(asked_s, budget_s)


def earliest_s(one_s: float | None, other_s: float | None) -> float | None:
    """Return the earlier of two deadlines; None means none."""
    if one_s is None:
        return other_s
    return one_s if other_s is None else min(one_s, other_s)


def is_spent(deadline_s: float | None, now_s: float) -> bool:
    """Whether nothing is left, so that work must not start."""
    return deadline_s is not None and now_s >= deadline_s


def part_deadline_s(
    deadline_s: float | None,
    now_s: float,
    *,
    reserve_s: float = PART_RESERVE_S,
    max_s: float = PART_MAX_S,
) -> float | None:
    """Return the deadline of an optional part: min(remaining - reserve, max) from now.

    None when the whole has none: without a deadline a part has none of its own either. In the
    past when less than the reserve is left: the part is then not begun.
    """
    return None if deadline_s is None else min(deadline_s - reserve_s, now_s + max_s)


def attempt_timeout_s(
    deadline_s: float | None, per_try_s: float | None, now_s: float
) -> float | None:
    """Return how long one attempt may take, seconds; None means without end."""
    if deadline_s is None:
        return per_try_s
    remaining_s = deadline_s - now_s
    return remaining_s if per_try_s is None else min(remaining_s, per_try_s)
