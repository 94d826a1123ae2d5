"""Refusals: what a policy's rejection looks like to a caller, and how it is told.

One place turns a ``Rejection`` into an error, so every refusal carries the same facts whoever
refused: code by the kind of policy, when to come back, and the decision itself, which the header
``x-squall-decision`` shows and ``squall explain`` keeps.
"""

from resilience.context import Context
from resilience.errors import BreakerOpen, Code, DeadlineExpired, LimitExceeded, Rejected
from resilience.observer import SILENT, Detail, Observer
from resilience.policy.contract import Permit, Rejection
from resilience.policy.keyed import KeyedRejection
from resilience.policy.switch import PassPermit

DECISION_HEADER = "x-squall-decision"
DECISION_KEY = "decision"  # the same, in an error's metadata

FIGURE_PLACES = 3  # of what a policy measured, where it is told
MAX_KEY_CHARS = 64  # of whose limit it is, where that is told; as long as a tenant may be
NAMELESS = "(none)"  # how a request without a tenant is told
RATE_POLICIES = frozenset({"quota", "rate"})  # 429: the caller asks too often; the rest are 503


def decision_text(policy: str, scope: str, value: float | None, limit: float | None) -> str:
    """Write ``policy; scope; value/limit``, e.g. ``limiter; video.2; 6/5``."""
    if value is None:
        return f"{policy}; {scope}"
    if limit is None:
        return f"{policy}; {scope}; {_figure(value)}"
    return f"{policy}; {scope}; {_figure(value)}/{_figure(limit)}"


def _figure(value: float) -> str:
    return str(value) if type(value) is int else f"{value:g}"  # ``g`` rounds a large count


def to_error(rejection: Rejection, scope: str) -> Rejected | DeadlineExpired:
    """Make the error that answers a refused request.

    Args:
        rejection: What the policy said.
        scope: Where it holds, e.g. an instance (``video.2``) or a link (``gateway>comment``); of a
            limit for each key the decision says whose, too: ``gateway.1/blue``.
    """
    if isinstance(rejection, KeyedRejection):
        scope = f"{scope}/{_shown(rejection.key)}"
    decision = decision_text(rejection.policy, scope, rejection.value, rejection.limit)
    metadata = {DECISION_KEY: decision}
    if rejection.reason == "DEADLINE_EXCEEDED":
        return DeadlineExpired(
            Code.DEADLINE_EXCEEDED,
            rejection.reason,
            f"the deadline passed while waiting for a place ({decision})",
            metadata=metadata,
            started=False,
        )
    error_class = BreakerOpen if rejection.policy == "breaker" else LimitExceeded
    is_rate = rejection.policy in RATE_POLICIES
    return error_class(
        Code.RESOURCE_EXHAUSTED if is_rate else Code.UNAVAILABLE,
        rejection.reason,
        f"refused before any work was done ({decision})",
        metadata=metadata,
        retry_after_s=rejection.retry_after_s,
    )


def note_rejection(
    rejection: Rejection,
    scope: str,
    context: Context | None,
    now_s: float,
    *,
    what: str = "rejected",
    observer: Observer = SILENT,
) -> None:
    """Tell ``squall explain`` and the observer of a rejection, real or in shadow."""
    if context is None and observer is SILENT:
        return
    value, limit = _rounded(rejection.value), _rounded(rejection.limit)
    detail: dict[str, Detail] = {"reason": rejection.reason, "value": value, "limit": limit}
    if isinstance(rejection, KeyedRejection):
        detail["key"] = _shown(rejection.key)
    if context is not None:
        context.note(rejection.policy, what, now_s, scope=scope, **detail)
    observer.on_decision(rejection.policy, what, scope, detail)


def _shown(key: str) -> str:
    """Name whose limit it is, however long it is and whatever a caller wrote into it."""
    return key.replace(";", "?")[:MAX_KEY_CHARS] or NAMELESS


def _rounded(figure: float | None) -> float | None:
    return round(figure, FIGURE_PLACES) if isinstance(figure, float) else figure


def note_shadow(
    permit: Permit,
    scope: str,
    context: Context | None,
    now_s: float,
    *,
    observer: Observer = SILENT,
) -> None:
    """Tell of a refusal that a policy in shadow would have made; most permits hold none."""
    inner: Permit | None = permit
    while inner is not None:
        if isinstance(inner, PassPermit) and inner.shadowed is not None:
            note_rejection(
                inner.shadowed, scope, context, now_s, what="shadow-rejected", observer=observer
            )
        inner = getattr(inner, "inner", None)  # that of the policy inside
