"""View: what a balancer believes of each endpoint at one moment, as one value.

Why: an operator asks two questions, "how do my backends stand" and "why did this request go there".
Both are answered from the same picture, and it changes only when the list of candidates is made
anew (ten times a second at most), so remembering a pick costs a reference to it.
Source: the columns of HAProxy's ``show stat`` (status, lastchg, chkfail); Envoy's
``/clusters`` admin page, ``health_flags``.
Not handled: what is in flight (``Balancer.loads``: it changes with each request), failures and
latencies (the adapters count them: ``lb.tallies``), drains (a drained endpoint isn't known here).
"""

from typing import NamedTuple

from lb.policy.health import CheckedHealth
from lb.policy.outlier import OutlierEjection

UP = "up"
DOWN = "down"
EJECTED = "ejected"
BY_OPERATOR = "OPERATOR"


class EndpointView(NamedTuple):
    """One endpoint.

    Args:
        name: The endpoint.
        weight: Its weight, > 0.
        state: ``up``, ``down`` (checks missed, or it broke a connection) or ``ejected``: whatever
            the switches say of acting on it.
        is_candidate: Whether it may be picked now; in a panic one that is down may be, too.
        missed_checks: Missed in a row while it is up.
        ejected_by: The rule that ejected it, ``OPERATOR`` for an operator's word; "" if it isn't.
        ejected_until_s: When that ends; None when it isn't ejected, or its end is the operator's.
        changed_s: When it was added, or last began or ceased to be a candidate.
    """

    name: str
    weight: float
    state: str
    is_candidate: bool
    missed_checks: int
    ejected_by: str
    ejected_until_s: float | None
    changed_s: float


class View(NamedTuple):
    """All of them, and what chooses among them.

    Args:
        endpoints: In the order in which they were given.
        algorithm: Who picks, e.g. ``p2c``, ``in turn``.
        is_panicking: Whether so few are usable that all of them are used.
    """

    endpoints: tuple[EndpointView, ...]
    algorithm: str
    is_panicking: bool


def endpoint_view(
    name: str,
    weight: float,
    health: CheckedHealth,
    outlier: OutlierEjection,
    now_s: float,
    *,
    is_held_out: bool,
    is_candidate: bool,
    changed_s: float,
) -> EndpointView:
    """Join what each belief says of an endpoint; an operator's word covers an ejection by rules."""
    state, by, until_s = UP, "", None
    if is_held_out:
        state, by = EJECTED, BY_OPERATOR
    elif outlier.is_ejected(name, now_s):
        state, by, until_s = EJECTED, outlier.reason(name), outlier.ejected_until_s(name)
    elif not health.is_up(name, now_s):
        state = DOWN
    missed = health.missed(name)
    return EndpointView(name, weight, state, is_candidate, missed, by, until_s, changed_s)
