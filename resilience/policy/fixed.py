"""Fixed limit: a number you chose, behind the interface of those that learn.

Why: the control of every comparison, and right where capacity is known and doesn't move. By
Little's law take the rate the service carries times the round trip you accept.
Source: Netflix concurrency-limits:limit/{FixedLimit,SettableLimit}.java.
Not handled: learning anything; for a queue in front of the places take ``bulkhead``.
"""

from resilience.policy.contract import Snapshot


class FixedLimit:
    """A Limit that stays. Every call is O(1).

    Args:
        limit: How many may be in flight, >= 1; may be set anew at any time.
    """

    __slots__ = ("_limit",)

    def __init__(self, limit: int) -> None:
        self.set(limit)

    @property
    def value(self) -> float:
        """How many may be in flight."""
        return self._limit

    def set(self, limit: int) -> None:
        """Take another number, >= 1."""
        if limit < 1:
            raise ValueError(f"limit={limit} must be at least 1")
        self._limit = limit

    def on_sample(self, rtt_s: float, in_flight: int, dropped: bool, now_s: float) -> None:
        """Learn nothing."""

    def reset(self, now_s: float) -> None:
        """Keep the number: it was chosen, not learned."""

    def snapshot(self) -> Snapshot:
        """Return the number."""
        return {"limit": self._limit}

    def __repr__(self) -> str:
        return f"<FixedLimit {self._limit}>"
