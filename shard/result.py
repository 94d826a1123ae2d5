"""A write's result, and the error an edge shows when it isn't what was hoped."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from resilience.errors import (
    Code,
    LimitExceeded,
    Rejected,
    ServiceError,
    UpstreamError,
    UpstreamReset,
    UpstreamStatus,
    UpstreamTimeout,
)
from shard.policy.durability import (
    DEFAULT_PROBE_INTERVAL_S,
    NOT_REPLICATED,
    STORE_CONFLICT,
    STORE_FULL,
    STORE_OVERLOADED,
    STORE_TIMEOUT,
    STORE_UNAVAILABLE,
    WriteStatus,
)
from shard.resp import Reply

UNAVAILABLE_RETRY_AFTER_S = 1.0  # the node timeout: before it no failover can have happened


class WriteResult(NamedTuple):
    """What is known of a write.

    Args:
        status: ACKNOWLEDGED, REFUSED (not executed) or UNKNOWN (may have been).
        value: The reply; None unless acknowledged.
        reason: UPPER_SNAKE when not acknowledged, such as ``NOT_REPLICATED``.
        message: The same for people.
    """

    status: WriteStatus
    value: Reply = None
    reason: str | None = None
    message: str = ""

    def raise_for_status(self) -> Reply:
        """Return the reply of an acknowledged write.

        Raises:
            ServiceError: When it wasn't acknowledged: NOT_REPLICATED, STORE_UNAVAILABLE,
                STORE_OVERLOADED, STORE_FULL, STORE_CONFLICT (503), STORE_TIMEOUT (504),
                STORE_ERROR (500).
                ``started`` is False exactly when the write is REFUSED.
        """
        if self.status is WriteStatus.ACKNOWLEDGED:
            return self.value
        raise error_of(self)


def error_of(result: WriteResult) -> ServiceError:
    """Make the error of a result that isn't acknowledged."""
    reason = result.reason or STORE_UNAVAILABLE
    code, retry_after_s = _EDGE.get(reason, (Code.INTERNAL, None))
    message = f"store: {result.message or reason}"
    if result.status is WriteStatus.REFUSED and code is Code.UNAVAILABLE:
        refusal = LimitExceeded if reason == STORE_OVERLOADED else Rejected
        return refusal(code, reason, message, retry_after_s=retry_after_s)
    return _STARTED.get(reason, UpstreamStatus)(
        code,
        reason,
        message,
        metadata={"write": "unknown"} if result.status is WriteStatus.UNKNOWN else None,
        retry_after_s=retry_after_s,
        started=result.status is WriteStatus.UNKNOWN,
    )


_EDGE: Mapping[str, tuple[Code, float | None]] = {
    NOT_REPLICATED: (Code.UNAVAILABLE, DEFAULT_PROBE_INTERVAL_S),
    STORE_UNAVAILABLE: (Code.UNAVAILABLE, UNAVAILABLE_RETRY_AFTER_S),
    STORE_OVERLOADED: (Code.UNAVAILABLE, UNAVAILABLE_RETRY_AFTER_S),
    STORE_FULL: (Code.UNAVAILABLE, None),
    STORE_CONFLICT: (Code.UNAVAILABLE, None),
    STORE_TIMEOUT: (Code.DEADLINE_EXCEEDED, None),
}
_STARTED: Mapping[str, Callable[..., ServiceError]] = {
    NOT_REPLICATED: UpstreamError,
    STORE_UNAVAILABLE: UpstreamReset,
    STORE_TIMEOUT: UpstreamTimeout,
}
